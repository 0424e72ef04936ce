// Entry stubs of code objects (I10): which code object has which, and where they lead.
//
// A stub leads to its function, wherever that is; or, if the function has been redirected, to the stub of the other one.
#pragma once

#include "engine/code_objects.h"
#include "memory/entry_table.h"

#include <map>

namespace nomad {

/// Functions of one code object, by their offsets in its code, and the same functions in another's.
using FunctionMatches = std::map<Offset, Offset>;

class EntryStubs {
public:
  EntryStubs(CodeObjects &objects, EntryTable &table) : objects_(objects), table_(table) {}

  /// The stub of a function, which is made if there is none. Errors: SpaceFull.
  llvm::Expected<EntryIndex> of(Handle handle, Offset function);
  Address address(EntryIndex index) const { return table_.stub(index); }

  /// The function's stubs lead to a stub of `to`, which has one; to the function itself again, if that is `to`.
  void lead(const CodePlace &function, const CodePlace &to);
  /// `to` gets the stubs of these functions.
  void pass(CodeObject &from, CodeObject &to, const FunctionMatches &matches);
  /// All that a code object has.
  void giveBack(Handle handle);

private:
  void forward(const CodePlace &from, EntryIndex stub);
  void takeBack(const CodePlace &from);
  llvm::Expected<EntryIndex> forwarded(Handle handle, Offset function, const CodePlace &to);

  CodeObjects &objects_;
  EntryTable &table_;
};

} // namespace nomad

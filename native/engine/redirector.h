// Redefinition: callers of one function call another from now on.
//
// A redirection changes references (Links): all that were linked to the function, or lead there by now. Among these is a
// reference of the function's own code object to it, which says what later links find; so there are no chains. Entry stubs of the
// old function lead to the new one's stub, so code that has stored the address follows too. The old function's own code object is
// left alone: what calls itself goes on doing so. The new one's is left alone too, so a wrapper can call what it wraps.
#pragma once

#include "engine/names.h"
#include "engine/references.h"
#include "enter/entry_log.h"

namespace nomad {

/// A processor that runs a call while its four bytes are written may see some of them. Errors: State.
llvm::Error checkNotConcurrent(EntryLog &log, const char *what);

class Redirector {
public:
  Redirector(Arena &arena, const TypePool &types, EntryLog &log, CodeObjects &objects, EntryStubs &stubs, References &references,
             const Names &names)
      : arena_(arena), types_(types), log_(log), objects_(objects), stubs_(stubs), references_(references), names_(names) {}

  /// From now on callers of `from` call `to`. `redirect(f, f)` undoes it. Returns the code objects whose references have changed.
  /// Errors: State, Signature, UnresolvedSymbol; then nothing has changed.
  llvm::Expected<std::vector<Handle>> redirect(const FunctionPlace &from, const FunctionPlace &to);

  /// A code object that has just been linked calls what its imports have been redirected to; where it is linked like `alike`,
  /// only if that one does.
  void follow(Handle linked, Handle alike);

private:
  llvm::Error check(llvm::Expected<FunctionSymbol> &from, llvm::Expected<FunctionSymbol> &to, const FunctionPlace &fromPlace,
                    const FunctionPlace &toPlace) const;
  llvm::Error prepare(const CodePlace &from, const CodePlace &to);
  void lead(const WriteScope &scope, Handle caller, const CodePlace &from, const CodePlace &to);
  bool isBound(Handle linked, std::uint32_t index, Handle alike) const;

  Arena &arena_;
  const TypePool &types_;
  EntryLog &log_;
  CodeObjects &objects_;
  EntryStubs &stubs_;
  References &references_;
  const Names &names_;
};

} // namespace nomad

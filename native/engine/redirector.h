// Redefinition: callers of one function call another from now on.
//
// Direct calls are relocations. A redirection writes new distances, makes them references to the new function's code object, and
// notes what they were linked to: a later redirection of that takes them along. Entry stubs of the old function lead to the new
// one's stub, so code that has stored the address follows too. Forwards have no chains: when a function is redirected, those that
// have been redirected to it are, too. The old function's own code object is left alone: what calls itself goes on doing so. The
// new one's is left alone too, so a wrapper can call what it wraps.
//
// A caller that has no other use for the old code object than calls keeps a spent reference: recorded, but not owning.
#pragma once

#include "engine/direct_calls.h"
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
  /// The same for its kept names.
  void followNames(Handle handle, Handle alike);

private:
  llvm::Error check(llvm::Expected<FunctionSymbol> &from, llvm::Expected<FunctionSymbol> &to, const FunctionPlace &fromPlace,
                    const FunctionPlace &toPlace) const;
  llvm::Error forwardAll(const CodePlace &from, const CodePlace &to, llvm::ArrayRef<Handle> dependents);
  void forward(const CodePlace &from, const CodePlace &to, EntryIndex stub);
  void takeBack(const CodePlace &from);
  void redirectCalls(const WriteScope &scope, Handle caller, const CodePlace &from, const CodePlace &to);
  void redirectNames(Handle caller, const FunctionReference &from, const FunctionReference &to);
  void bindCalls(Handle caller, const CodePlace &from);
  FunctionReference asSeenBy(Handle caller, const CodePlace &function) const;
  Address addressOf(const CodePlace &function) const;

  Arena &arena_;
  const TypePool &types_;
  EntryLog &log_;
  CodeObjects &objects_;
  EntryStubs &stubs_;
  References &references_;
  const Names &names_;
};

} // namespace nomad

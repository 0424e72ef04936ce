// Tiers: a code object takes over from another that was compiled from the same source.
//
// More than a redirection of each function: callers' references, entry stubs and definitions pass to the new one, so that nothing
// leads to the old one any more and it can be freed as soon as none of its frames is left. What is stored of it stays true: entry
// stubs keep their addresses, and its constants, which C code may have stored the addresses of, live as long as the new one.
#pragma once

#include "engine/redirector.h"

namespace nomad {

class Replacer {
public:
  Replacer(Arena &arena, const TypePool &types, EntryLog &log, CodeObjects &objects, EntryStubs &stubs, References &references,
           Names &names)
      : arena_(arena), types_(types), log_(log), objects_(objects), stubs_(stubs), references_(references), names_(names) {}

  /// Errors: State, if what a code object has can't pass to another that is compiled from the same source.
  llvm::Error checkReplaceable(Handle handle);
  /// `to` takes over from `from`: its callers, its entry stubs, what it is defined as. Both are placed. Returns the callers.
  /// `from` lives as long as `to` if it has constants, and can be freed otherwise. Errors: State; then nothing has changed.
  llvm::Expected<std::vector<Handle>> replace(Handle from, Handle to);

private:
  llvm::Error check(Handle from, Handle to);
  llvm::Expected<FunctionMatches> matchFunctions(Handle from, Handle to) const;
  void passCaller(const WriteScope &scope, Handle caller, Handle from, Handle to, const FunctionMatches &matches);

  Arena &arena_;
  const TypePool &types_;
  EntryLog &log_;
  CodeObjects &objects_;
  EntryStubs &stubs_;
  References &references_;
  Names &names_;
};

} // namespace nomad

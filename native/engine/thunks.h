// An engine's thunks: generated when they are first asked for, then there for good.
#pragma once

#include "engine/code_entry.h"
#include "engine/thunk_space.h"
#include "engine/unwind_refresh.h"
#include "move/mover.h"

#include "llvm/ADT/StringMap.h"

namespace nomad {

class Thunks {
public:
  Thunks(TargetMachinePool &machines, Linker &linker, TypePool &types, CodeObjects &objects, Mover &mover, ThunkSpace &space,
         CodeEntry &entry, UnwindRefresh &refresh)
      : machines_(machines), linker_(linker), types_(types), objects_(objects), mover_(mover), space_(space), entry_(entry),
        refresh_(refresh) {}

  /// The address of a signature's call thunk. Errors: SpaceFull, and as compile.
  llvm::Expected<Address> of(SignatureIndex signature, ThunkStyle style);
  /// That of a host thunk, which `build` makes the module of.
  llvm::Expected<Address> ofHost(const Signature &signature, llvm::function_ref<ParsedModule()> build);
  /// The thunk for functions that the engine calls itself.
  llvm::Expected<Address> direct();
  /// Calls constructors, destructors and exit handlers.
  void call(Address function, void *argument = nullptr);

private:
  llvm::Expected<Address> make(ParsedModule module, const std::string &name);
  llvm::Expected<CodeObject> link(ParsedModule module, const std::string &name);
  llvm::Error place(Handle handle, const std::string &name);

  TargetMachinePool &machines_;
  Linker &linker_;
  TypePool &types_;
  CodeObjects &objects_;
  Mover &mover_;
  ThunkSpace &space_;
  CodeEntry &entry_;
  UnwindRefresh &refresh_;
  std::map<std::pair<SignatureIndex, ThunkStyle>, Address> thunks_;
  llvm::StringMap<Address> hostThunks_; // by the signature's text
};

} // namespace nomad

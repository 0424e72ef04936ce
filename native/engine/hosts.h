// Host functions as code objects, which never move: each has a host stub, which leads to its signature's thunk.
#pragma once

#include "engine/host_calls.h"
#include "engine/thunks.h"

namespace nomad {

class Hosts {
public:
  Hosts(Arena &arena, TypePool &types, CodeObjects &objects, ThunkSpace &space, Thunks &thunks, const Outside &outside,
        HostCalls &calls)
      : arena_(arena), types_(types), objects_(objects), space_(space), thunks_(thunks), outside_(outside), calls_(calls) {}

  /// Its one function is `name`. Errors: SpaceFull, and as compile.
  llvm::Expected<Handle> add(llvm::StringRef name, const Signature &signature);
  /// Callers of this host function call the code at `target`. Errors: State.
  llvm::Error redirect(Handle handle, Address target);
  void redirectAll(Address target) { table_.redirectAll(target); }
  /// Its stub stays. False if the handle is not of a host function.
  bool giveBack(Handle handle);
  const HostTable &table() const { return table_; }

private:
  friend Damage;

  llvm::Expected<Address> thunkOf(const Signature &signature);
  llvm::Error addBlock();

  Arena &arena_;
  TypePool &types_;
  CodeObjects &objects_;
  ThunkSpace &space_;
  Thunks &thunks_;
  const Outside &outside_;
  HostCalls &calls_;
  HostTable table_;
};

} // namespace nomad

// The end of code objects: their destructors and exit handlers run, then each part drops what it has of them.
#pragma once

#include "engine/hosts.h"
#include "engine/names.h"
#include "engine/placements.h"
#include "engine/references.h"
#include "engine/verifier.h"

namespace nomad {

class Endings {
public:
  Endings(const Outside &outside, CodeObjects &objects, References &references, Names &names, EntryStubs &stubs, Hosts &hosts,
          Roots &roots, Thunks &thunks, Mover &mover, Placements &placements, Verifier &verifier, UnwindRefresh &refresh)
      : outside_(outside), objects_(objects), references_(references), names_(names), stubs_(stubs), hosts_(hosts), roots_(roots),
        thunks_(thunks), mover_(mover), placements_(placements), verifier_(verifier), refresh_(refresh) {}

  /// Errors: State while others refer to it, or it is running.
  llvm::Error free(Handle handle);
  /// Frees all of them, which may refer to each other. Errors: State, with nothing changed, while others refer to one or one is
  /// running.
  llvm::Error freeAll(llvm::ArrayRef<Handle> handles);
  /// Frees those that nothing else refers to and that are idle, circles of references too; writes noHandle over them.
  void freeMany(llvm::MutableArrayRef<Handle> handles);
  /// Destructors and exit handlers of all code run, and nothing is freed: they may call into other code objects. Once.
  void tearDownAll();

private:
  llvm::Error check(Handle handle);
  llvm::Error checkIdle(Handle handle);
  llvm::Error checkHolders(Handle handle, llvm::ArrayRef<Handle> ending);
  llvm::SmallVector<Handle> idleOf(llvm::ArrayRef<Handle> handles);
  void tearDown(CodeObject &object);
  void runTeardown(CodeObject &object);
  void discardAll(llvm::ArrayRef<Handle> ending);
  void discard(Handle handle);

  const Outside &outside_;
  CodeObjects &objects_;
  References &references_;
  Names &names_;
  EntryStubs &stubs_;
  Hosts &hosts_;
  Roots &roots_;
  Thunks &thunks_;
  Mover &mover_;
  Placements &placements_;
  Verifier &verifier_;
  UnwindRefresh &refresh_;
  bool haveAllEnded_ = false;
};

} // namespace nomad

// Placing and moving code objects: the mover, and around it pins, constructors and the checks of stress tests.
#pragma once

#include "engine/move_verifier.h"
#include "engine/roots.h"
#include "engine/thunks.h"

namespace nomad {

class Placements {
public:
  enum class Vacated { Kept, Poisoned };

  Placements(Vacated vacated, Arena &arena, CodeObjects &objects, Mover &mover, const ThunkSpace &space, Thunks &thunks,
             Roots &roots, MoveVerifier &verifier, EntryLog &log, UnwindRefresh &refresh)
      : vacated_(vacated), arena_(arena), objects_(objects), mover_(mover), space_(space), thunks_(thunks), roots_(roots),
        verifier_(verifier), log_(log), refresh_(refresh) {}

  /// Places unplaced code objects, which may refer to each other, and runs their constructors.
  llvm::Expected<MoveReport> place(llvm::ArrayRef<MoveRequest> requests);
  /// Rewrites return addresses on the stack. Errors: Placement, State, Pinned.
  llvm::Expected<MoveReport> relocate(llvm::ArrayRef<MoveRequest> requests);
  /// In an UnwindRegistry::Change: a placed code object's memory is free from now on.
  void vacate(CodeObject &object);
  /// Overwrites vacant code memory with traps. `part` is in the placeable code range.
  void poison(Range part);

private:
  llvm::SmallVector<Range> codeToPoison(llvm::ArrayRef<MoveRequest> requests) const;

  Vacated vacated_;
  Arena &arena_;
  CodeObjects &objects_;
  Mover &mover_;
  const ThunkSpace &space_;
  Thunks &thunks_;
  Roots &roots_;
  MoveVerifier &verifier_;
  EntryLog &log_;
  UnwindRefresh &refresh_;
};

} // namespace nomad

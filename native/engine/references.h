// Who refers to whom among code objects (I9).
//
// Always true: a reference is known at both ends, under one index; a code object that others keep alive is not freed before them.
#pragma once

#include "engine/code_objects.h"

namespace nomad {

class References {
public:
  explicit References(CodeObjects &objects) : objects_(objects) {}

  /// Index of the reference, which keeps `to` alive.
  std::uint32_t add(Handle from, Handle to);
  /// The references that a link has found are known at their other ends, too.
  void enter(Handle linked);
  /// A code object goes: its references, and those to it.
  void leave(Handle handle);
  /// Notes which references keep nothing alive, because nothing needs them.
  void settle(Handle handle);

  llvm::SmallVector<Handle> dependentsOf(Handle handle) const;
  /// Those that keep it alive.
  llvm::SmallVector<Handle> holdersOf(Handle handle) const;
  /// Takes from those that are ending what somebody else keeps alive, and what that keeps alive in turn.
  void spareHeld(llvm::SmallVectorImpl<Handle> &ending);

private:
  void endReferencesTo(Handle handle);
  bool isHeldFromOutside(Handle handle) const;

  CodeObjects &objects_;
};

} // namespace nomad

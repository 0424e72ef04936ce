// References among code objects (I9).
//
// Always true: a code object knows those that mention it; calls lead to what their references are; a code object that others
// keep alive is not freed before them.
#pragma once

#include "engine/code_objects.h"
#include "memory/write_scope.h"

namespace nomad {

class References {
public:
  explicit References(CodeObjects &objects) : objects_(objects) {}

  /// Index of a new reference.
  std::uint32_t add(Handle from, const CodePlace &place);
  /// `to` lives as long as `from`.
  void hold(Handle from, Handle to);
  /// The references that a link has found are known at their other ends, too; what code has addresses of is held.
  void enter(Handle linked);
  /// All calls by a reference lead to `now`. The next redirection of `linkedPlace` leads them elsewhere again.
  void lead(const WriteScope &scope, Handle from, std::uint32_t index, const CodePlace &now, const CodePlace &linkedPlace);
  /// A code object goes: its references, and those to it.
  void leave(Handle handle);

  /// Those that mention it.
  llvm::SmallVector<Handle> dependentsOf(Handle handle) const;
  /// Those that keep it alive.
  llvm::SmallVector<Handle> holdersOf(Handle handle) const;
  /// Takes from those that are ending what others keep alive, and what that keeps alive in turn.
  void spareHeld(llvm::SmallVectorImpl<Handle> &ending);

private:
  void noteDependent(Handle dependent, Handle object);
  void dropDependent(Handle dependent, Handle object);
  llvm::SmallVector<Handle> dependentsOutside(llvm::ArrayRef<Handle> ending) const;

  CodeObjects &objects_;
};

} // namespace nomad

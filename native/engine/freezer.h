// Freezing: a code object that will not move for now gives up its relocations, or its object file.
#pragma once

#include "engine/code_objects.h"

namespace nomad {

class Freezer {
public:
  enum class ObjectFiles { GivenAway, Kept };

  Freezer(ObjectFiles objectFiles, CodeObjects &objects) : objectFiles_(objectFiles), objects_(objects) {}

  /// Drops a placed code object's relocations; returns them for `thaw` of the same `id`. Errors: State.
  llvm::Expected<std::vector<std::uint8_t>> freeze(Handle handle, std::uint64_t id);
  /// Errors: State if it is not frozen, or `saved` is not what `freeze` returned; then nothing has changed.
  llvm::Error thaw(Handle handle, std::uint64_t id, llvm::ArrayRef<std::uint8_t> saved);

private:
  std::vector<std::uint8_t> takeObjectFile(Handle handle, std::uint64_t id);
  llvm::Error putObjectFileBack(Handle handle, std::uint64_t id, llvm::ArrayRef<std::uint8_t> saved);

  ObjectFiles objectFiles_;
  CodeObjects &objects_;
};

} // namespace nomad

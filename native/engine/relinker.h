// Links object files that are kept again, for other addresses.
#pragma once

#include "engine/code_objects.h"
#include "move/mover.h"

namespace nomad {

class Relinker final : public Emitter {
public:
  Relinker(CodeObjects &objects, Linker &linker) : objects_(objects), linker_(linker) {}

  llvm::Expected<Emission> emit(const CodeObject &object, const SegmentBases &bases) override;
  /// Where it is.
  llvm::Expected<Emission> emitInPlace(Handle handle) { return emit(objects_[handle], basesOf(objects_[handle])); }

private:
  CodeObjects &objects_;
  Linker &linker_;
};

} // namespace nomad

// The way of code objects that keep their object file: a fresh link for the new place, and the data moved over it.
#pragma once

#include "move/batch.h"

namespace nomad {

/// The last thing that can fail. Errors: Link.
llvm::Error emitAgain(Emitter &emitter, Batch &batch);
/// Code and constants are new; data are what the program made of them, and only its pointers follow (I4). Sites rewritten.
std::uint32_t takeEmission(const CodeObject &object, Emission &emission, const SegmentMoves &moves);

} // namespace nomad

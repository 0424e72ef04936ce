// Error messages of batches that are refused.
#pragma once

#include "move/batch.h"

namespace nomad {

/// A code object is in a state that forbids it.
llvm::Error stateError(const CodeObjectTable &objects, const MoveRequest &request, Batch::Purpose purpose);
/// A segment can't go to this offset in `allowed`, occupied or not.
llvm::Error fitError(const CodeObjectTable &objects, const CodeObject &object, SegmentKind kind, Range allowed,
                     std::int32_t offset);
/// Its new place is occupied; `pieces` are all of the batch.
llvm::Error overlapError(const CodeObjectTable &objects, Pieces pieces, const Piece &piece, Range allowed);

} // namespace nomad

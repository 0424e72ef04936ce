// The mover's way for code objects that keep their object file: a fresh link at the new place, and the data moved over it.
#include "move/mover.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

// The last thing that can fail.
Error Mover::emitAgain() {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const CodeObject &object = *pieces_[i].object;
    if (object.retain != Retain::Object || emissions_.contains(&object))
      continue;
    SegmentBases bases;
    for (SegmentKind kind : segmentKinds)
      bases[indexOf(kind)] = object.segment(kind).base;
    for (const Piece &piece : pieces_)
      if (piece.object == &object)
        bases[indexOf(piece.kind)] = piece.to;
    auto emission = emitter_.emit(object, bases);
    if (!emission)
      return emission.takeError();
    emissions_[&object] = std::move(*emission);
  }
  return Error::success();
}

// Code and constants are new; data are what the program made of them, and only its pointers follow (I4).
std::uint32_t Mover::takeEmission(const WriteScope &scope, Pieces pieces) {
  const CodeObject &object = *pieces.front().object;
  Emission &emission = emissions_[&object];
  SegmentMoves moves = movesOf(scope, pieces);
  for (SegmentKind kind : {SegmentKind::Code, SegmentKind::Constants})
    if (object.segment(kind).exists())
      std::memcpy(moves[indexOf(kind)].bytes, emission.image->bytes[indexOf(kind)].get(), object.segment(kind).size);
  llvm::erase_if(emission.relocations, [](const Relocation &relocation) { return relocation.formula != Formula::DataPointer; });
  return RelocationTable::encode(std::move(emission.relocations)).applyMove(moves);
}

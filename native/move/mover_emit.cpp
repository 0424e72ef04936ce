// The mover's way for code objects that keep their object file: a fresh link at the new place, and the data moved over it.
#include "move/mover.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

// A saved code object may have been put together with an object file that is not its own.
bool isOf(const CodeObject &object, const Image &image) {
  return llvm::all_of(segmentKinds, [&](SegmentKind kind) {
    const Segment &segment = object.segment(kind);
    return kind == SegmentKind::Data ? image.storedBytes[indexOf(kind)] <= segment.size
                                     : image.storedBytes[indexOf(kind)] == segment.size;
  });
}

// In data.
bool areIn(const CodeObject &object, llvm::ArrayRef<Relocation> sites) {
  Size size = object.segment(SegmentKind::Data).size;
  return llvm::all_of(sites, [=](const Relocation &site) {
    return site.formula != Formula::DataPointer || (site.site < size && size - site.site >= widthOf(site.formula));
  });
}

} // namespace

// The last thing that can fail.
Error Mover::emitAgain() {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const CodeObject &object = *pieces_[i].object;
    if (object.retain != Retain::Object || emissions_.contains(&object))
      continue;
    SegmentBases bases = basesOf(object);
    for (const Piece &piece : pieces_)
      if (piece.object == &object)
        bases[indexOf(piece.kind)] = piece.to;
    auto emission = emitter_.emit(object, bases);
    if (!emission)
      return emission.takeError();
    if (!isOf(object, *emission->image) || !areIn(object, emission->relocations))
      return fail(ErrorCode::Link, "code object " + Twine(quoted(object)) + ": its object file gives segments of other sizes");
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

#include "move/batch_emit.h"

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

Error nomad::emitAgain(Emitter &emitter, Batch &batch) {
  for (const Piece &first : batch.claims.pieces()) {
    const CodeObject &object = *first.object;
    if (object.retain != Retain::Object || batch.emissions.contains(&object))
      continue;
    SegmentBases bases = basesOf(object);
    for (const Piece &piece : batch.claims.pieces())
      if (piece.object == &object)
        bases[indexOf(piece.kind)] = piece.to;
    auto emission = emitter.emit(object, bases);
    if (!emission)
      return emission.takeError();
    if (!isOf(object, *emission->image) || !areIn(object, emission->relocations))
      return fail(ErrorCode::Link, "code object " + Twine(quoted(object)) + ": its object file gives segments of other sizes");
    batch.emissions[&object] = std::move(*emission);
  }
  return Error::success();
}

std::uint32_t nomad::takeEmission(const CodeObject &object, Emission &emission, const SegmentMoves &moves) {
  for (SegmentKind kind : {SegmentKind::Code, SegmentKind::Constants})
    if (object.segment(kind).exists())
      std::memcpy(moves[indexOf(kind)].bytes, emission.image->bytes[indexOf(kind)].get(), object.segment(kind).size);
  llvm::erase_if(emission.relocations, [](const Relocation &relocation) { return relocation.formula != Formula::DataPointer; });
  return RelocationTable::encode(std::move(emission.relocations)).applyMove(moves);
}

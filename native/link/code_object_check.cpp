// The integrity checks of code objects, of their links, and of the table that has them.
#include "link/code_object.h"

#include "llvm/ADT/BitVector.h"

using namespace nomad;
using namespace llvm;

Error Links::checkIntegrity() const {
  if (!linkedTo.empty() && (linkedTo.size() != references.size() || linkedTo == references))
    return broken("links", 1, Twine(linkedTo.size()) + " places are not what " + Twine(references.size()) + " were linked to");
  for (std::uint32_t i = 0; i < references.size(); ++i)
    if (isRedirected(i) && !(references[i].isCalled() && linkedTo[i].isCalled()))
      return broken("links", 2, "reference " + Twine(i) + " is redirected, and not called");
  return Error::success();
}

namespace {

Error checkPlaces(const CodeObject &object) {
  Size code = object.segment(SegmentKind::Code).size, data = object.segment(SegmentKind::Data).size;
  if (object.unwindRecords != noOffset && object.unwindRecords >= code)
    return broken("code object", 3, "its unwind records are outside of its code");
  for (const EntryUse &entry : object.entries)
    if (entry.offset > code)
      return broken("code object", 3, "an entry stub leads outside of its code");
  if (!object.teardown)
    return Error::success();
  if (object.teardown->finalizer != noOffset && object.teardown->finalizer >= code)
    return broken("code object", 3, "its destructors are outside of its code");
  for (Offset control : object.teardown->threadLocals)
    if (control >= data)
      return broken("code object", 3, "a thread-local variable is outside of its data");
  return Error::success();
}

} // namespace

Error CodeObject::checkIntegrity(const TypePool &types) const {
  bool isKnown = state == State::Unplaced || state == State::Placed;
  if (!isKnown || moves > Moves::All || retain > Retain::Frozen || isMoving || (image != nullptr) != (state == State::Unplaced))
    return broken("code object", 1, "its state is none that there is");
  for (const Segment &segment : segments)
    if (segment.exists() && state == State::Placed &&
        (segment.alignmentLog2 > 31 || !segment.base.isAligned(segment.alignment())))
      return broken("code object", 2, "a segment is not aligned");
  if (Error error = checkPlaces(*this))
    return error;
  if (Error error = symbols.checkIntegrity(sizes(), types))
    return error;
  if (Error error = relocations.checkIntegrity(sizes(), links ? links->references.size() : 0))
    return error;
  return links ? links->checkIntegrity() : Error::success();
}

Error CodeObjectTable::checkIntegrity() const {
  if (chunks_.size() != (limit_ + Size{chunkLength} - 1) / chunkLength || firstOf_.size() != chunks_.size())
    return broken("code objects", 1, Twine(chunks_.size()) + " chunks are not what " + Twine(limit_) + " handles need");
  for (Handle first = 0; first < limit_; first += chunkLength) {
    auto found = firstOf_.find(chunks_[first / chunkLength].get());
    if (found == firstOf_.end() || found->second != first)
      return broken("code objects", 2, "the record of handle " + Twine(first) + " is not found");
  }
  BitVector isVacant(limit_);
  for (Handle handle : vacant_) {
    if (handle >= limit_ || isVacant[handle] || (*this)[handle].state != State::Vacant)
      return broken("code objects", 3, "handle " + Twine(handle) + " was given back wrongly");
    isVacant.set(handle);
  }
  for (Handle handle = 0; handle < limit_; ++handle) {
    const CodeObject &object = (*this)[handle];
    if (object.state != State::Vacant)
      continue;
    if (!isVacant[handle])
      return broken("code objects", 3, "handle " + Twine(handle) + " is vacant and not on the list of vacant handles");
    bool hasSegment = object.segments[0].exists() || object.segments[1].exists() || object.segments[2].exists();
    if (hasSegment || object.relocations.count() > 0 || object.links || object.image || object.teardown)
      return broken("code objects", 4, "the vacant record of handle " + Twine(handle) + " has something");
  }
  return Error::success();
}

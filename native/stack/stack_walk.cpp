#include "stack/stack_walk.h"

#include "link/call_site.h"
#include "memory/foreign.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <array>

using namespace nomad;

namespace {

// Other frames' words, whatever the sanitizer thinks of them.
__attribute__((no_sanitize_address)) std::uint64_t wordAt(Address address) { return *address.pointer<std::uint64_t>(); }

std::vector<StackWalk *> &threadWalks() {
  static thread_local std::vector<StackWalk *> walks;
  return walks;
}

} // namespace

StackWalk::StackWalk(Range arena, Range thunks, OwnerIndex &code, OwnerIndex &data, const CodeShapes &shapes)
    : arena_(arena), thunks_(thunks), code_(code), data_(data), shapes_(shapes) {
  threadWalks().push_back(this);
}

StackWalk::~StackWalk() { llvm::erase(threadWalks(), this); }

void StackWalk::walk(const Activation &activation, Address stackLimit, StackRoots &roots) {
  slots_.clear();
  hasCopies_ = false;
  bool isFromThunk = activation.exit == Activation::Exit::Host && activation.entryFrame != Address();
  isComplete_ = isFromThunk && findReturns(activation);
  std::sort(slots_.begin(), slots_.end());
  for (Address slot : slots_)
    addExact(slot, roots);
  scan({Address::of(activation.registers), activation.limit(stackLimit)}, roots);
}

StackWalk::Place StackWalk::placeOf(Address returnsTo) {
  for (StackWalk *walk : threadWalks())
    if (walk->arena_.contains(returnsTo))
      return walk->placeIn(returnsTo);
  return Place::Outside;
}

StackWalk::Place StackWalk::placeIn(Address returnsTo) {
  if (thunks_.contains(returnsTo))
    return Place::Thunk;
  const CodeObject *object = code_.find(returnsTo.shifted(-1));
  if (!object)
    return Place::Unknown;
  if (!object->hasOddFrames)
    return Place::Plain;
  auto offset = static_cast<Offset>(returnsTo.shifted(-1) - object->segment(SegmentKind::Code).base);
  switch (shapes_.frameAt(*object, offset)) {
  case FrameKind::Plain:
    return Place::Plain;
  case FrameKind::Copied:
    return Place::Copied;
  case FrameKind::Recorded:
    return Place::Recorded;
  case FrameKind::Unknown:
    break;
  }
  return Place::Unknown;
}

bool StackWalk::findReturns(const Activation &activation) {
  if (followFrames(activation))
    return true;
  slots_.clear();
  return followUnwindRecords(activation);
}

// The host thunk's frame, its caller's, and so on: each is of a function whose frame is plain. False where another kind of frame
// comes before the call thunk's.
bool StackWalk::followFrames(const Activation &activation) {
  Address frame = Address::of(wordAt(activation.frame()));
  for (Address inner = activation.frame(); frame > inner && frame < activation.entryFrame && frame.isAligned(8);) {
    Address slot = frame + 8, outer = Address::of(wordAt(frame));
    Place place = placeOf(Address::of(wordAt(slot)));
    if (place == Place::Thunk)
      return outer == activation.entryFrame;
    if (place != Place::Plain && place != Place::Copied)
      return false;
    hasCopies_ |= place == Place::Copied;
    slots_.push_back(slot);
    inner = frame;
    frame = outer;
  }
  return false;
}

bool StackWalk::followUnwindRecords(const Activation &activation) {
  bool isComplete = false;
  unwindFrom(contextAtExit(*activation.registers),
             [&](const WaitingFrame &frame) { return takeFrame(frame, activation, isComplete); });
  return isComplete;
}

// Returns whether what its caller's frame is can be found by its unwind records.
bool StackWalk::takeFrame(const WaitingFrame &frame, const Activation &activation, bool &isComplete) {
  if (frame.returnSlot >= activation.entryFrame || frame.isInterrupted || wordAt(frame.returnSlot) != frame.instruction.value())
    return false;
  Place place = placeOf(frame.instruction);
  hasCopies_ |= place == Place::Copied;
  isComplete = place == Place::Thunk && Address::of(frame.framePointer) == activation.entryFrame;
  if (place > Place::Thunk)
    slots_.push_back(frame.returnSlot);
  return place != Place::Unknown && !isComplete;
}

// A return address may be just past the segment: after a call that does not return.
void StackWalk::addExact(Address slot, StackRoots &roots) {
  Address returnsTo = Address::of(wordAt(slot));
  CodeObject *object = code_.find(returnsTo.shifted(-1));
  if (!object)
    return;
  auto offset = static_cast<Offset>(returnsTo - object->segment(SegmentKind::Code).base);
  roots.exact.push_back({object, SegmentKind::Code, StackRoot::Kind::Return, slot, offset});
}

// From the saved registers on.
void StackWalk::scan(Range words, StackRoots &roots) {
  auto exact = slots_.begin();
  for (Address word = words.base; word < words.limit; word = word + 8) {
    if (exact != slots_.end() && *exact == word) {
      ++exact;
      continue;
    }
    std::uint64_t value = wordAt(word);
    if (value - arena_.base.value() > arena_.size())
      continue;
    bool isRegister = word < words.base + sizeof(Activation::Registers);
    addAmbiguous(isRegister ? StackRoot::Kind::Register : StackRoot::Kind::Word, word, value, roots);
  }
}

// Page by page: there may be guards in between.
bool StackWalk::scanForeign(Range stack, StackRoots &roots) {
  isComplete_ = false;
  bool isThere = false;
  std::array<std::uint64_t, 512> words;
  Address at = Address::of(roundUp(stack.base.value(), 8)), limit = Address::of(roundDown(stack.limit.value(), 8));
  for (Range page; at < limit; at = page.limit) {
    page = {at, std::min(Address::of(roundDown(at.value(), sizeof words) + sizeof words), limit)};
    if (readForeign(page, words.data()) != Reading::Done)
      continue;
    isThere = true;
    for (size_t i = 0; i < page.size() / sizeof words[0]; ++i)
      if (words[i] - arena_.base.value() <= arena_.size())
        addAmbiguous(StackRoot::Kind::Word, page.base + i * sizeof words[0], words[i], roots);
  }
  return isThere;
}

// It may point to what begins there, or be a return address or the end of what ends there.
void StackWalk::addAmbiguous(StackRoot::Kind kind, Address slot, std::uint64_t value, StackRoots &roots) {
  for (auto [owners, segment] : {std::pair(&code_, SegmentKind::Code), std::pair(&data_, SegmentKind::Data)}) {
    StackRoot root{owners->find(Address::of(value)), segment, kind, slot, 0};
    addPin(root, value, roots);
    root.object = owners->find(Address::of(value - 1));
    if (root.object && root.object->segment(segment).range().limit == Address::of(value))
      addPin(root, value, roots);
  }
}

void StackWalk::addPin(StackRoot root, std::uint64_t value, StackRoots &roots) const {
  if (!root.object || thunks_.contains(root.object->segment(SegmentKind::Code).base))
    return;
  // The rest of such a code object moves only on the user's promise that its address is not stored.
  if (root.segment != SegmentKind::Code && root.object->moves == Moves::Code)
    return;
  root.offset = static_cast<Offset>(value - root.object->segment(root.segment).base.value());
  if (!isFinished(root))
    roots.ambiguous.push_back(root);
}

bool StackWalk::isFinished(StackRoot root) const {
  if (!isComplete_ || hasCopies_ || root.kind != StackRoot::Kind::Word || root.segment != SegmentKind::Code ||
      root.object->keepsCodeAddresses)
    return false;
  return isBehindCall(root.object->segment(root.segment).base.pointer(), root.offset) &&
         !shapes_.isJumpTarget(*root.object, root.offset);
}

#include "run/stack_walk.h"

#include "link/call_site.h"
#include "run/unwind_from.h"

#include <algorithm>

using namespace nomad;

namespace {

// Other frames' words, whatever the sanitizer thinks of them.
__attribute__((no_sanitize_address)) std::uint64_t wordAt(Address address) { return *address.pointer<std::uint64_t>(); }

} // namespace

void StackWalk::walk(const Activation &activation, StackRoots &roots) {
  slots_.clear();
  isComplete_ = activation.exit == Activation::Exit::Host && findReturns(activation);
  std::sort(slots_.begin(), slots_.end());
  for (Address slot : slots_)
    addExact(slot, roots);
  scan(Address::of(activation.registers), activation.entryFrame, roots);
}

bool StackWalk::findReturns(const Activation &activation) {
  if (followFrames(activation))
    return true;
  slots_.clear();
  return followUnwindRecords(activation);
}

// The host thunk's frame, its caller's, and so on; false where the chain ends before the call thunk.
bool StackWalk::followFrames(const Activation &activation) {
  Address frame = Address::of(wordAt(activation.frame()));
  while (frame < activation.entryFrame && frame > activation.frame()) {
    Address slot = frame + 8, returnsTo = Address::of(wordAt(slot));
    Address outer = Address::of(wordAt(frame));
    if (outer == activation.entryFrame)
      return true; // it returns to the call thunk
    if (!code_.find(returnsTo.shifted(-1)) || outer <= frame)
      return false;
    slots_.push_back(slot);
    frame = outer;
  }
  return false;
}

bool StackWalk::followUnwindRecords(const Activation &activation) {
  Address exit = activation.frame();
  const Activation::Registers &saved = *activation.registers;
  FrameContext context{Address::of(wordAt(exit + 8)), exit + 16, wordAt(exit), saved[0], saved[1], saved[2], saved[3], saved[4]};
  bool isComplete = false;
  unwindFrom(context, [&](const WaitingFrame &frame) {
    if (frame.returnSlot >= activation.entryFrame)
      return false;
    isComplete = Address::of(frame.framePointer) == activation.entryFrame;
    if (code_.find(frame.instruction.shifted(-1)) && wordAt(frame.returnSlot) == frame.instruction.value())
      slots_.push_back(frame.returnSlot);
    return true;
  });
  return isComplete;
}

// A return address may be just behind the segment: after a call that does not return.
void StackWalk::addExact(Address slot, StackRoots &roots) {
  Address returnsTo = Address::of(wordAt(slot));
  CodeObject *object = code_.find(returnsTo.shifted(-1));
  if (!object)
    return;
  auto offset = static_cast<Offset>(returnsTo - object->segment(SegmentKind::Code).base);
  roots.exact.push_back({object, SegmentKind::Code, StackRoot::Kind::Return, slot, offset});
}

// From the saved registers up to the call thunk's frame.
void StackWalk::scan(Address registers, Address entryFrame, StackRoots &roots) {
  auto exact = slots_.begin();
  for (Address word = registers; word < entryFrame; word = word + 8) {
    if (exact != slots_.end() && *exact == word) {
      ++exact;
      continue;
    }
    if (wordAt(word) - arena_.base.value() > arena_.size())
      continue;
    bool isRegister = word < registers + sizeof(Activation::Registers);
    addAmbiguous(isRegister ? StackRoot::Kind::Register : StackRoot::Kind::Word, word, roots);
  }
}

// It may point to what begins there, or be a return address or the end of what ends there.
void StackWalk::addAmbiguous(StackRoot::Kind kind, Address slot, StackRoots &roots) {
  std::uint64_t value = wordAt(slot);
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
  // The rest of such a code object moves only where somebody promises that nobody has its address.
  if (root.segment != SegmentKind::Code && root.object->moves == Moves::Code)
    return;
  root.offset = static_cast<Offset>(value - root.object->segment(root.segment).base.value());
  if (!isFinished(root))
    roots.ambiguous.push_back(root);
}

bool StackWalk::isFinished(StackRoot root) const {
  if (!isComplete_ || root.kind != StackRoot::Kind::Word || root.segment != SegmentKind::Code || root.object->keepsCodeAddresses)
    return false;
  if (!isBehindCall(root.object->segment(root.segment).base.pointer(), root.offset))
    return false;
  auto found = jumpTargets_.find(root.object);
  return found == jumpTargets_.end() || !std::binary_search(found->second.begin(), found->second.end(), root.offset);
}

void StackWalk::setJumpTargets(const CodeObject &object, std::vector<Offset> offsets) {
  if (offsets.empty())
    jumpTargets_.erase(&object);
  else
    jumpTargets_[&object] = std::move(offsets);
}

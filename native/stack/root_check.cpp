#include "stack/root_check.h"

#include "base/error.h"
#include "stack/unwind_from.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

namespace {

// Other frames' words, whatever the sanitizer thinks of them.
__attribute__((no_sanitize_address)) std::uint64_t wordAt(Address address) { return *address.pointer<std::uint64_t>(); }

Address codeOf(const CodeObject *object) { return object->segment(SegmentKind::Code).base; }

bool isBefore(const StackRoot &root, Address slot) { return root.slot < slot; }

} // namespace

RootCheck::RootCheck(const CodeObjectTable &objects, Range thunks) : thunks_(thunks) {
  for (Handle handle = 0; handle < objects.limit(); ++handle)
    if (objects[handle].state == State::Placed && objects[handle].segment(SegmentKind::Code).exists())
      owners_.push_back(&objects[handle]);
  llvm::sort(owners_, [](const CodeObject *a, const CodeObject *b) { return codeOf(a) < codeOf(b); });
}

// A call may be the last that code has.
const CodeObject *RootCheck::ownerOf(Address returnsTo) const {
  Address call = returnsTo.shifted(-1);
  auto after = llvm::upper_bound(owners_, call, [](Address at, const CodeObject *object) { return at < codeOf(object); });
  if (after == owners_.begin() || thunks_.contains(call))
    return nullptr;
  const CodeObject *owner = *std::prev(after);
  return owner->segment(SegmentKind::Code).range().contains(call) ? owner : nullptr;
}

Error RootCheck::check(const Activation *innermost, const StackRoots &roots) {
  exact_ = roots.exact;
  llvm::sort(exact_, [](const StackRoot &a, const StackRoot &b) { return a.slot < b.slot; });
  for (const auto *list : {&roots.exact, &roots.ambiguous})
    for (const StackRoot &root : *list)
      if (root.object->stackUse.isPinned(SegmentKind::Code))
        pinned_.insert(root.object);
  for (const Activation *activation = innermost; activation; activation = activation->previous)
    if (Error error = checkActivation(*activation))
      return error;
  return seen_ == exact_.size() ? Error::success() : broken("roots", 2, "an exact root is in no activation");
}

// Past a host function's exit nothing is known of where it stands: there, nothing can be exact.
Error RootCheck::checkActivation(const Activation &activation) {
  std::vector<Frame> frames;
  bool isWhole = activation.exit != Activation::Exit::Host;
  if (!isWhole) {
    Address exit = activation.frame();
    const Activation::Registers &saved = *activation.registers;
    FrameContext context{
        Address::of(wordAt(exit + 8)), exit + 16, wordAt(exit), saved[0], saved[1], saved[2], saved[3], saved[4]};
    // Records of code that has other frames than plain ones may lead anywhere, and so does what a signal has interrupted.
    unwindFrom(context, [&](const WaitingFrame &frame) {
      isWhole = frame.returnSlot >= activation.entryFrame;
      if (isWhole || frame.isInterrupted)
        return false;
      frames.push_back({frame.returnSlot, frame.instruction});
      const CodeObject *owner = ownerOf(frame.instruction);
      return !owner || !owner->hasOddFrames;
    });
  }
  if (Error error = checkFrames(frames))
    return error;
  return checkExact({Address::of(activation.registers), activation.entryFrame}, frames, isWhole);
}

Error RootCheck::checkFrames(ArrayRef<Frame> frames) const {
  for (const Frame &frame : frames) {
    const CodeObject *owner = ownerOf(frame.returnsTo);
    if (!owner || pinned_.contains(owner))
      continue;
    auto found = llvm::lower_bound(exact_, frame.slot, isBefore);
    if (found == exact_.end() || found->slot != frame.slot || found->object != owner)
      return broken("roots", 1,
                    "a frame of code object " + Twine(quoted(*owner)) + " returns to " + hex(frame.returnsTo.value()) +
                        ", and is neither an exact root nor pinned");
  }
  return Error::success();
}

Error RootCheck::checkExact(Range activation, ArrayRef<Frame> frames, bool isWhole) {
  for (auto root = llvm::lower_bound(exact_, activation.base, isBefore); root != exact_.end() && root->slot < activation.limit;
       ++root, ++seen_) {
    auto found = llvm::lower_bound(frames, root->slot, [](const Frame &frame, Address slot) { return frame.slot < slot; });
    bool isFound = found != frames.end() && found->slot == root->slot;
    bool isBeyond = !isWhole && (frames.empty() || frames.back().slot < root->slot);
    if (!isFound && !isBeyond)
      return broken("roots", 2, "code object " + Twine(quoted(*root->object)) + " has an exact root where no frame returns");
    if (wordAt(root->slot) != (codeOf(root->object) + root->offset).value())
      return broken("roots", 2, "an exact root of code object " + Twine(quoted(*root->object)) + " is not what its slot has");
  }
  return Error::success();
}

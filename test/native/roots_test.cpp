// What a stack has of code objects (I12), for stacks that the test has written word by word; nothing runs.
//
// Oracle: the test knows of each word what it is: a frame's, a return address, or any other.
#include "support.h"

#include "engine/roots.h"

#include <map>
#include <set>

using namespace nomad;
using namespace nomad::test;

namespace {

constexpr Size codeBytes = 64, dataBytes = 48, objectCount = 8;
constexpr Offset callBytes = 5, callEnd = 32; // in each code object; the only place that a call returns to

/// What a code object is expected to have of the stack.
struct Expected {
  bool isActive = false;
  bool isCodePinned = false;
  bool isDataPinned = false;
};

class Stack {
public:
  Stack() {
    for (Size i = 0; i < objectCount; ++i)
      addObject();
    chain_.stack = {Address::of(words_.data()), Address::of(words_.data() + words_.size())};
    write();
  }

  void check() {
    roots_.look();
    Handle handle = 0;
    std::set<Handle> pinned;
    for (const Expected &expected : expected_) {
      CAPTURE(handle);
      const CodeObject &object = objects_[handle];
      REQUIRE((object.stackUse.active == 1) == expected.isActive);
      REQUIRE(object.stackUse.isPinned(SegmentKind::Code) == expected.isCodePinned);
      REQUIRE(object.stackUse.isPinned(SegmentKind::Data) == expected.isDataPinned);
      if (expected.isCodePinned || expected.isDataPinned || object.storesLabels)
        pinned.insert(handle);
      ++handle;
    }
    need(roots_.verify());
    auto found = roots_.pinned();
    REQUIRE(std::set<Handle>(found.begin(), found.end()) == pinned);
    REQUIRE(roots_.isElsewhere() == false);
    checkFollow();
    roots_.forget();
    REQUIRE_FALSE(roots_.areKnown());
    for (handle = 0; handle < objectCount; ++handle)
      REQUIRE_FALSE(objects_[handle].stackUse.isUsed());
  }

private:
  // Side by side, so that where one ends another may begin.
  void addObject() {
    CodeObject object;
    object.state = State::Placed;
    object.moves = random_.oneIn(2) ? Moves::All : Moves::Code;
    object.keepsCodeAddresses = random_.oneIn(4);
    object.storesLabels = random_.oneIn(6);
    place(object, SegmentKind::Code, codeBytes);
    if (object.moves == Moves::All)
      place(object, SegmentKind::Data, dataBytes);
    object.image = std::make_unique<Image>();
    if (random_.oneIn(4))
      object.image->returnsTwice = {{0, codeBytes}};
    if (random_.oneIn(4))
      object.image->jumpTargets = {callEnd};
    CodeObject &placed = objects_[objects_.add(std::move(object))];
    placed.image.reset();
    code_.arrived(placed);
    if (placed.moves == Moves::All)
      data_.arrived(placed);
    WriteScope scope(*arena_);
    *scope.writable(placed.segment(SegmentKind::Code).base + (callEnd - callBytes)) = std::byte{0xe8}; // call
  }
  void place(CodeObject &object, SegmentKind kind, std::uint32_t size) {
    object.segment(kind) = {arena_->segments(kind).base + size * objects_.limit(), size, 4};
  }

  // | registers | ... | frame of the host thunk | frame, ... | frame, ... | call thunk's frame |
  void write() {
    isKnown_ = !random_.oneIn(4);
    for (std::uint64_t &word : words_)
      word = anyWord();
    size_t last = frameWord, count = random_.below(6);
    for (size_t i = 0; i < count; ++i) {
      size_t frame = last + 2 + random_.below(6);
      words_[last] = addressAt(frame).value();
      writeReturn(frame + 1);
      last = frame;
    }
    size_t innermost = last + 2 + random_.below(6), thunk = innermost + 2 + random_.below(4);
    words_[frameWord + 1] = words_[innermost + 1] = (thunks_.base + 8).value();
    words_[last] = addressAt(innermost).value();
    words_[innermost] = addressAt(thunk).value();
    activation_ = {nullptr, addressAt(thunk), reinterpret_cast<const Activation::Registers *>(words_.data()),
                   isKnown_ ? Activation::Exit::Host : Activation::Exit::Unknown, Address()};
    chain_.innermost = &activation_;
    for (size_t i = 0; i < thunk; ++i)
      if (!isKnown_ || !returns_.contains(i))
        expectWord(i);
  }
  void writeReturn(size_t at) {
    auto handle = static_cast<Handle>(random_.below(objectCount));
    const CodeObject &object = objects_[handle];
    words_[at] = (object.segment(SegmentKind::Code).base + callEnd).value();
    returns_[at] = handle;
    if (!isKnown_)
      return;
    expected_[handle].isActive = true;
    expected_[handle].isCodePinned |= objects_.mayReturnTwice(object, callEnd) || hasShadowStack();
  }
  std::uint64_t anyWord() {
    const CodeObject &object = objects_[static_cast<Handle>(random_.below(objectCount))];
    switch (random_.below(20)) {
    case 0:
      return (object.segment(SegmentKind::Code).base + callEnd).value();
    case 1:
      return (object.segment(SegmentKind::Code).base + random_.below(codeBytes + 1)).value();
    case 2:
      return object.segment(SegmentKind::Data).exists()
                 ? (object.segment(SegmentKind::Data).base + random_.below(dataBytes + 1)).value()
                 : 0;
    case 3:
      return (thunks_.base + random_.below(256)).value();
    default:
      return random_.bits();
    }
  }
  // Where one ends and another begins, the word may be of either.
  void expectWord(size_t at) {
    for (Handle handle = 0; handle < objectCount; ++handle) {
      const CodeObject &object = objects_[handle];
      std::uint64_t inCode = words_[at] - object.segment(SegmentKind::Code).base.value();
      std::uint64_t inData = words_[at] - object.segment(SegmentKind::Data).base.value();
      bool isLeftOver = isKnown_ && at >= registerWords && inCode == callEnd && !object.keepsCodeAddresses &&
                        !objects_.shapes().isJumpTarget(object, callEnd);
      expected_[handle].isCodePinned |= inCode <= codeBytes && !isLeftOver;
      expected_[handle].isDataPinned |= object.segment(SegmentKind::Data).exists() && inData <= dataBytes;
    }
  }

  // Exact slots lead to where code has moved, and no other word changes.
  void checkFollow() {
    std::vector<std::uint64_t> before(words_.begin(), words_.end());
    constexpr Size distance = 4096;
    for (Handle handle = 0; handle < objectCount; ++handle) {
      code_.leaves(objects_[handle]);
      Segment &code = objects_[handle].segment(SegmentKind::Code);
      code.base = code.base + distance;
      code_.arrived(objects_[handle]);
    }
    roots_.follow();
    for (size_t i = 0; i < words_.size(); ++i)
      REQUIRE(words_[i] - before[i] == (isKnown_ && returns_.contains(i) ? distance : 0));
  }

  Address addressAt(size_t word) const { return Address::of(words_.data() + word); }

  static constexpr size_t registerWords = 5, frameWord = Activation::frameOffset / 8;

  std::unique_ptr<Arena> arena_ = need(Arena::create(Arena::minBytes));
  Range thunks_{arena_->segments(SegmentKind::Code).limit.shifted(-4096), arena_->segments(SegmentKind::Code).limit};
  NoOwner owner_;
  ActivationChain chain_;
  EntryLog log_{chain_, owner_};
  CodeObjects objects_;
  OwnerIndex code_{SegmentKind::Code, arena_->segments(SegmentKind::Code)};
  OwnerIndex data_{SegmentKind::Data, arena_->segments(SegmentKind::Data)};
  StackWalk walk_{arena_->range(), thunks_, code_, data_, objects_.shapes()};
  Roots roots_{chain_, log_, walk_, objects_, thunks_};
  Activation activation_{};
  std::array<std::uint64_t, 128> words_{};
  bool isKnown_ = false;
  std::map<size_t, Handle> returns_; // words that are return addresses of frames
  std::array<Expected, objectCount> expected_{};
  Random random_{++made};

  static inline std::uint64_t made = 0;
};

} // namespace

TEST_CASE("roots: a return slot is exact, and whatever else may point into code or data that moves pins it") {
  SHOW_SEED;
  for (int i = 0; i < 300; ++i) {
    CAPTURE(i);
    Stack().check();
  }
}

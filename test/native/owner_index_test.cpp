// Address -> code object. Oracle: a search of all code objects.
#include "support.h"

#include "move/owner_index.h"

#include <deque>
#include <set>

using namespace nomad;
using namespace nomad::test;

namespace {

const Range range = Range::at(Address::of(0x10000000), Size{1} << 20);

struct Field {
  std::deque<CodeObject> objects; // which don't move in memory
  OwnerIndex index{SegmentKind::Code, range};

  CodeObject &place(Offset offset, std::uint32_t size) {
    CodeObject &object = objects.emplace_back();
    arrive(object, offset, size);
    return object;
  }
  void arrive(CodeObject &object, Offset offset, std::uint32_t size) {
    object.segment(SegmentKind::Code) = {range.base + offset, size, 4};
    object.state = State::Placed;
    index.arrived(object);
  }
  void remove(CodeObject &object) {
    index.leaves(object);
    object.state = State::Vacant;
  }
  CodeObject *search(Address address) {
    for (CodeObject &object : objects)
      if (object.state == State::Placed && object.segment(SegmentKind::Code).range().contains(address))
        return &object;
    return nullptr;
  }
  std::set<const CodeObject *> searchBegins(Range part) {
    std::set<const CodeObject *> found;
    for (CodeObject &object : objects)
      if (object.state == State::Placed && part.contains(object.segment(SegmentKind::Code).base))
        found.insert(&object);
    return found;
  }
  bool isVacant(Range part) {
    for (CodeObject &object : objects)
      if (object.state == State::Placed && object.segment(SegmentKind::Code).range().overlaps(part))
        return false;
    return true;
  }
};

} // namespace

TEST_CASE("owner index: the first and the last byte of each, and nobody beside") {
  Field field;
  CodeObject &a = field.place(0, 16), &b = field.place(16, 48), &last = field.place(static_cast<Offset>(range.size()) - 32, 32);
  CHECK(field.index.find(range.base) == &a);
  CHECK(field.index.find(range.base + 15) == &a);
  CHECK(field.index.find(range.base + 16) == &b);
  CHECK(field.index.find(range.base + 63) == &b);
  CHECK(field.index.find(range.base + 64) == nullptr);
  CHECK(field.index.find(range.limit.shifted(-1)) == &last);
  CHECK(field.index.find(range.limit) == nullptr);
  CHECK(field.index.find(range.base.shifted(-1)) == nullptr);
  CHECK(field.index.find(Address::of(std::uint64_t{0})) == nullptr);
  CHECK(field.index.find(Address::of(~std::uint64_t{0})) == nullptr);
}

TEST_CASE("owner index: one that reaches over several windows, with small ones behind it") {
  Field field;
  CodeObject &large = field.place(1000 * 16, 300 * 1024), &small = field.place(1000 * 16 + 300 * 1024, 16);
  for (Offset offset = 1000 * 16; offset < 1000 * 16 + 300 * 1024; offset += 4096 - 16)
    CHECK(field.index.find(range.base + offset) == &large);
  CHECK(field.index.find(range.base + (1000 * 16 + 300 * 1024)) == &small);
  field.remove(large);
  CHECK(field.index.find(range.base + 100000) == nullptr);
  CHECK(field.index.find(range.base + (1000 * 16 + 300 * 1024)) == &small);
}

TEST_CASE("owner index: who comes back, and who takes another's place") {
  Field field;
  CodeObject &a = field.place(0, 64);
  for (int i = 1; i < 1000; ++i) {
    field.index.leaves(a);
    field.arrive(a, static_cast<Offset>(i % 2 * 128), 64);
    CHECK(field.index.find(range.base + (i % 2 * 128 + 63)) == &a);
    CHECK(field.index.find(range.base + ((i + 1) % 2 * 128)) == nullptr);
  }
  field.remove(a);
  CodeObject &b = field.place(128, 64);
  CHECK(field.index.find(range.base + 130) == &b);
  CHECK(field.index.bytes() < 64 * 1024);
}

TEST_CASE("owner index: a collection's moves there and back, out of whole windows or not") {
  Field field;
  constexpr Offset half = 1 << 19, stride = 64, count = half / stride;
  for (Offset i = 0; i < count; ++i)
    field.place(i * stride, stride);
  Size bytes = 0;
  for (int round = 1; round <= 20; ++round) {
    Offset from = round % 2 == 1 ? 0 : half, to = half - from;
    for (Offset i = 0; i < count; ++i)
      if (i % 8 != 0 || round % 8 < 6) { // the others stay for two rounds
        CodeObject &object = field.objects[i];
        if (object.segment(SegmentKind::Code).base == range.base + (to + i * stride))
          continue;
        field.index.leaves(object);
        field.arrive(object, to + i * stride, stride);
      }
    bytes = round == 2 ? field.index.bytes() : bytes;
    for (Offset i = 0; i < count; i += 5)
      CHECK(field.index.find(field.objects[i].segment(SegmentKind::Code).base + 3) == &field.objects[i]);
  }
  CHECK(field.index.bytes() <= 2 * bytes);
}

TEST_CASE("owner index: random places, moves and ends") {
  SHOW_SEED;
  Random random;
  Field field;
  for (int step = 0; step < 5000; ++step) {
    auto offset = static_cast<Offset>(random.below(range.size() / 16) * 16);
    auto size = static_cast<std::uint32_t>(1 + (random.oneIn(20) ? random.below(200000) : random.below(3000)));
    Range part = Range::at(range.base + offset, size);
    bool fits = range.contains(part) && field.isVacant(part);
    if (!field.objects.empty() && random.oneIn(2)) {
      CodeObject &object = field.objects[random.below(field.objects.size())];
      if (object.state == State::Placed)
        field.remove(object);
      else if (fits)
        field.arrive(object, offset, size);
    } else if (fits && field.objects.size() < 200) {
      field.place(offset, size);
    }
    for (int i = 0; i < 4; ++i) {
      Address address = random.oneIn(2) ? range.base + random.below(range.size()) : part.base.shifted(i - 2);
      REQUIRE(field.index.find(address) == field.search(address));
    }
    Range windows = Range::at(range.base + random.below(12) * OwnerIndex::windowBytes, 4 * OwnerIndex::windowBytes);
    std::multiset<const CodeObject *> visited;
    field.index.every(windows, [&](const CodeObject &object) { visited.insert(&object); });
    auto begins = field.searchBegins(windows);
    REQUIRE(std::equal(visited.begin(), visited.end(), begins.begin(), begins.end()));
  }
}

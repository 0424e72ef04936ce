#include "link/relocation_apply.h"

#include "base/assert.h"

#include <cstring>

using namespace nomad;

namespace {

constexpr size_t manyBytes = 64; // of encoded sites: with fewer, a group is not worth a look after each part of a copy

bool isLong(const RelocationGroup &group) { return group.bytes() >= manyBytes; }

template <typename Word>
inline void add(std::byte *at, Delta delta) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  word += static_cast<Word>(delta);
  std::memcpy(at, &word, sizeof word);
}

// By how much sites change when they move by `site` and what they refer to by `target`.
Delta change(Formula formula, Delta site, Delta target) {
  switch (formula) {
  case Formula::Relative32:
  case Formula::Relative64:
    return target - site;
  case Formula::Negative32:
  case Formula::Negative64:
    return site - target;
  case Formula::Absolute64:
    return target;
  case Formula::DataPointer:
    break;
  }
  NOMAD_ASSERT(false, "a pointer that the program may change leads to its own code object, or to what is fixed");
  return 0;
}

std::uint32_t addUpTo(Offset border, SiteCursor &cursor, Formula formula, std::byte *bytes, Delta delta) {
  if (delta == 0)
    return 0;
  if (widthOf(formula) == sizeof(std::uint32_t))
    return cursor.upTo(border, [=](Offset site) { add<std::uint32_t>(bytes + site, delta); });
  return cursor.upTo(border, [=](Offset site) { add<std::uint64_t>(bytes + site, delta); });
}

// Linkers pad segments of code objects with pointers in data, so one past the last element is inside.
bool pointsInto(std::uint64_t value, const SegmentMove &segment) { return value - segment.from.value() < segment.size; }

std::uint32_t adjustPointersUpTo(Offset border, SiteCursor &cursor, const SegmentMoves &moves) {
  std::uint32_t adjusted = 0;
  cursor.upTo(border, [&](Offset site) {
    std::byte *at = moves[indexOf(SegmentKind::Data)].bytes + site;
    std::uint64_t value;
    std::memcpy(&value, at, sizeof value);
    for (const SegmentMove &segment : moves)
      if (pointsInto(value, segment)) {
        add<std::uint64_t>(at, segment.delta());
        ++adjusted;
        return;
      }
  });
  return adjusted;
}

std::uint32_t applyUpTo(Offset border, SiteCursor &cursor, const RelocationGroup &group, const SegmentMoves &moves) {
  if (group.formula == Formula::DataPointer)
    return adjustPointersUpTo(border, cursor, moves);
  const SegmentMove &site = moves[indexOf(group.segment)];
  Delta target = group.target < TargetKind::Fixed ? moves[static_cast<size_t>(group.target)].delta() : 0;
  return addUpTo(border, cursor, group.formula, site.bytes, change(group.formula, site.delta(), target));
}

std::uint32_t applyGroup(const RelocationGroup &group, const SegmentMoves &moves) {
  SiteCursor cursor = group.cursor();
  return applyUpTo(SiteCursor::noBorder, cursor, group, moves);
}

} // namespace

std::uint32_t RelocationTable::applyGroups(const SegmentMoves &moves) const {
  std::uint32_t applied = 0;
  everyGroup(groups(), [&](const RelocationGroup &group) { applied += applyGroup(group, moves); });
  return applied;
}

std::uint32_t RelocationTable::applyReferences(const SegmentMoves &segments, Delta delta,
                                               llvm::function_ref<bool(SegmentReference)> moves) const {
  std::uint32_t applied = 0;
  everyGroup(groups(), [&](const RelocationGroup &group) {
    if (group.target != TargetKind::Reference || !moves(group.reference))
      return;
    SiteCursor cursor = group.cursor();
    // Only what is referred to moves.
    applied += addUpTo(SiteCursor::noBorder, cursor, group.formula, segments[indexOf(group.segment)].bytes,
                       change(group.formula, 0, delta));
  });
  return applied;
}

PartwiseMove::PartwiseMove(const RelocationTable &table, const SegmentMoves &moves) : table_(table), moves_(moves) {
  everyGroup(table.groups(), [&](const RelocationGroup &group) {
    if (isLong(group))
      rest_.push_back({group, group.cursor()});
  });
}

void PartwiseMove::arrived(SegmentKind segment, Size bytes) {
  constexpr Size widest = sizeof(std::uint64_t);
  if (bytes < widest)
    return;
  Offset border = static_cast<Offset>(bytes - widest + 1);
  for (Rest &rest : rest_)
    if (rest.group.segment == segment)
      applied_ += applyUpTo(border, rest.cursor, rest.group, moves_);
}

std::uint32_t PartwiseMove::finish() {
  for (Rest &rest : rest_)
    applied_ += applyUpTo(SiteCursor::noBorder, rest.cursor, rest.group, moves_);
  everyGroup(table_.groups(), [&](const RelocationGroup &group) {
    if (!isLong(group))
      applied_ += applyGroup(group, moves_);
  });
  return applied_;
}

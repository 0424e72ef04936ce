// What a move must rewrite: where, by which formula, towards what. Nothing else of a link is kept (I3).
//
// With S the segment that holds the site, T the one it refers to, and d the distance a segment moves:
//
//   Relative32, Relative64   site += dT - dS     call, lea, load: target - site
//   Negative32, Negative64   site += dS - dT     site - target
//   Absolute64               site += dT          address in code or constants
//   DataPointer              if site points into a segment of this code object: site += that one's d     (I4)
//
// A formula whose result is always 0 makes no record: relative with S = T (I1), absolute towards something fixed. The d of what
// is fixed (entry stubs, process symbols) is 0; so is another code object's, whose own moves are applied through
// `applyReferences`.
//
// Encoding (I2). A group for each (segment, formula, target, reference):
//
//   | formula:3 segment:2 target:3 | [reference: ULEB] | bytes that follow: ULEB | sites ... |
//
// A site is the ULEB distance from the one before it (the first: from -1), so never 0; `0 stride count` says that `count` more
// sites follow, each `stride` after the one before.
#pragma once

#include "base/address.h"
#include "base/integrity.h"
#include "memory/arena.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

namespace nomad {

enum class Formula : std::uint8_t { Relative32, Relative64, Negative32, Negative64, Absolute64, DataPointer };

/// The first three are the code object's own segments, in the order of SegmentKind.
enum class TargetKind : std::uint8_t { Code, Constants, Data, Fixed, Reference };

/// A segment of the code object at an index among the references of another (Links).
enum class SegmentReference : std::uint32_t {};
constexpr SegmentReference referenceTo(std::uint32_t index, SegmentKind segment) {
  return static_cast<SegmentReference>(index * 3 + static_cast<std::uint32_t>(indexOf(segment)));
}
constexpr std::uint32_t indexOfReference(SegmentReference reference) { return static_cast<std::uint32_t>(reference) / 3; }
constexpr SegmentKind segmentOfReference(SegmentReference reference) {
  return static_cast<SegmentKind>(static_cast<std::uint32_t>(reference) % 3);
}

struct Relocation {
  SegmentKind segment; // of the site
  Formula formula;
  TargetKind target;
  SegmentReference reference; // where target is Reference
  Offset site;

  auto operator<=>(const Relocation &) const = default;
};

constexpr Size widthOf(Formula formula) {
  return formula == Formula::Relative32 || formula == Formula::Negative32 ? sizeof(std::uint32_t) : sizeof(std::uint64_t);
}

/// One segment's part in a move: its bytes at the new place, and where it was and will be.
struct SegmentMove {
  std::byte *bytes = nullptr;
  Address from;
  Address to;
  Size size = 0;

  Delta delta() const { return to - from; }
};
using SegmentMoves = std::array<SegmentMove, 3>;

class RelocationTable {
public:
  RelocationTable() = default;

  /// Takes relocations in any order.
  static RelocationTable encode(std::vector<Relocation> relocations);
  std::vector<Relocation> decode() const;

  /// Rewrites all sites for a move of the code object's own segments; returns how many it rewrote.
  std::uint32_t applyMove(const SegmentMoves &moves) const { return encoded_ ? applyGroups(moves) : 0; }
  /// Rewrites the sites towards these references, where all that they refer to moves by `delta`.
  std::uint32_t applyReferences(const SegmentMoves &segments, Delta delta,
                                llvm::function_ref<bool(SegmentReference)> moves) const;

  std::uint32_t count() const { return encoded_ ? encoded_->count : 0; }
  std::uint32_t bytes() const { return encoded_ ? encoded_->size : 0; }
  /// As the encoding above has them.
  llvm::ArrayRef<std::uint8_t> groups() const {
    return encoded_ ? llvm::ArrayRef(encoded_->begin(), encoded_->size) : llvm::ArrayRef<std::uint8_t>();
  }
  void clear() { encoded_.reset(); }
  /// With segments of these sizes, and so many references. Always true:
  ///   1. groups are whole, and of kinds that there are; pointers that programs may change are in data;
  ///   2. sites of a group ascend and lie in its segment with all their bytes;
  ///   3. a reference is one of those that there are;
  ///   4. there are as many sites as `count` says;
  ///   5. no two sites share bytes.
  llvm::Error checkIntegrity(const std::array<Size, 3> &sizes, Size references) const;
  /// Takes all but the relocations towards other code objects, as bytes that `putBack` of the same `id` accepts.
  std::vector<std::uint8_t> takeOwn(std::uint64_t id);
  /// `sizes` of the segments. Errors: State that says what is wrong; then nothing has changed.
  llvm::Error putBack(llvm::ArrayRef<std::uint8_t> saved, std::uint64_t id, const std::array<Size, 3> &sizes);
  /// Groups of all but the relocations towards other code objects, as `fromGroups` takes them; and how many relocations.
  std::pair<std::vector<std::uint8_t>, std::uint32_t> ownGroups() const;
  /// `more` besides. None if `groups` are not `count` own relocations whose sites lie in segments of these sizes, each in bytes
  /// of its own.
  static std::optional<RelocationTable> fromGroups(llvm::ArrayRef<std::uint8_t> groups, std::uint32_t count,
                                                   const std::array<Size, 3> &sizes, llvm::ArrayRef<Relocation> more);
  /// For a code object that will not move again: others that it calls still may.
  void keepOnlyReferences();

private:
  friend Damage;

  std::uint32_t applyGroups(const SegmentMoves &moves) const;
  /// None if they are not groups of own relocations whose sites lie in segments of these sizes, each in bytes of its own.
  static std::optional<std::vector<Relocation>> decodeChecked(llvm::ArrayRef<std::uint8_t> groups,
                                                              const std::array<Size, 3> &sizes);

  // One word in the code object: without relocations, that is all.
  struct Encoded {
    std::uint32_t size;
    std::uint32_t count;
    const std::uint8_t *begin() const { return reinterpret_cast<const std::uint8_t *>(this + 1); }
    const std::uint8_t *end() const { return begin() + size; }
  };
  struct Free {
    void operator()(Encoded *encoded) const { std::free(encoded); }
  };

  std::unique_ptr<Encoded, Free> encoded_;
};

} // namespace nomad

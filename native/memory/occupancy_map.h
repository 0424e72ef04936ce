// Which granules of a range belong to a live code object: one bit for 16 bytes.
//
// It makes a batch of moves all or nothing (I7): vacate every old place, claim every new one, and undo if a claim meets a
// granule that is claimed. Costs a few word operations for a small segment, 1/1000 of the copying for a large one.
#pragma once

#include "base/assert.h"
#include "base/integrity.h"
#include "memory/mapping.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace nomad {

class OccupancyMap {
public:
  static constexpr Size granule = 16;

  static llvm::Expected<OccupancyMap> create(Range range);

  /// Is no granule of it claimed?
  bool isVacant(Range part) const {
    Granules wanted = granules(part);
    return inOneWord(wanted) ? (words()[wanted.first / bitsPerWord] & maskOf(wanted)) == 0 : isVacantMany(wanted);
  }
  /// Claims all of `part`, or nothing and false if some of it is claimed.
  bool claim(Range part) {
    Granules wanted = granules(part);
    if (!inOneWord(wanted))
      return claimMany(wanted);
    std::uint64_t mask = maskOf(wanted), &word = words()[wanted.first / bitsPerWord];
    if ((word & mask) != 0)
      return false;
    word |= mask;
    return true;
  }
  void vacate(Range part) {
    Granules left = granules(part);
    if (inOneWord(left))
      words()[left.first / bitsPerWord] &= ~maskOf(left);
    else
      vacateMany(left);
  }

  /// Bytes in claimed granules. Counts them all.
  Size claimedBytes() const;
  /// A claimed range, and its owner.
  struct Owned {
    Range range;
    llvm::StringRef owner;
  };
  /// `owned` is all that there is, in address order. Always true:
  ///   1. what is owned lies in the range, and is not empty;
  ///   2. no granule has two owners;
  ///   3. each granule that has an owner is claimed;
  ///   4. no other granule is: what is claimed is the sum of what is owned.
  llvm::Error checkIntegrity(llvm::ArrayRef<Owned> owned) const;
  /// Bytes of this map that are resident.
  Size footprint() const;

  /// The first run of vacant whole pages at or after `from`; empty at the range's end.
  Range nextVacantPages(Address from) const;

  /// Ranges that follow each other granule by granule, as one: a batch of moves is claimed and vacated many pieces at a time.
  class Run {
  public:
    bool isEmpty() const { return range_.size() == 0; }
    Range range() const { return range_; }
    void begin(Range first) { range_ = first; }
    /// False, and nothing has changed, if `next` does not begin in the granule after it.
    bool extend(Range next) {
      if (roundUp(range_.limit.value(), granule) != roundDown(next.base.value(), granule))
        return false;
      range_.limit = next.limit;
      return true;
    }

  private:
    Range range_;
  };

private:
  friend Damage;

  OccupancyMap(Range range, Mapping bits) : range_(range), bits_(std::move(bits)) {}

  static constexpr Size bitsPerWord = 64;

  // Granules [first, limit), rounded outwards.
  struct Granules {
    Size first;
    Size limit;
  };
  Granules granules(Range part) const {
    NOMAD_ASSERT(range_.contains(part) && part.size() > 0, "segments lie in their range");
    return {static_cast<Size>(part.base - range_.base) / granule,
            (static_cast<Size>(part.limit - range_.base) + granule - 1) / granule};
  }
  static bool inOneWord(Granules part) { return part.first / bitsPerWord == (part.limit - 1) / bitsPerWord; }
  /// The bits of granules that lie in one word.
  static std::uint64_t maskOf(Granules part) {
    return ~std::uint64_t{0} >> (bitsPerWord - (part.limit - part.first)) << part.first % bitsPerWord;
  }
  // What holds the bits of granules that lie in several words: part of the first one and of the last, and all between.
  struct Words {
    std::uint64_t *first;
    std::uint64_t *last;
    std::uint64_t firstMask;
    std::uint64_t lastMask;
  };
  Words wordsOf(Granules part) const {
    Size first = part.first / bitsPerWord, last = (part.limit - 1) / bitsPerWord;
    return {words() + first, words() + last, maskOf({part.first, (first + 1) * bitsPerWord}),
            maskOf({last * bitsPerWord, part.limit})};
  }
  bool isVacantMany(Granules part) const;
  bool isClaimed(Granules part) const;
  bool claimMany(Granules part);
  void vacateMany(Granules part);
  std::uint64_t *words() const { return bits_.range().base.pointer<std::uint64_t>(); }
  bool isVacantPage(Size page) const;

  Range range_;
  Mapping bits_;
};

} // namespace nomad

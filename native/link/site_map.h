// The bytes of a code object that sites have. Each byte belongs to one site at most: of two that share one, the later would be
// what the program sees, and a move would add both distances to it.
#pragma once

#include "link/relocation_table.h"

#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/STLExtras.h"

namespace nomad {

class SiteMap {
public:
  /// False, and nothing is taken, if one of its bytes belongs to another site.
  bool add(SegmentKind segment, Offset site, Formula formula) {
    llvm::BitVector &taken = taken_[indexOf(segment)];
    auto limit = static_cast<unsigned>(site + widthOf(formula));
    if (taken.size() < limit)
      taken.resize(std::max(limit, 2 * taken.size()));
    if (taken.find_first_in(site, limit) != -1)
      return false;
    taken.set(site, limit);
    return true;
  }

private:
  std::array<llvm::BitVector, 3> taken_;
};

inline bool shareBytes(llvm::ArrayRef<Relocation> relocations) {
  SiteMap sites;
  return llvm::any_of(relocations, [&](const Relocation &each) { return !sites.add(each.segment, each.site, each.formula); });
}

} // namespace nomad

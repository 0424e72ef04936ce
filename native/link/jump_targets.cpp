#include "link/jump_targets.h"

#include "link/call_site.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

std::vector<Address> JumpTargets::labels() const {
  std::vector<Address> bases = bases_;
  llvm::sort(bases);
  std::vector<Address> labels = labels_;
  for (const Entry &entry : entries_)
    if (auto base = llvm::upper_bound(bases, entry.site);
        base != bases.begin()) // else an unwind record's, and what code doesn't read
      labels.push_back(entry.value.shifted(*std::prev(base) - entry.site));
  return labels;
}

std::vector<Offset> JumpTargets::behindCalls(Range code, const std::byte *bytes) const {
  std::vector<Offset> found;
  for (Address label : labels()) {
    if (!code.contains(label))
      continue;
    auto offset = static_cast<Offset>(label - code.base);
    if (isBehindCall(bytes, offset))
      found.push_back(offset);
  }
  llvm::sort(found);
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

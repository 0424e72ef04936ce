#include "link/jump_targets.h"

#include "link/call_site.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::jitlink;

void JumpTargets::addEdge(const Block &block, const Edge &edge) {
  const Symbol &target = edge.getTarget();
  if (!target.isDefined())
    return;
  bool fromText = text_.contains(&block.getSection()), toText = text_.contains(&target.getSection());
  std::uint64_t value = target.getAddress().getValue() + static_cast<std::uint64_t>(edge.getAddend());
  if (fromText && !toText)
    bases_.push_back(edge.getKind() == x86_64::Delta32 ? value + 4 : value); // counted from the instruction's end
  if (!fromText && toText && edge.getKind() == x86_64::Delta32)
    entries_.push_back({block.getAddress().getValue() + edge.getOffset(), value});
  if (!fromText && toText && edge.getKind() == x86_64::Pointer64)
    labels_.push_back(Address::of(value));
}

std::vector<Address> JumpTargets::labels() const {
  std::vector<std::uint64_t> bases = bases_;
  llvm::sort(bases);
  std::vector<Address> labels = labels_;
  for (const Entry &entry : entries_)
    if (auto base = llvm::upper_bound(bases, entry.site);
        base != bases.begin()) // else an unwind record's, and what code doesn't read
      labels.push_back(Address::of(entry.value - (entry.site - *std::prev(base))));
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

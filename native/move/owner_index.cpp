#include "move/owner_index.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace nomad;

void OwnerIndex::order(Size index) {
  Window &window = windows_[index];
  auto isElsewhere = [&](const CodeObject *object) {
    const Segment &segment = object->segment(kind_);
    return object->state != State::Placed || !segment.exists() || !range_.contains(segment.base) ||
           indexOfWindow(segment.base) != index;
  };
  auto base = [&](const CodeObject *object) { return object->segment(kind_).base; };
  std::erase_if(window.objects, isElsewhere);
  llvm::sort(window.objects, [&](auto *a, auto *b) { return base(a) < base(b); });
  window.objects.erase(std::unique(window.objects.begin(), window.objects.end()), window.objects.end());
  window.roomFor = std::max(leastRoom, 2 * window.objects.size());
  window.isOrdered = true;
}

CodeObject *OwnerIndex::findIn(Size index, Address address) {
  Window &window = windows_[index];
  if (!window.isOrdered)
    order(index);
  auto after = llvm::upper_bound(window.objects, address,
                                 [&](Address a, const CodeObject *object) { return a < object->segment(kind_).base; });
  return after == window.objects.begin() ? nullptr : *std::prev(after);
}

CodeObject *OwnerIndex::find(Address address) {
  if (!range_.contains(address))
    return nullptr;
  Size index = indexOfWindow(address);
  Size earliest = index - std::min<Size>(index, largest_ / windowBytes + 1);
  for (;; --index) {
    // The last one that begins before the address is the only one that may reach it.
    if (CodeObject *object = findIn(index, address))
      return object->segment(kind_).range().contains(address) ? object : nullptr;
    if (index == earliest)
      return nullptr;
  }
}

Size OwnerIndex::bytes() const {
  Size bytes = windows_.size() * sizeof(Window);
  for (const Window &window : windows_)
    bytes += window.objects.capacity() * sizeof(CodeObject *);
  return bytes;
}

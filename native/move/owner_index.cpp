#include "move/owner_index.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace nomad;
using namespace llvm;

bool OwnerIndex::isIn(Size index, size_t slot) const {
  const Segment &segment = windows_[index].objects[slot]->segment(kind_);
  return segment.ownerSlot == slot && indexOfWindow(segment.base) == index;
}

// A collection empties whole windows: then no owner is looked at.
void OwnerIndex::dropLeft(Size index) {
  Window &window = windows_[index];
  size_t kept = 0;
  if (window.left < window.objects.size())
    for (size_t slot = 0; slot < window.objects.size(); ++slot)
      if (isIn(index, slot)) {
        window.objects[slot]->segment(kind_).ownerSlot = static_cast<std::uint16_t>(kept);
        window.objects[kept++] = window.objects[slot];
      }
  window.objects.resize(kept);
  window.left = 0;
}

void OwnerIndex::order(Size index) {
  std::lock_guard<std::mutex> lock(mutex_);
  dropLeft(index);
  Window &window = windows_[index];
  auto isBefore = [&](const CodeObject *a, const CodeObject *b) { return a->segment(kind_).base < b->segment(kind_).base; };
  if (!llvm::is_sorted(window.objects, isBefore)) { // a collection fills a window in ascending order
    llvm::sort(window.objects, isBefore);
    for (auto [slot, object] : enumerate(window.objects))
      object->segment(kind_).ownerSlot = static_cast<std::uint16_t>(slot);
  }
  window.isOrdered = true;
}

CodeObject *OwnerIndex::findIn(Size index, Address address) {
  Window &window = windows_[index];
  if (!window.isOrdered || window.left > 0)
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

Error OwnerIndex::checkWindows(ArrayRef<CodeObject *> owners) const {
  std::vector<Size> present(windows_.size());
  for (const CodeObject *owner : owners) {
    const Segment &segment = owner->segment(kind_);
    const Window &window = windows_[indexOfWindow(segment.base)];
    if (segment.ownerSlot >= window.objects.size() || window.objects[segment.ownerSlot] != owner || segment.size > largest_)
      return broken("owner index", 1, "code object " + Twine(quoted(*owner)) + " is not where its slot says");
    ++present[indexOfWindow(segment.base)];
  }
  for (auto [index, window] : enumerate(windows_))
    if (window.objects.size() != present[index] + window.left)
      return broken("owner index", 2,
                    "window " + Twine(index) + " has " + Twine(window.objects.size()) + " entries, of which " +
                        Twine(present[index]) + " are there and " + Twine(window.left) + " have left");
  return Error::success();
}

Error OwnerIndex::checkIntegrity(ArrayRef<CodeObject *> owners) {
  if (Error error = checkWindows(owners))
    return error;
  Address vacantFrom = range_.base;
  auto isNobodys = [&](Address address) { return !range_.contains(address) || !find(address); };
  for (CodeObject *owner : owners) {
    Range part = owner->segment(kind_).range();
    for (Address at : {part.base, part.base + part.size() / 2, part.limit.shifted(-1)})
      if (find(at) != owner)
        return broken("owner index", 3, "code object " + Twine(quoted(*owner)) + " is not found at " + hex(at.value()));
    if (vacantFrom < part.base && !(isNobodys(vacantFrom) && isNobodys(part.base.shifted(-1))))
      return broken("owner index", 4, "an owner is found before code object " + Twine(quoted(*owner)));
    vacantFrom = part.limit;
  }
  return isNobodys(vacantFrom) ? Error::success()
                               : broken("owner index", 4, "an owner is found after all, at " + hex(vacantFrom.value()));
}

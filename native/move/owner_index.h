// Address -> the code object that has a segment there.
//
// The range is cut into windows, and each has a list of the code objects that begin in it. A collection moves thousands of code
// objects and asks for the owners of a few words on the stack. So an arrival is one entry at the end of its window's list,
// leaving is a count, and a window's list is put in order when an address in it is looked up.
#pragma once

#include "base/integrity.h"
#include "link/code_object.h"

#include <mutex>
#include <vector>

namespace nomad {

class OwnerIndex {
public:
  static constexpr Size windowBytes = 64 * 1024;

  OwnerIndex(SegmentKind kind, Range range) : kind_(kind), range_(range), windows_(range.size() / windowBytes + 1) {}

  /// Before the segment's base changes, or the code object goes.
  void leaves(CodeObject &object) {
    Segment &segment = object.segment(kind_);
    ++windows_[indexOfWindow(segment.base)].left;
    segment.ownerSlot = Segment::noOwnerSlot;
  }
  /// After its base has changed.
  [[gnu::always_inline]] void arrived(CodeObject &object) {
    Segment &segment = object.segment(kind_);
    if (segment.size > largest_) [[unlikely]]
      largest_ = segment.size;
    Size index = indexOfWindow(segment.base);
    Window &window = windows_[index];
    if (window.left > window.objects.size() / 2 + fewLeft) [[unlikely]]
      dropLeft(index);
    segment.ownerSlot = static_cast<std::uint16_t>(window.objects.size());
    window.objects.push_back(&object);
    window.isOrdered = false;
  }

  /// Null where there is none.
  CodeObject *find(Address address);
  /// Visits those whose segment begins in a part of the range that begins and ends between windows.
  template <typename Visit>
  void every(Range part, Visit visit) const {
    for (Size index = indexOfWindow(part.base); index < windows_.size() && range_.base + index * windowBytes < part.limit;
         ++index)
      for (size_t slot = 0; slot < windows_[index].objects.size(); ++slot)
        if (isIn(index, slot))
          visit(*windows_[index].objects[slot]);
  }

  Size bytes() const;

  /// Held by the Jit's thread while it changes what `every` visits, and by another thread that calls `every`.
  std::mutex &mutex() { return mutex_; }
  /// `owners` are all whose segment is in the range, in address order, without overlap. Always true:
  ///   1. each is in the list of the window that it begins in, at its slot, and counts among the largest;
  ///   2. in each list, `left` counts those that have left;
  ///   3. each is found at its first byte, in its middle and at its last byte;
  ///   4. and nothing in between.
  llvm::Error checkIntegrity(llvm::ArrayRef<CodeObject *> owners);

private:
  friend Damage;

  static constexpr Size fewLeft = 64;
  // No two segments begin in one granule, and `arrived` drops those that have left when they are half of a list and a few more.
  static_assert(2 * (windowBytes / OccupancyMap::granule + fewLeft) < Segment::noOwnerSlot, "a slot fits its 16 bits");

  struct Window {
    // Those that have come. One has left again unless its segment begins here and its `ownerSlot` is its index: leaving costs no
    // look at this list.
    std::vector<CodeObject *> objects;
    Size left = 0;
    bool isOrdered = true; // in address order, except those that have left
  };

  Size indexOfWindow(Address address) const { return static_cast<Size>(address - range_.base) / windowBytes; }
  bool isIn(Size index, size_t slot) const;
  void dropLeft(Size index);
  void order(Size index);
  CodeObject *findIn(Size index, Address address);
  llvm::Error checkWindows(llvm::ArrayRef<CodeObject *> owners) const;

  SegmentKind kind_;
  Range range_;
  std::mutex mutex_;
  std::uint32_t largest_ = 0; // ever, in bytes: how far before an address its owner may begin
  std::vector<Window> windows_;
};

} // namespace nomad

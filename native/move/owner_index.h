// Address -> the code object that has a segment there.
//
// A collection moves thousands of code objects and asks for the owners of a few words on the stack. So an arrival is one entry at
// the end of its window's list, leaving is a mark, and a window's list is put in order when somebody asks for an address in it.
#pragma once

#include "link/code_object.h"

#include <vector>

namespace nomad {

class OwnerIndex {
public:
  OwnerIndex(SegmentKind kind, Range range) : kind_(kind), range_(range), windows_(range.size() / windowBytes + 1) {}

  /// Before the segment's base changes, or the code object goes.
  void leaves(const CodeObject &object) { windows_[indexOfWindow(object.segment(kind_).base)].isOrdered = false; }
  /// After its base has changed.
  void arrived(CodeObject &object) {
    const Segment &segment = object.segment(kind_);
    largest_ = segment.size > largest_ ? segment.size : largest_;
    Size index = indexOfWindow(segment.base);
    Window &window = windows_[index];
    window.isOrdered = false;
    if (window.objects.size() >= window.roomFor)
      order(index);
    window.objects.push_back(&object);
  }

  /// Null where there is none.
  CodeObject *find(Address address);

  Size bytes() const;

private:
  static constexpr Size windowBytes = 64 * 1024;
  static constexpr size_t leastRoom = 64;

  struct Window {
    // Those that begin here, in address order, if `isOrdered`; else some have left and some are there more than once.
    std::vector<CodeObject *> objects;
    size_t roomFor = leastRoom;
    bool isOrdered = true;
  };

  Size indexOfWindow(Address address) const { return static_cast<Size>(address - range_.base) / windowBytes; }
  void order(Size index);
  CodeObject *findIn(Size index, Address address);

  SegmentKind kind_;
  Range range_;
  std::uint32_t largest_ = 0; // ever, in bytes: how far before an address its owner may begin
  std::vector<Window> windows_;
};

} // namespace nomad

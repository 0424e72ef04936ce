// Labels that tables lead to and that come right after a call, so that they look like return addresses.
//
// Code may load such an address, keep it in its frame while it calls something, and jump to it afterwards. Any other word there
// that is the address after a call is the return address of a call that is over: nothing in code has it by another way, unless
// the module takes labels' addresses itself.
//
// An entry of a jump table is its label's distance from the table's base. The bases are what code refers to outside of itself. An
// entry of a program's own table is the label's address.
#pragma once

#include "base/address.h"

#include "llvm/ADT/ArrayRef.h"

#include <vector>

namespace nomad {

class JumpTargets {
public:
  /// Machine code refers to `target`, which is not a label.
  void addBase(Address target) { bases_.push_back(target); }
  /// At `site`, outside of machine code, is a distance: `value` is the label's, if the table begins there.
  void addEntry(Address site, Address value) { entries_.push_back({site, value}); }
  void addLabel(Address label) { labels_.push_back(label); }
  /// Offsets in the code segment, whose linked bytes are at `bytes`.
  std::vector<Offset> behindCalls(Range code, const std::byte *bytes) const;

private:
  std::vector<Address> labels() const;

  struct Entry {
    Address site;
    Address value; // label - base + site
  };

  std::vector<Address> bases_;
  std::vector<Entry> entries_;
  std::vector<Address> labels_;
};

} // namespace nomad

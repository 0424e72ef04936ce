// Labels that tables lead to and that lie behind a call, so that they look like return addresses.
//
// Code may load such an address, keep it in its frame while it calls something, and jump to it afterwards. Any other word there
// that is the address behind a call is the return address of a call that is over: nothing in code has it by another way, unless
// the module takes labels' addresses itself.
//
// An entry of a jump table is its label's distance from the table's base. The bases are what code refers to outside of itself. An
// entry of a program's own table is the label's address.
#pragma once

#include "base/address.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"

#include <vector>

namespace nomad {

class JumpTargets {
public:
  void addText(const llvm::jitlink::Section &section) { text_.insert(&section); }
  /// An edge, at its nominal address.
  void addEdge(const llvm::jitlink::Block &block, const llvm::jitlink::Edge &edge);
  /// Offsets in the code segment, whose linked bytes are at `bytes`.
  std::vector<Offset> behindCalls(Range code, const std::byte *bytes) const;

private:
  std::vector<Address> labels() const;

  struct Entry {
    std::uint64_t site;
    std::uint64_t value; // label - base + site
  };

  llvm::DenseSet<const llvm::jitlink::Section *> text_;
  std::vector<std::uint64_t> bases_;
  std::vector<Entry> entries_;
  std::vector<Address> labels_;
};

} // namespace nomad

// Host stubs: the addresses of host functions in code. Stub i puts i in r10 and jumps to the host thunk in slot i; 16 bytes,
// never rewritten. Stubs come in blocks that the engine takes from where its thunks are.
#pragma once

#include "memory/write_scope.h"

#include <vector>

namespace nomad {

using HostIndex = std::uint32_t;

class HostTable {
public:
  static constexpr Size stubBytes = 16;
  static constexpr Size blockLength = 64; // stubs
  static constexpr Size blockCodeBytes = blockLength * stubBytes;
  static constexpr Size blockSlotBytes = blockLength * 8;

  bool isFull() const { return vacant_.empty(); }
  /// Memory for `blockLength` more stubs: code, and data for their slots.
  void addBlock(Arena &arena, Address code, Address slots);
  /// A stub that leads to `thunk`. There must be room.
  HostIndex take(Address thunk);
  void redirect(HostIndex index, Address target) { slot(index) = target.value(); }
  void giveBack(HostIndex index) { vacant_.push_back(index); }

  Address stub(HostIndex index) const { return blocks_[index / blockLength].code + index % blockLength * stubBytes; }

private:
  struct Block {
    Address code;
    Address slots;
  };
  std::uint64_t &slot(HostIndex index) {
    return *(blocks_[index / blockLength].slots + index % blockLength * 8).pointer<std::uint64_t>();
  }

  std::vector<Block> blocks_;
  std::vector<HostIndex> vacant_;
};

} // namespace nomad

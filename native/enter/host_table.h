// Host stubs: the addresses of host functions in code. Stub i puts i in r10 and jumps to the host thunk in slot i; 16 bytes,
// never rewritten. Stubs come in blocks that the engine takes from where its thunks are.
#pragma once

#include "base/integrity.h"
#include "memory/write_scope.h"

#include "llvm/ADT/STLFunctionalExtras.h"

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
  /// All stubs that there are.
  void redirectAll(Address target);
  void giveBack(HostIndex index) { vacant_.push_back(index); }

  /// `owned` are all indices that host functions have. Always true:
  ///   1. each stub loads its own index and jumps through its own slot;
  ///   2. an index that was given back exists, and was given back once;
  ///   3. what a host function has exists, was not given back, and has no other owner;
  ///   4. all others were given back;
  ///   5. its slot leads somewhere.
  llvm::Error checkIntegrity(llvm::ArrayRef<HostIndex> owned) const;
  /// Visits the code and the slots of each block.
  void everyBlock(llvm::function_ref<void(Range code, Range slots)> visit) const;

  Address stub(HostIndex index) const { return blocks_[index / blockLength].code + index % blockLength * stubBytes; }

private:
  friend Damage;

  struct Block {
    Address code;
    Address slots;
  };
  Address slotOf(HostIndex index) const { return blocks_[index / blockLength].slots + index % blockLength * 8; }
  std::uint64_t &slot(HostIndex index) { return *slotOf(index).pointer<std::uint64_t>(); }
  bool isIntact(HostIndex index) const;

  std::vector<Block> blocks_;
  std::vector<HostIndex> vacant_;
};

} // namespace nomad

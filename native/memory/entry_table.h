// Entry stubs: addresses of functions that never move (I10). Stub i is `jmp *slot[i]`, 8 bytes; slot i holds the function's
// present address, or null where there is nothing to run.
#pragma once

#include "memory/arena.h"

#include <vector>

namespace nomad {

using EntryIndex = std::uint32_t;

class EntryTable {
public:
  static constexpr Size stubBytes = 8;
  static constexpr Size slotBytes = 8;

  explicit EntryTable(Arena &arena) : arena_(arena) {}

  /// Errors: SpaceFull.
  llvm::Expected<EntryIndex> take();
  void giveBack(EntryIndex index);

  Address stub(EntryIndex index) const { return arena_.entryStubs().base + index * stubBytes; }
  Address target(EntryIndex index) const { return Address::of(slots()[index]); }
  void redirect(EntryIndex index, Address target) { slots()[index] = target.value(); }

  Address slotBase() const { return arena_.entrySlots().base; }
  Size used() const { return taken_ - vacant_.size(); }
  Size capacity() const { return arena_.entryStubs().size() / stubBytes; }

private:
  std::uint64_t *slots() const { return slotBase().pointer<std::uint64_t>(); }
  void writeStubs(EntryIndex first);

  Arena &arena_;
  EntryIndex taken_ = 0;   // ever
  EntryIndex written_ = 0; // stubs whose code is there
  std::vector<EntryIndex> vacant_;
};

} // namespace nomad

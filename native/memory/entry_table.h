// Entry stubs: addresses of functions that never move (I10). Stub i is `jmp *slot[i]`, 8 bytes; slot i holds the function's
// present address, or null where there is nothing to run.
#pragma once

#include "base/integrity.h"
#include "memory/arena.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <optional>
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

  /// The slot that the bytes of a stub jump through; none if they are no such jump.
  std::optional<Address> slotOf(EntryIndex index) const;
  /// Who has an entry stub, and where it has to lead.
  struct Owned {
    EntryIndex index;
    Address target;
    llvm::StringRef owner;
  };
  /// `owned` is all that there is. Always true:
  ///   1. stubs that have been taken are written, and there is room for them;
  ///   2. each of them jumps through its own slot;
  ///   3. a stub that was given back is one of them, was given back once, and leads to null;
  ///   4. what somebody has was taken, was not given back, and has no other owner;
  ///   5. it leads where its owner says;
  ///   6. nobody else has one: those taken are those owned and those given back.
  llvm::Error checkIntegrity(llvm::ArrayRef<Owned> owned) const;

  Address slotBase() const { return arena_.entrySlots().base; }
  Size used() const { return taken_ - vacant_.size(); }
  Size capacity() const { return arena_.entryStubs().size() / stubBytes; }

private:
  friend Damage;

  llvm::Error checkStubs() const;
  std::uint64_t *slots() const { return slotBase().pointer<std::uint64_t>(); }
  void writeStubs(EntryIndex first);

  Arena &arena_;
  EntryIndex taken_ = 0;   // ever
  EntryIndex written_ = 0; // stubs whose code is there
  std::vector<EntryIndex> vacant_;
};

} // namespace nomad

// Entry stubs: addresses of functions that never move (I10). Stub i leads through slot i, which holds the function's present
// address, or null where there is nothing to run.
//
// Most calls through a stub come from code that a call thunk has entered. What else comes (libuv, another addon, the kernel for a
// signal, another thread) would enter code unseen; so a stub compares the stack pointer with the frame of the thread's call
// thunk, and asks the gate where that is not above it (I16):
//
//    0   64 48 39 24 25 offset   cmpq %rsp, %fs:offset      the thread's EntryWatch::thunkFrame
//    9   76 06                   jbe 17
//   11   ff 25 distance          jmp *slot(%rip)
//   17   e8 distance             call gate
//   22   eb f3                   jmp 11
//
// The gate, before the first stub, gives the watch's function a context in rax; what rax was is on the stack.
#pragma once

#include "base/integrity.h"
#include "memory/arena.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <optional>
#include <vector>

namespace nomad {

using EntryIndex = std::uint32_t;

/// Hears of entries that no call thunk makes.
struct EntryWatch {
  /// From a thread's thread pointer, of a word: the address of the frame of the call thunk that code on the thread runs under, or
  /// 0.
  std::int32_t thunkFrame;
  /// Called with the context in rax, and on the stack: what rax was, where the stub goes on, where the function that the stub is
  /// of returns to. Keeps all registers but the flags, and rax gets its old value.
  Address function;
  Address context;
};

class EntryTable {
public:
  static constexpr Size stubBytes = 24;
  static constexpr Size slotBytes = 8;

  EntryTable(Arena &arena, const EntryWatch &watch) : arena_(arena), watch_(watch) {}

  /// Errors: SpaceFull.
  llvm::Expected<EntryIndex> take();
  void giveBack(EntryIndex index);

  Address stub(EntryIndex index) const { return arena_.entryStubs().base + gateBytes + index * stubBytes; }
  Address target(EntryIndex index) const { return Address::of(slots()[index]); }
  void redirect(EntryIndex index, Address target) { slots()[index] = target.value(); }
  /// The slot that the bytes of a stub jump through; none if they are no such jump.
  std::optional<Address> slotOf(EntryIndex index) const;
  /// The owner of an entry stub, and where the stub has to lead.
  struct Owned {
    EntryIndex index;
    Address target;
    llvm::StringRef owner;
  };
  /// `owned` is all that there is. Always true:
  ///   1. stubs that have been taken are written, and there is room for them;
  ///   2. each of them jumps through its own slot;
  ///   3. a stub that was given back is one of them, was given back once, and leads to null;
  ///   4. what a code object has was taken, was not given back, and has no other owner;
  ///   5. it leads where its owner says;
  ///   6. there are no others: those taken are those owned and those given back.
  llvm::Error checkIntegrity(llvm::ArrayRef<Owned> owned) const;

  /// All stubs lead to `target` from now on, also when the arena is gone, for as long as the mappings live: a thread may be in
  /// the middle of one, so nothing of them changes. The watch must live as long.
  std::vector<Mapping> leaveStubs(Address target);

  Address slotBase() const { return arena_.entrySlots().base; }
  Size used() const { return taken_ - vacant_.size(); }
  Size capacity() const {
    return std::min(arena_.entrySlots().size() / slotBytes - gateSlots, (arena_.entryStubs().size() - gateBytes) / stubBytes);
  }

private:
  static constexpr Size gateBytes = 64;
  static constexpr Size gateSlots = 2; // the last ones: the watch's context and its function

  friend Damage;

  llvm::Error checkStubs() const;
  std::uint64_t *slots() const { return slotBase().pointer<std::uint64_t>(); }
  Address gateSlot(Size which) const {
    return arena_.entrySlots().limit.shifted(-static_cast<Delta>((gateSlots - which) * slotBytes));
  }
  void writeGate();
  void writeStubs(EntryIndex first);

  Arena &arena_;
  EntryWatch watch_;
  EntryIndex taken_ = 0;   // ever
  EntryIndex written_ = 0; // stubs whose code is there
  std::vector<EntryIndex> vacant_;
};

} // namespace nomad

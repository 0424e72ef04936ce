#include "memory/entry_table.h"

#include "base/error.h"
#include "memory/write_scope.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

Expected<EntryIndex> EntryTable::take() {
  if (!vacant_.empty()) {
    EntryIndex index = vacant_.back();
    vacant_.pop_back();
    return index;
  }
  if (taken_ == capacity())
    return fail(ErrorCode::SpaceFull, "the arena's " + Twine(capacity()) + " entry stubs are all in use");
  if (taken_ == written_)
    writeStubs(written_);
  return taken_++;
}

void EntryTable::giveBack(EntryIndex index) {
  redirect(index, Address());
  vacant_.push_back(index);
}

// A page at a time: all stubs are alike, because slot i is as far from stub i for every i.
void EntryTable::writeStubs(EntryIndex first) {
  constexpr std::uint8_t jumpThroughSlot[] = {0xff, 0x25}; // jmp *disp32(%rip)
  constexpr Size jumpBytes = 6;
  auto displacement = static_cast<std::int32_t>(slotBase() - (arena_.entryStubs().base + jumpBytes));
  WriteScope scope(arena_);
  EntryIndex limit = first + pageSize / stubBytes;
  for (EntryIndex index = first; index < limit; ++index) {
    std::byte *stub = scope.writable(this->stub(index));
    std::memcpy(stub, jumpThroughSlot, sizeof jumpThroughSlot);
    std::memcpy(stub + sizeof jumpThroughSlot, &displacement, sizeof displacement);
    std::memset(stub + jumpBytes, 0xcc, stubBytes - jumpBytes);
  }
  written_ = limit;
}

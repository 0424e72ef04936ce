#include "memory/entry_table.h"

#include "base/error.h"
#include "memory/write_scope.h"

#include <algorithm>
#include <array>
#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

using StubCode = std::array<std::uint8_t, EntryTable::stubBytes>;

constexpr StubCode stubCode{0x64, 0x48, 0x39, 0x24, 0x25, 0,    0,   0, 0, // cmpq %rsp, %fs:...
                            0x76, 0x06,                                    // jbe to the call
                            0xff, 0x25, 0,    0,    0,    0,               // jmp *...(%rip)
                            0xe8, 0,    0,    0,    0,    0xeb, 0xf3};     // call ...; jmp to the jmp
constexpr Size watchAt = 5, slotAt = 13, jumpEnd = 17, gateAt = 18, callEnd = 22;

constexpr std::array<std::uint8_t, 14> gateCode{0x50,                         // push %rax
                                                0x48, 0x8b, 0x05, 0, 0, 0, 0, // movq ...(%rip), %rax
                                                0xff, 0x25, 0,    0, 0, 0};   // jmp *...(%rip)
constexpr Size contextAt = 4, contextEnd = 8, functionAt = 10, functionEnd = 14;

template <typename Bytes>
void put(Bytes &code, Size at, Delta value) {
  auto narrow = static_cast<std::int32_t>(value);
  std::memcpy(code.data() + at, &narrow, sizeof narrow);
}

std::int32_t distanceIn(const StubCode &code, Size at) {
  std::int32_t distance;
  std::memcpy(&distance, code.data() + at, sizeof distance);
  return distance;
}

} // namespace

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

void EntryTable::writeGate() {
  Address gate = arena_.entryStubs().base;
  auto code = gateCode;
  put(code, contextAt, gateSlot(0) - (gate + contextEnd));
  put(code, functionAt, gateSlot(1) - (gate + functionEnd));
  *gateSlot(0).pointer<std::uint64_t>() = watch_.context.value();
  *gateSlot(1).pointer<std::uint64_t>() = watch_.function.value();
  WriteScope scope(arena_);
  std::memcpy(scope.writable(gate), code.data(), code.size());
}

// Whole pages at a time.
void EntryTable::writeStubs(EntryIndex first) {
  if (first == 0)
    writeGate();
  WriteScope scope(arena_);
  EntryIndex limit = static_cast<EntryIndex>(std::min<Size>(first + pageSize / slotBytes, capacity()));
  StubCode code = stubCode;
  put(code, watchAt, watch_.thunkFrame);
  for (EntryIndex index = first; index < limit; ++index) {
    Address at = stub(index);
    put(code, slotAt, slotBase() + index * slotBytes - (at + jumpEnd));
    put(code, gateAt, arena_.entryStubs().base - (at + callEnd));
    std::memcpy(scope.writable(at), code.data(), code.size());
  }
  written_ = limit;
}

std::vector<Mapping> EntryTable::leaveStubs(Address target) {
  for (EntryIndex index = 0; index < written_; ++index)
    redirect(index, target);
  return arena_.leaveEntries(gateBytes + written_ * stubBytes, written_ * slotBytes);
}

std::optional<Address> EntryTable::slotOf(EntryIndex index) const {
  StubCode code;
  std::memcpy(code.data(), stub(index).pointer(), code.size());
  StubCode known = stubCode;
  put(known, watchAt, watch_.thunkFrame);
  put(known, slotAt, distanceIn(code, slotAt));
  put(known, gateAt, arena_.entryStubs().base - (stub(index) + callEnd));
  if (code != known)
    return std::nullopt;
  return (stub(index) + jumpEnd).shifted(distanceIn(code, slotAt));
}

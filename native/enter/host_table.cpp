#include "enter/host_table.h"

#include "llvm/ADT/BitVector.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

constexpr Size jumpEnd = 12;

//   41 ba index   mov index, %r10d
//   ff 25 slot    jmp *slot(%rip)
//   cc cc cc cc
void writeStub(std::byte *at, HostIndex index, Delta slotFromEnd) {
  std::uint8_t code[HostTable::stubBytes] = {0x41, 0xba, 0, 0, 0, 0, 0xff, 0x25, 0, 0, 0, 0, 0xcc, 0xcc, 0xcc, 0xcc};
  auto displacement = static_cast<std::int32_t>(slotFromEnd);
  std::memcpy(code + 2, &index, sizeof index);
  std::memcpy(code + 8, &displacement, sizeof displacement);
  std::memcpy(at, code, sizeof code);
}

} // namespace

void HostTable::addBlock(Arena &arena, Address code, Address slots) {
  auto first = static_cast<HostIndex>(blocks_.size() * blockLength);
  blocks_.push_back({code, slots});
  WriteScope scope(arena);
  for (HostIndex i = 0; i < blockLength; ++i)
    writeStub(scope.writable(code + i * stubBytes), first + i, slots + i * 8 - (code + i * stubBytes + jumpEnd));
  for (HostIndex i = blockLength; i-- > 0;)
    vacant_.push_back(first + i);
}

HostIndex HostTable::take(Address thunk) {
  HostIndex index = vacant_.back();
  vacant_.pop_back();
  redirect(index, thunk);
  return index;
}

void HostTable::redirectAll(Address target) {
  for (HostIndex index = 0; index < blocks_.size() * blockLength; ++index)
    redirect(index, target);
}

void HostTable::everyBlock(function_ref<void(Range code, Range slots)> visit) const {
  for (const Block &block : blocks_)
    visit(Range::at(block.code, blockCodeBytes), Range::at(block.slots, blockSlotBytes));
}

bool HostTable::isIntact(HostIndex index) const {
  std::byte expected[stubBytes];
  writeStub(expected, index, slotOf(index) - (stub(index) + jumpEnd));
  return std::memcmp(stub(index).pointer(), expected, stubBytes) == 0;
}

Error HostTable::checkIntegrity(ArrayRef<HostIndex> owned) const {
  auto limit = static_cast<HostIndex>(blocks_.size() * blockLength);
  for (HostIndex index = 0; index < limit; ++index)
    if (!isIntact(index))
      return broken("host stubs", 1, "host stub " + Twine(index) + " is not what was written");
  BitVector isKnown(limit);
  for (HostIndex index : vacant_) {
    if (index >= limit || isKnown[index])
      return broken("host stubs", 2, "host stub " + Twine(index) + " was given back wrongly");
    isKnown.set(index);
  }
  for (HostIndex index : owned) {
    if (index >= limit || isKnown[index])
      return broken("host stubs", 3, "host stub " + Twine(index) + " of a host function belongs to another, or to none");
    if (*slotOf(index).pointer<std::uint64_t>() == 0)
      return broken("host stubs", 5, "host stub " + Twine(index) + " leads nowhere");
    isKnown.set(index);
  }
  return isKnown.all() ? Error::success() : broken("host stubs", 4, "a host stub belongs to no host function");
}

#include "run/host_table.h"

#include <cstring>

using namespace nomad;

namespace {

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
  constexpr Size jumpEnd = 12;
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

#include "memory/mapping.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace nomad;
using namespace llvm;

namespace {

Error refused(const Twine &what, const Twine &hint = "") {
  return fail(ErrorCode::Arena, "the system refused " + what + ": " + std::strerror(errno) + hint);
}

int protection(Access access) {
  switch (access) {
  case Access::Read:
    return PROT_READ;
  case Access::ReadWrite:
    return PROT_READ | PROT_WRITE;
  case Access::ReadExecute:
    return PROT_READ | PROT_EXEC;
  }
  return PROT_NONE;
}

Expected<Range> map(Size size, int access, int flags, int descriptor, const char *what) {
  void *base = mmap(nullptr, size, access, flags, descriptor, 0);
  if (base == MAP_FAILED)
    return refused(Twine(size) + " bytes of " + what);
  return Range::at(Address::of(base), size);
}

Error mapInto(Range part, int access, int flags, int descriptor, Size offset, const char *what) {
  void *base = mmap(part.base.pointer(), part.size(), access, flags | MAP_FIXED, descriptor, static_cast<off_t>(offset));
  if (base == MAP_FAILED)
    return refused(Twine(part.size()) + " bytes of " + what);
  return Error::success();
}

} // namespace

Expected<SharedMemory> SharedMemory::create(const char *name, Size size) {
  int descriptor = memfd_create(name, MFD_CLOEXEC);
  if (descriptor < 0)
    return refused("memory that can be mapped twice (memfd_create)",
                   "; without it code can't be written and stay unwritable where it runs");
  SharedMemory memory(descriptor);
  if (ftruncate(descriptor, static_cast<off_t>(size)) != 0)
    return refused(Twine(size) + " bytes of shared memory");
  return memory;
}

SharedMemory::SharedMemory(SharedMemory &&other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

SharedMemory::~SharedMemory() {
  if (descriptor_ >= 0)
    close(descriptor_);
}

Mapping::Mapping(Mapping &&other) noexcept : range_(std::exchange(other.range_, {})), left_(std::exchange(other.left_, {})) {}

Mapping &Mapping::operator=(Mapping &&other) noexcept {
  std::swap(range_, other.range_);
  std::swap(left_, other.left_);
  return *this;
}

Mapping::~Mapping() {
  left_.push_back({range_.limit, range_.limit});
  for (Address base = range_.base; Range left : left_) {
    if (base < left.base)
      munmap(base.pointer(), static_cast<Size>(left.base - base));
    base = left.limit;
  }
}

Mapping Mapping::leave(Range part) {
  left_.push_back(part);
  llvm::sort(left_, [](Range a, Range b) { return a.base < b.base; });
  return Mapping(part);
}

// In twice the size there is room before a multiple of `region`, or from it on.
Expected<Mapping> Mapping::reserve(Size size, Size alignment, Size region) {
  auto range = map(2 * size + alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, "address space");
  if (!range)
    return range.takeError();
  Range kept = Range::at(Address::of(roundUp(range->base.value(), alignment)), size);
  if (Address border = Address::of(roundUp(kept.base.value(), region)); border < kept.limit)
    kept = Range::at(border, size);
  for (Range surplus : {Range{range->base, kept.base}, Range{kept.limit, range->limit}})
    if (surplus.size() > 0)
      munmap(surplus.base.pointer(), surplus.size());
  return Mapping(kept);
}

Expected<Mapping> Mapping::anonymous(Size size) {
  auto range = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, "private memory");
  if (!range)
    return range.takeError();
  return Mapping(*range);
}

Expected<Mapping> Mapping::writableView(const SharedMemory &memory, Size size) {
  auto range = map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory.descriptor(), "a writable view of code");
  if (!range)
    return range.takeError();
  return Mapping(*range);
}

Error Mapping::mapShared(Range part, const SharedMemory &memory, Size offset, Access access) {
  return mapInto(part, protection(access), MAP_SHARED | MAP_NORESERVE, memory.descriptor(), offset, "a view of code");
}

Error Mapping::mapPrivate(Range part) {
  return mapInto(part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "data memory");
}

std::vector<bool> nomad::residentPages(Range pages) {
  std::vector<unsigned char> flags(pages.size() / pageSize);
  if (mincore(pages.base.pointer(), pages.size(), flags.data()) != 0)
    return {};
  std::vector<bool> resident(flags.size());
  std::transform(flags.begin(), flags.end(), resident.begin(), [](unsigned char page) { return (page & 1) != 0; });
  return resident;
}

Size nomad::residentBytes(Range pages) {
  std::vector<bool> resident = residentPages(pages);
  return static_cast<Size>(std::count(resident.begin(), resident.end(), true)) * pageSize;
}

void nomad::discardShared(Range pages) { madvise(pages.base.pointer(), pages.size(), MADV_REMOVE); }

void nomad::discardPrivate(Range pages) { madvise(pages.base.pointer(), pages.size(), MADV_DONTNEED); }

void nomad::zeroPrivate(Range bytes) {
  constexpr Size worthACall = 16 * pageSize;
  Address first = Address::of(roundUp(bytes.base.value(), pageSize));
  Address limit = Address::of(roundDown(bytes.limit.value(), pageSize));
  if (bytes.size() < worthACall) {
    std::memset(bytes.base.pointer(), 0, bytes.size());
    return;
  }
  std::memset(bytes.base.pointer(), 0, static_cast<Size>(first - bytes.base));
  discardPrivate({first, limit});
  std::memset(limit.pointer(), 0, static_cast<Size>(bytes.limit - limit));
}

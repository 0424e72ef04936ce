// The only mmap, memfd and madvise. A Mapping owns address space; its destructor gives it back.
#pragma once

#include "base/address.h"

#include "llvm/Support/Error.h"

#include <vector>

namespace nomad {

/// Memory that can be mapped more than once: how one set of bytes gets an executable and a writable view (I5).
class SharedMemory {
public:
  static llvm::Expected<SharedMemory> create(const char *name, Size size);
  SharedMemory(SharedMemory &&other) noexcept;
  SharedMemory &operator=(SharedMemory &&other) = delete;
  ~SharedMemory();

  int descriptor() const { return descriptor_; }

private:
  explicit SharedMemory(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

enum class Access { Read, ReadWrite, ReadExecute };

class Mapping {
public:
  Mapping() = default;
  Mapping(Mapping &&other) noexcept;
  Mapping &operator=(Mapping &&other) noexcept;
  ~Mapping();

  /// Address space without access, for views and private memory to be put into. `region`: a power
  /// of two, at least `size`. The range never straddles a multiple of it, though it may start at one.
  static llvm::Expected<Mapping> reserve(Size size, Size alignment, Size region);
  /// Zero-filled private memory, resident where touched.
  static llvm::Expected<Mapping> anonymous(Size size);
  /// The whole of `memory`, writable, wherever the system likes.
  static llvm::Expected<Mapping> writableView(const SharedMemory &memory, Size size);

  /// Puts a view of `memory` from `offset` on into a part of a reservation.
  llvm::Error mapShared(Range part, const SharedMemory &memory, Size offset, Access access);
  /// Makes a part of a reservation zero-filled private memory.
  llvm::Error mapPrivate(Range part);

  /// Another owner for whole pages of it. They are still part of the range.
  Mapping leave(Range part);

  Range range() const { return range_; }

private:
  explicit Mapping(Range range) : range_(range) {}
  Range range_;
  std::vector<Range> left_; // to others, in ascending order
};

constexpr Size pageSize = 4096;

/// For each page of a mapped range, whether the system keeps it in memory; empty if it does not say.
std::vector<bool> residentPages(Range pages);
/// Bytes of a mapped range that the system keeps in memory.
Size residentBytes(Range pages);

/// Gives whole pages of shared memory, seen through any view of it, back to the system. They read as zero then.
void discardShared(Range pages);
/// The same for private memory.
void discardPrivate(Range pages);
/// Makes private memory zero; whole pages are given back instead of being written.
void zeroPrivate(Range bytes);

} // namespace nomad

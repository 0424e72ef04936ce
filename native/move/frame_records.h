// The format of .eh_frame, as far as it says which code a record is for (Linux Standard Base, chapter 10.6).
#pragma once

#include "base/address.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <cstdint>

namespace nomad {

/// A frame description, and the code that it describes.
struct FrameRecord {
  const std::uint8_t *at;
  Range code;
};

/// All of a section that ends with a length of zero. What is written in a way that no compiler writes is left out.
void everyRecord(const void *section, llvm::function_ref<void(const FrameRecord &)> visit);

/// A section with a record for a range, in which every walk of the stack ends: its caller is said to be unknown.
class OneRecordSection {
public:
  explicit OneRecordSection(Range code) : code_(code.base), bytes_(code.size()) {}
  const void *record() const { return &recordBytes_; }

private:
  std::uint32_t commonBytes_ = 20;
  std::uint32_t isCommon_ = 0;
  // Version 1, no augmentation: absolute addresses. Alignment of code 1 and of data -8, return address in register 16, which is
  // undefined; CFA in rsp + 8.
  std::uint8_t common_[16] = {1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x07, 16};
  std::uint32_t recordBytes_ = 20;
  std::uint32_t toCommon_ = 28; // back from here
  Address code_;
  std::uint64_t bytes_;
  std::uint32_t end_ = 0;
};

} // namespace nomad

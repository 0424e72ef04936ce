// Reads what byte_writer.h writes, and believes nothing: whatever is announced has to be there.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/LEB128.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace nomad {

/// After a failure everything reads as 0.
class ByteReader {
public:
  explicit ByteReader(llvm::ArrayRef<std::uint8_t> bytes, size_t at = 0) : bytes_(bytes), at_(at) {}

  bool isOk() const { return what_ == nullptr; }
  bool isAtEnd() const { return at_ == bytes_.size(); }
  size_t at() const { return at_; }
  const char *what() const { return what_; }

  void require(bool holds, const char *what) {
    if (!holds && isOk())
      what_ = what;
  }
  std::uint64_t number(std::uint64_t most = ~std::uint64_t{0}) {
    unsigned length = 0;
    const char *error = nullptr;
    std::uint64_t value = isOk() ? llvm::decodeULEB128(bytes_.data() + at_, &length, numberLimit(), &error) : 0;
    return advance(length, error, value <= most) ? value : 0;
  }
  std::int64_t signedNumber() {
    unsigned length = 0;
    const char *error = nullptr;
    std::int64_t value = isOk() ? llvm::decodeSLEB128(bytes_.data() + at_, &length, numberLimit(), &error) : 0;
    return advance(length, error, true) ? value : 0;
  }
  std::uint32_t word() { return static_cast<std::uint32_t>(number(std::numeric_limits<std::uint32_t>::max())); }
  std::uint32_t offset() { return word() - 1; } // 0 is none
  unsigned byte(unsigned most) {
    llvm::ArrayRef<std::uint8_t> one = raw(1);
    require(!one.empty() && one[0] <= most, "a value is not one of those allowed");
    return isOk() ? one[0] : 0;
  }
  bool flag() { return byte(1) == 1; }
  /// Of things that take a byte at least.
  size_t count() {
    std::uint64_t value = number();
    require(value <= bytes_.size() - at_, "more is announced than there is");
    return isOk() ? static_cast<size_t>(value) : 0;
  }
  llvm::ArrayRef<std::uint8_t> raw(std::uint64_t size) {
    require(size <= bytes_.size() - at_, "more is announced than there is");
    if (!isOk())
      return {};
    auto taken = bytes_.slice(at_, static_cast<size_t>(size));
    at_ += taken.size();
    return taken;
  }
  llvm::StringRef text() { return llvm::toStringRef(raw(count())); }

private:
  // More bytes than a number of 64 bits has are too much for LLVM's readers.
  const std::uint8_t *numberLimit() const { return bytes_.data() + std::min(bytes_.size(), at_ + 10); }
  bool advance(unsigned length, const char *error, bool fits) {
    require(error == nullptr && fits, "a number is too large");
    at_ += isOk() ? length : 0;
    return isOk();
  }

  llvm::ArrayRef<std::uint8_t> bytes_;
  size_t at_;
  const char *what_ = nullptr;
};

} // namespace nomad

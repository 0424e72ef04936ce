// Bytes of what is stored compactly: numbers are LEB128, texts follow their length.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/LEB128.h"

#include <cstdint>
#include <vector>

namespace nomad {

class ByteWriter {
public:
  void byte(unsigned value) { bytes.push_back(static_cast<std::uint8_t>(value)); }
  void number(std::uint64_t value) {
    std::uint8_t buffer[10];
    bytes.insert(bytes.end(), buffer, buffer + llvm::encodeULEB128(value, buffer));
  }
  void signedNumber(std::int64_t value) {
    std::uint8_t buffer[10];
    bytes.insert(bytes.end(), buffer, buffer + llvm::encodeSLEB128(value, buffer));
  }
  void text(llvm::StringRef value) {
    number(value.size());
    raw(llvm::ArrayRef(value.bytes_begin(), value.size()));
  }
  void raw(llvm::ArrayRef<std::uint8_t> value) { bytes.insert(bytes.end(), value.begin(), value.end()); }

  std::vector<std::uint8_t> bytes;
};

} // namespace nomad

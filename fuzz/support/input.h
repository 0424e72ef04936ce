// A fuzzer's bytes as decisions: a choice, a number. When they are used up, everything is 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nomad::fuzz {

class Input {
public:
  Input(const std::uint8_t *data, std::size_t size) : at_(data), limit_(data + size) {}

  bool isEmpty() const { return at_ == limit_; }
  std::uint8_t byte() { return isEmpty() ? 0 : *at_++; }
  std::uint16_t word() { return static_cast<std::uint16_t>(byte() << 8 | byte()); }
  /// In [0, limit), limit at most 65536.
  std::size_t below(std::size_t limit) { return limit <= 1 ? 0 : (limit <= 256 ? byte() : word()) % limit; }
  bool oneIn(std::size_t n) { return below(n) == n - 1; }

private:
  const std::uint8_t *at_;
  const std::uint8_t *limit_;
};

} // namespace nomad::fuzz

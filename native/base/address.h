// Addresses and the numbers that go with them.
//
// An Address is where something is in this process; it comes from a number or a pointer only by name (Address::of).
// Address - Address is a Delta, Address + Size is an Address, and nothing else compiles.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nomad {

using Size = std::uint64_t;   // bytes
using Delta = std::int64_t;   // bytes, how far something moves
using Offset = std::uint32_t; // bytes from the base of a segment or a range, both below 2 GiB

class Address {
public:
  constexpr Address() = default;
  static constexpr Address of(std::uint64_t value) { return Address(value); }
  static Address of(const void *pointer) { return Address(reinterpret_cast<std::uint64_t>(pointer)); }

  constexpr std::uint64_t value() const { return value_; }
  template <typename T = std::byte>
  T *pointer() const {
    return reinterpret_cast<T *>(value_);
  }

  constexpr Address operator+(Size size) const { return Address(value_ + size); }
  constexpr Address shifted(Delta delta) const { return Address(value_ + static_cast<std::uint64_t>(delta)); }
  constexpr Delta operator-(Address other) const { return static_cast<Delta>(value_ - other.value_); }
  constexpr bool operator==(Address other) const { return value_ == other.value_; }
  constexpr bool operator<(Address other) const { return value_ < other.value_; }
  constexpr bool operator<=(Address other) const { return value_ <= other.value_; }
  constexpr bool operator>(Address other) const { return value_ > other.value_; }
  constexpr bool operator>=(Address other) const { return value_ >= other.value_; }
  constexpr bool isAligned(Size alignment) const { return (value_ & (alignment - 1)) == 0; }

private:
  constexpr explicit Address(std::uint64_t value) : value_(value) {}
  std::uint64_t value_ = 0;
};

struct Range {
  Address base;
  Address limit; // excluded

  constexpr Size size() const { return static_cast<Size>(limit - base); }
  constexpr bool contains(Address address) const { return base <= address && address < limit; }
  constexpr bool contains(Range other) const { return base <= other.base && other.limit <= limit && other.base <= other.limit; }
  constexpr bool overlaps(Range other) const { return base < other.limit && other.base < limit; }
  static constexpr Range at(Address base, Size size) { return {base, base + size}; }
};

constexpr Size roundUp(Size size, Size alignment) { return (size + alignment - 1) & ~(alignment - 1); }
constexpr Size roundDown(Size size, Size alignment) { return size & ~(alignment - 1); }

} // namespace nomad

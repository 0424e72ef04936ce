#include "base/address.h"

#include <doctest/doctest.h>

#include <type_traits>

using namespace nomad;

namespace {
template <typename A, typename B>
concept Addable = requires(A a, B b) { a + b; };
} // namespace

static_assert(!Addable<Address, Address>, "two addresses have no sum");
static_assert(!std::is_convertible_v<std::uint64_t, Address>, "a number becomes an address by name only");

TEST_CASE("address: difference and shift are each other's inverse, also downwards and across 2 GiB") {
  Address low = Address::of(0x1000), high = Address::of(0x7fff'ffff'f000);
  CHECK(high - low == 0x7fff'ffff'e000);
  CHECK(low - high == -0x7fff'ffff'e000);
  CHECK(high.shifted(low - high) == low);
  CHECK(low.shifted(high - low) == high);
}

TEST_CASE("range: base belongs to it, limit does not") {
  Range range = Range::at(Address::of(100), 10);
  CHECK(range.contains(Address::of(100)));
  CHECK(range.contains(Address::of(109)));
  CHECK_FALSE(range.contains(Address::of(110)));
  CHECK_FALSE(range.contains(Address::of(99)));
}

TEST_CASE("range: one that wraps around the end of the address space lies in no other") {
  Range range = Range::at(Address::of(0x1000), 0x1000);
  CHECK_FALSE(range.contains(Range::at(Address::of(~std::uint64_t{0} - 15), 0x1020)));
  CHECK(range.contains(Range::at(Address::of(0x1000), 0x1000)));
  CHECK_FALSE(range.contains(Range::at(Address::of(0x1001), 0x1000)));
}

TEST_CASE("range: neighbours don't overlap, one shared byte does") {
  Range range = Range::at(Address::of(0x1000), 0x1000);
  CHECK_FALSE(range.overlaps(Range::at(Address::of(0x2000), 1)));
  CHECK_FALSE(range.overlaps(Range::at(Address::of(0xfff), 1)));
  CHECK(range.overlaps(Range::at(Address::of(0x1fff), 1)));
  CHECK(range.overlaps(Range::at(Address(), 0x10000)));
}

TEST_CASE("rounding: to multiples, and multiples stay") {
  CHECK(roundUp(0, 16) == 0);
  CHECK(roundUp(1, 16) == 16);
  CHECK(roundUp(16, 16) == 16);
  CHECK(roundDown(31, 16) == 16);
  CHECK(Address::of(0x30).isAligned(16));
  CHECK_FALSE(Address::of(0x38).isAligned(16));
}

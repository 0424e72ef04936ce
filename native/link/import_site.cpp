#include "link/import_site.h"

#include <cstring>

using namespace nomad;

namespace {

// The value of a place whose addend is 0.
std::uint64_t valueFor(const SitePlace &place, Address target) {
  switch (place.formula) {
  case Formula::Relative32:
  case Formula::Relative64:
    return target.value() - place.address.value();
  case Formula::Negative32:
  case Formula::Negative64:
    return place.address.value() - target.value();
  case Formula::Absolute64:
  case Formula::DataPointer:
    break;
  }
  return target.value();
}

} // namespace

Delta nomad::readAddend(const SitePlace &place, Address target) {
  if (widthOf(place.formula) == sizeof(std::uint64_t)) {
    std::uint64_t value;
    std::memcpy(&value, place.bytes, sizeof value);
    return static_cast<Delta>(value - valueFor(place, target));
  }
  std::int32_t value;
  std::memcpy(&value, place.bytes, sizeof value);
  return static_cast<Delta>(static_cast<std::uint64_t>(Delta{value}) - valueFor(place, target));
}

bool nomad::writeSite(const SitePlace &place, Address target, Delta addend) {
  std::uint64_t value = valueFor(place, target) + static_cast<std::uint64_t>(addend);
  if (widthOf(place.formula) == sizeof value) {
    std::memcpy(place.bytes, &value, sizeof value);
    return true;
  }
  auto narrow = static_cast<std::int32_t>(value);
  if (static_cast<std::uint64_t>(Delta{narrow}) != value)
    return false;
  std::memcpy(place.bytes, &narrow, sizeof narrow);
  return true;
}

// For which machine this process generates code.
#pragma once

#include <cstdint>
#include <string>

namespace nomad {

struct Machine {
  std::string llvm; // its version
  std::string triple;
  std::string cpu;        // LLVM's name for it
  std::uint64_t features; // hash of all features, those that it does not have too

  bool operator==(const Machine &) const = default;
};

const Machine &thisMachine();

} // namespace nomad

// Names that code may link to outside its Jit: what this process exports, as far as the policy allows, and what a JIT has to
// supply itself because a moving code object has its own rules for it.
#pragma once

#include "base/address.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/StringSet.h"

#include <optional>
#include <vector>

namespace nomad {

class ProcessSymbols {
public:
  enum class Policy { All, None, Listed };

  explicit ProcessSymbols(Policy policy, const std::vector<std::string> &listed = {});

  std::optional<Address> find(llvm::StringRef name) const;

private:
  Policy policy_;
  llvm::StringSet<> listed_;
};

/// A symbol of the main program and of what it was linked with; not of libraries loaded later with RTLD_LOCAL.
std::optional<Address> findInProcess(const std::string &name);

} // namespace nomad

// Direct calls of one code object into others: read from its bytes, and led elsewhere.
#pragma once

#include "engine/code_objects.h"
#include "memory/write_scope.h"

#include "llvm/ADT/STLFunctionalExtras.h"

namespace nomad {

/// Where a call by reference leads: `reference` is the index of the code object.
struct CallTarget {
  std::uint32_t reference;
  Address address;
};

/// None: the call stays as it is.
using LeadCall = llvm::function_ref<std::optional<CallTarget>(CallSite, const CallTarget &)>;

/// True if `lead` has led some call elsewhere.
bool leadCalls(CodeObject &caller, const WriteScope &scope, LeadCall lead);

} // namespace nomad

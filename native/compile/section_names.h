// Sections whose names mean something.
#pragma once

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// A section of pointers to functions that run when code is loaded, or before it goes.
struct StructorList {
  enum class When { Load, Unload };
  When when;
  unsigned priority; // as in llvm.global_ctors: lower ones are constructed earlier
};

/// `.init_array`, `.fini_array`, with a priority after a dot or without.
std::optional<StructorList> structorListOf(llvm::StringRef section);

/// What linkers make or read themselves, and what only a dynamic linker of another kind would run.
bool isReservedSection(llvm::StringRef section);

/// Whether assembly names a section that belongs to the compiler's unwind records.
bool writesReservedSection(llvm::StringRef assembly);

} // namespace nomad

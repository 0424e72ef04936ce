// An object file before any linker sees it: is what its headers say within bounds?
//
// LLVM's linkers believe an object file: they take the memory that sections ask for, and write where relocations say. Assembly
// can ask for anything, and a saved object file can be damaged. So this looks at headers and relocations only, takes no memory,
// and what passes is true of both linkers:
//
//   sections      fit in the arena, and ask for no larger alignment than a module may
//   relocations   lie in the bytes of their section, and no two in the same bytes; they refer to symbols that exist
//   symbols       are defined in a section or not at all, unless common ones are allowed
#pragma once

#include "memory/arena.h"

namespace nomad {

/// Symbols that no section has. JITLink places them in a first link only; RuntimeDyld places them nowhere.
enum class CommonSymbols { Allowed, Refused };

/// `name` is for messages. Errors: Link, Unsupported.
llvm::Error checkObjectFile(llvm::StringRef bytes, const Arena &arena, const std::string &name, CommonSymbols common);

} // namespace nomad

// An optimised module -> the same module, with every reference that a move must know made visible to the linker.
//
// Object files don't say which reference takes a function's address and which calls it, nor which constants have a name that a
// program could store. IR does. So the decisions of I10 and I11 are made here, in IR, and arrive at the linker as symbol and
// section names; they hold for every linker.
#pragma once

#include "compile/target.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/IR/Module.h"

namespace nomad {

/// What moves with a code object's code (I11).
enum class Moves : std::uint8_t { Code, All };

/// What becomes a code object of its own.
enum class Granularity : std::uint8_t { Module, Function };

/// Names of ours in modules and object files begin so. Users' modules may not use it.
constexpr llvm::StringLiteral ownPrefix = "nomad.";
/// "nomad.entry.f" is the address of f's entry stub.
constexpr llvm::StringLiteral entryPrefix = "nomad.entry.";
/// Calls the module's constructors, or destructors, in their order. Defined only where there are any.
constexpr llvm::StringLiteral initializerName = "nomad.initialize";
constexpr llvm::StringLiteral finalizerName = "nomad.finalize";
/// Defined in modules that export nothing else, so that the linker has something to look up.
constexpr llvm::StringLiteral anchorName = "nomad.anchor";
/// Section of named constants, which stay when only code moves. With Granularity::Function each has its own, with a dot and its
/// name.
constexpr llvm::StringLiteral constantsSection = ".nomad.constants";

/// Arenas and spaces begin at multiples of this; nothing in a module can ask for more.
constexpr std::uint64_t maxAlignment = 64 * 1024;

/// Errors: Unsupported for what can't be made movable.
llvm::Error makeMovable(llvm::Module &ir, const llvm::TargetMachine &machine, Moves moves, Granularity granularity);

} // namespace nomad

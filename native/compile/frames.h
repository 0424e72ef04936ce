// How the frames of functions are found while they wait for a call (I12, I16). Proved after all else in code generation, from
// what the functions really do; the walk of the stack trusts nothing else.
#pragma once

#include "llvm/ADT/StringMap.h"
#include "llvm/IR/Module.h"

#include <cstdint>
#include <string>
#include <vector>

namespace nomad {

enum class FrameKind : std::uint8_t {
  Plain,    // rbp is pushed first and then leads to it: rbp points to the caller's rbp, and the return slot comes after that
  Copied,   // plain, but the function has read its return address: that may be elsewhere, too
  Recorded, // by its unwind records
  Unknown,  // by neither: its caller can't be found
};

struct FunctionFrame {
  std::string name;
  FrameKind kind;
};

/// Of all functions of a module.
struct ModuleFrames {
  FrameKind usual = FrameKind::Plain; // of code that no entry of the list is about
  bool switchesStacks = false;        // assembly lets the stack pointer lead to another stack, where code may be left suspended
  std::vector<FunctionFrame> others;
};

/// What the machine pass has found, by name.
struct OddFrames {
  llvm::StringMap<FrameKind> kinds; // of functions that are not plain
  /// Functions that LLVM has compiled wrongly: they lose their result, or a register that they have to keep (LLVM 22). That
  /// happens from O1 on to those with a variable of more than the stack's alignment, one of unknown size, and assembly that
  /// changes rbx.
  std::vector<std::string> losingRegisters;
};

/// Assembly can bring functions of its own: in a module that has any, only functions that LLVM has generated are known.
ModuleFrames moduleFramesOf(const llvm::Module &ir, const OddFrames &odd);

} // namespace nomad

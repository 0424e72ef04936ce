// How the frames of functions are found while they wait for a call (I12, I16). Proved after all else in code generation, from what
// the functions really do; whoever walks the stack believes nothing else.
#pragma once

#include "llvm/ADT/StringMap.h"
#include "llvm/IR/Module.h"

#include <cstdint>
#include <string>
#include <vector>

namespace nomad {

enum class FrameKind : std::uint8_t {
  Plain,    // rbp is pushed first and then leads to it: what rbp points to is the caller's rbp, and behind it is the return slot
  Recorded, // by its unwind records
  Unknown,  // by neither: whoever has called it can't be found
};

struct FunctionFrame {
  std::string name;
  FrameKind kind;
};

/// Of all functions of a module.
struct ModuleFrames {
  FrameKind usual = FrameKind::Plain; // of code that no entry of the list is about
  std::vector<FunctionFrame> others;
};

/// Functions that are not plain, by name: what the machine pass has found.
using OddFrames = llvm::StringMap<FrameKind>;

/// Assembly can bring functions of its own: in a module that has any, only functions that LLVM has generated are known.
ModuleFrames framesOf(const llvm::Module &ir, const OddFrames &odd);

} // namespace nomad

// Where the addresses of labels go that a module takes (`blockaddress`, GNU C's `&&label`).
//
// They are addresses in code without an entry stub: a move must know all of them. Those in tables of the module are relocated,
// those on the stack and in registers pin (I12). Those that a program stores elsewhere can't be found.
#pragma once

#include "llvm/IR/Module.h"

namespace nomad {

enum class LabelUse : std::uint8_t {
  None,
  Tables, // in initial values only: code loads them and jumps
  Code,   // code makes them, too; they stay in registers and frames
  Stored, // they may be in any memory
};

/// After the last pass that changes the module.
LabelUse labelUseOf(const llvm::Module &ir);

} // namespace nomad

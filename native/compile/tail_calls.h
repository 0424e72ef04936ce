// Calls that LLVM 22 gets wrong: `musttail`, at every optimisation level,
//
//   in tailcc and swifttailcc          with arguments on the stack, the callee's or the caller's: they are written wrongly
//   in coldcc, preserve_mostcc,        with any arguments: their registers are saved ones, and restoring them before the jump
//   preserve_allcc, cxx_fast_tlscc,    gives the callee what the caller had
//   x86_vectorcallcc, intel_ocl_bicc
//
// All other conventions are right, and so is `tail`, which may be a plain call. Test "musttail" compares both with known answers,
// and says when LLVM has become right.
#pragma once

#include "llvm/IR/InstrTypes.h"

namespace nomad {

/// Does the code generator get this call wrong?
bool isBrokenTailCall(const llvm::CallBase &call);

} // namespace nomad

// Calls that LLVM 22 gets wrong: `musttail` in some calling conventions, with arguments on the stack.
//
// tailcc, swifttailcc, coldcc, preserve_mostcc, preserve_allcc and cxx_fast_tlscc write the callee's arguments over the caller's
// wrongly, at every optimisation level: values are lost, or the stack is. All other conventions are right, and so is `tail`, which
// may be a plain call. Test "musttail" compares both with known answers, and says when LLVM has become right.
#pragma once

#include "llvm/IR/InstrTypes.h"

namespace nomad {

/// Does the code generator get this call wrong?
bool isBrokenTailCall(const llvm::CallBase &call);

} // namespace nomad

// Counts that LLVM's bitcode reader believes: it allocates and clears an array of the length that a record gives before it reads
// the array's elements, so that four damaged bytes can take all of the machine's memory (I14).
//
// In: bitcode. Out: an error if such a count exceeds the input's own length in bits. Every other defect is left to LLVM.
#pragma once

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace nomad {

/// ErrorCode::IRParse naming `name` for a type table or a parameter index that the input can't hold. IR text is always good.
llvm::Error checkBitcodeCounts(llvm::StringRef source, llvm::StringRef name);

} // namespace nomad

// LLVM's reader of bitcode believes what it reads: damaged bitcode makes it damage the heap, loop or take all memory, and nothing
// in the same process can undo that (I14). So another process (native/reader) reads it and writes the module anew; only what
// LLVM's own writer wrote is read here.
//
// In: bitcode from anywhere. Out: clean bitcode of the same module without debug information, or an error. One helper process
// serves all threads, one request at a time; it is started at the first request, and again where it is gone. It ends with this
// process.
#pragma once

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"

#include <memory>
#include <string>

namespace nomad {

/// Errors, each naming `name`: IRParse and IRVerify in LLVM's words; Codegen if LLVM crashed or took too long on it, or if the
/// helper process can't be started.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>> readBitcode(llvm::StringRef bitcode, llvm::StringRef name);

/// For the helper process itself: it reads in this process from now on.
using ReadBitcode = llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>> (*)(llvm::StringRef bitcode, llvm::StringRef name);
void setBitcodeReader(ReadBitcode reader);

/// The helper process's executable: beside the file that contains this code.
std::string helperPath();

} // namespace nomad

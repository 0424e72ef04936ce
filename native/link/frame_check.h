// What a code object's unwind records (.eh_frame) say, read from their bytes alone: nothing of the linker, and nothing of libgcc.
#pragma once

#include "base/integrity.h"
#include "link/code_object.h"

#include <vector>

namespace nomad {

/// Of a placed code object, whose unwind records are in its code. Always true:
///   1. records are whole, of an encoding that we know, and end with a zero word inside of the code segment;
///   2. each describes some of the code segment;
///   3. no two describe the same byte;
///   4. one that begins with an exported function describes just that;
///   5. `isRegistered`: the unwinder finds the very function by an address in it.
llvm::Error checkFrameRecords(const CodeObject &object, bool isRegistered);

/// The code that each record describes, if it is any, in address order. None if they are not whole.
std::optional<std::vector<Range>> readFrameRecords(Range section);

} // namespace nomad

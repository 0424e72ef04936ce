// Leaving code because a host function threw.
//
// The JS exception waits outside while a foreign exception unwinds the code frames up to the call thunk: destructors run, libc's
// frames are passed. Nothing in code can catch it, `catch (...)` included: a frame that would is passed over.
#pragma once

#include "base/address.h"

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>

namespace nomad {

/// "NOMDHOST": the exception class of the Itanium C++ ABI.
constexpr std::uint64_t hostExceptionClass = 0x4e4f4d44'484f5354;

/// Unwinds to the call thunk, which gets the exception and hands it to `endLeaving`. Returns only if some frame on the way has no
/// unwind records; nothing has happened then.
void leaveCode();
void endLeaving(void *exception);

/// Call thunks name libstdc++'s personality so, which catches everything in them.
constexpr llvm::StringLiteral thunkPersonalityName = "nomad_thunk_personality";

/// `__gxx_personality_v0`, the personality of C++ frames: ours, around libstdc++'s.
std::optional<Address> findPersonality(llvm::StringRef name);

} // namespace nomad

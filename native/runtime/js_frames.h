// JS frames can't be left but by V8: what would end them another way (longjmp, setcontext, the end of the thread) is refused
// before it harms (I16). The code that asks for it is left as by a host function that throws.
#pragma once

#include "stack/unwind_from.h"

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// Code is to go on where the stack pointer is `to`. Does not return if JS frames lie between: code that goes on at `from` is
/// left with an error, "`what` over the frames of JS functions ...".
void refuseOverJs(Address to, const FrameContext &from, const char *what);

/// Our way to pthread_exit or thrd_exit, if that is the name: they would unwind JS frames.
std::optional<Address> findThreadExit(llvm::StringRef name);

} // namespace nomad

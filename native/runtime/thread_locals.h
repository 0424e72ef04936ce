// Thread-local variables of compiled code, as LLVM emulates them: a control block in data, which may move, and a copy of the
// variable for each thread that has used it, which doesn't.
//
// A copy lives until its thread ends or its code object is freed; right before that, the destructors run that the thread has
// registered. Not so at the end of the code object's own thread: that is the process's end if it was not freed before, and like
// its exit handlers they do not run then, when there is no JS any more. Safe from several threads.
#pragma once

#include "base/address.h"
#include "link/code_object.h"

#include <optional>
#include <thread>

namespace nomad {

/// `__emutls_get_address`.
Address threadLocalSupport();

/// Frees every thread's copy of the variable whose control block is at `control`.
void freeThreadLocal(Address control);

/// For this thread's end, or `owner`'s, which belongs to thread `home`.
void addThreadExitHandler(const Teardown &owner, std::thread::id home, Teardown::ExitHandler handler);

/// Removes one of `owner`'s, of whatever thread; each thread's last one first. None are left if there is none.
std::optional<Teardown::ExitHandler> takeThreadExitHandler(const Teardown &owner);

} // namespace nomad

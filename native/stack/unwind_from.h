// A walk by unwind records that begins somewhere else: at frames that wait, above others that have none.
#pragma once

#include "stack/activation.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <unwind.h>

namespace nomad {

/// Where a frame goes on when what it called returns. The layout is known to the code in unwind_from.cpp.
struct FrameContext {
  Address instruction;
  Address stack; // the stack pointer then
  std::uint64_t rbp, rbx, r12, r13, r14, r15;
};

/// Calls `function`, which does not return, as if the call that returns to `context` had done it: frames further in are dropped,
/// those of this stack or of another. The word below the context's stack pointer is the address where it goes on.
[[noreturn]] void callAt(const FrameContext &context, void (*function)(void *), void *argument);

/// Unwinds by `exception` to the first frame that catches it. Only for a way that has been found before: at the stack's end the
/// process ends. `catch (...)` of libraries sees what it sees when a thread is cancelled, and throws it on.
[[noreturn]] void unwindByForce(_Unwind_Exception *exception);

/// A frame that waits for a call: where it goes on, and the word from which the call will return there.
struct WaitingFrame {
  Address instruction;
  Address returnSlot;
  std::uint64_t framePointer;
  bool isInterrupted; // it waits for no call: a signal came in between, and `returnSlot` says nothing
};

/// The frame that an unwinder is at, and where it goes on, with its registers.
WaitingFrame frameOf(_Unwind_Context *context);
FrameContext contextOf(_Unwind_Context *context);

/// Where code goes on when a host function returns.
FrameContext contextAtExit(const Activation::Registers &registers);

/// Visits the frame at `context` and those it was called from, until `visit` returns false or a frame has no unwind record.
void unwindFrom(const FrameContext &context, llvm::function_ref<bool(const WaitingFrame &)> visit);

} // namespace nomad

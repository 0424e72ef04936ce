#include "stack/code_frames.h"

#include "stack/other_stacks.h"

#include "llvm/ADT/STLExtras.h"

#include <csignal>
#include <cstdlib>
#include <search.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>
#include <utility>

using namespace nomad;

namespace {

template <typename Function>
const void *any(Function *function) {
  return reinterpret_cast<const void *>(function);
}

using Search = void *(*)(const void *, const void *, size_t, size_t, int (*)(const void *, const void *));
const std::array searches{any(&qsort), any(&qsort_r), any(static_cast<Search>(&bsearch)), any(&lfind), any(&lsearch)};
const std::array allocators{any(&malloc), any(&calloc), any(&realloc), any(&free), any(&sysconf)};

} // namespace

CodeFrames::CodeFrames(CodeThread &thread, Address interrupted, Handlers handlers)
    : thread_(thread), interrupted_(interrupted), handlers_(handlers) {
  walkSafely(thread, [this] { walk(); });
}

// libgcc holds no lock while it reads the stack.
bool CodeFrames::walkSafely(CodeThread &thread, llvm::function_ref<void()> walk) {
  jmp_buf end;
  thread.walkEnd = &end;
  bool isDone = _setjmp(end) == 0;
  if (isDone)
    walk();
  thread.walkEnd = nullptr;
  return isDone;
}

void CodeFrames::walk() {
  auto visit = [](_Unwind_Context *context, void *frames) {
    return static_cast<CodeFrames *>(frames)->visit(context) ? _URC_NO_REASON : _URC_NORMAL_STOP;
  };
  _Unwind_Backtrace(visit, this);
  if (!isOtherStackOver_)
    return;
  leavesAt_ = ownStackWaitsAt();
  if (leavesAt_)
    unwindFrom(*leavesAt_, [this](const WaitingFrame &frame) { return add(frame); });
}

void CodeFrames::endWalk(CodeThread &thread) {
  if (thread.walkEnd)
    _longjmp(*thread.walkEnd, 1);
}

bool CodeFrames::visit(_Unwind_Context *context) {
  WaitingFrame frame = frameOf(context);
  if (depth_ == 0 && interrupted_ != Address() && !(frame.isInterrupted && frame.instruction == interrupted_))
    return true; // the handler's own
  isOtherStackOver_ = isBeginOfCoroutine(frame.instruction);
  if (isOtherStackOver_) {
    if (++depth_ == 2)
      afterFirst_ = frame.returnSlot + 8;
    return false;
  }
  if (frame.isInterrupted && depth_ > 0)
    passedHandlerAt_ = lastStack_;
  lastStack_ = frame.returnSlot + 8;
  Address at = frame.instruction.shifted(-1);
  if (thread_.rangeAt(at) || thread_.isThunk(at)) {
    if (std::exchange(isLeavingAtCode_, false))
      leavesAt_ = contextOf(context);
  } else if (!frame.isInterrupted) {
    isLeavingAtCode_ |= _Unwind_FindEnclosingFunction(at.pointer<void>()) == any(&leavingAtCode);
  }
  return add(frame);
}

// Of a frame that waits for a call the instruction is the one before where it goes on.
bool CodeFrames::add(const WaitingFrame &frame) {
  bool isOtherHandlers = frame.isInterrupted && (depth_ > 0 || interrupted_ == Address());
  if (isOtherHandlers && handlers_ == Handlers::End)
    return false; // whom it has interrupted may be in the middle of anything
  if (++depth_ == 2)
    afterFirst_ = frame.returnSlot + 8;
  Address at = frame.isInterrupted ? frame.instruction : frame.instruction.shifted(-1);
  if (thread_.isThunk(at)) {
    reachThunk_ = Address::of(frame.framePointer) == thread_.activations.entryFrame;
    return !reachThunk_;
  }
  if (thread_.rangeAt(at))
    addCode(at);
  else if (count_ == 0)
    addForeign(_Unwind_FindEnclosingFunction(at.pointer<void>()));
  return true;
}

void CodeFrames::addCode(Address at) {
  if (count_ < innermost_.size())
    innermost_[count_] = at;
  ++count_;
}

void CodeFrames::addForeign(const void *function) {
  ++foreign_;
  mayAllocate_ |= llvm::is_contained(allocators, function);
  isSearch_ = llvm::is_contained(searches, function) && !mayAllocate_; // the last one is what code has called
}

[[gnu::noinline]] void nomad::leavingAtCode(llvm::function_ref<void()> run) {
  run();
  asm volatile(""); // no tail call: the frame is looked for
}

// A walk takes as long as a search for a handler.
void nomad::raiseFromHere(_Unwind_Exception *exception) {
  if (CodeThread *thread = codeThread())
    CodeFrames(*thread, Address(), CodeFrames::Handlers::Passed).raise(exception);
}

void nomad::goOnAtOwnStack(void (*function)()) {
  if (CodeThread *thread = codeThread())
    CodeFrames(*thread).goOnAtOwnStack(function);
}

void CodeFrames::goOnAtOwnStack(void (*function)()) const {
  if (!reachThunk_ || !isOtherStackOver_)
    return;
  returnToOwnStack();
  callAt(*leavesAt_, [](void *next) { reinterpret_cast<void (*)()>(next)(); }, reinterpret_cast<void *>(function));
}

void CodeFrames::raise(_Unwind_Exception *exception) const {
  if (!reachThunk_)
    return;
  if (passedHandlerAt_ != Address())
    pthread_sigmask(SIG_SETMASK, &passedHandlerAt_.pointer<const ucontext_t>()->uc_sigmask, nullptr);
  if (isOtherStackOver_)
    returnToOwnStack();
  if (leavesAt_)
    callAt(*leavesAt_, [](void *next) { unwindByForce(static_cast<_Unwind_Exception *>(next)); }, exception);
  unwindByForce(exception);
}

bool CodeFrames::mayBeInSearch(Address pc) {
  constexpr Size reach = 4096; // of functions and their parts, which lie together
  return llvm::any_of(searches, [=](const void *function) {
    Address at = Address::of(function);
    return pc < at + reach && at < pc + reach;
  });
}

#include "run/code_frames.h"

#include "llvm/ADT/STLExtras.h"

#include <cstdlib>
#include <search.h>
#include <unistd.h>
#include <unwind.h>

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

CodeFrames::CodeFrames(CodeThread &thread, Address interrupted) : thread_(thread), interrupted_(interrupted) {
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
    return static_cast<CodeFrames *>(frames)->add(context) ? _URC_NO_REASON : _URC_NORMAL_STOP;
  };
  _Unwind_Backtrace(visit, this);
}

void CodeFrames::endWalk(CodeThread &thread) {
  if (thread.walkEnd)
    _longjmp(*thread.walkEnd, 1);
}

// Of a frame that waits for a call the instruction is the one before where it goes on.
bool CodeFrames::add(_Unwind_Context *context) {
  constexpr int rbp = 6;
  int isInterrupted = 0;
  Address next = Address::of(static_cast<std::uint64_t>(_Unwind_GetIPInfo(context, &isInterrupted)));
  if (depth_ == 0 && interrupted_ != Address() && !(isInterrupted && next == interrupted_))
    return true; // the handler's own
  if (isInterrupted && (depth_ > 0 || interrupted_ == Address()))
    return false; // another handler's: whom it has interrupted may be in the middle of anything
  if (++depth_ == 2)
    afterFirst_ = Address::of(static_cast<std::uint64_t>(_Unwind_GetCFA(context)));
  Address at = isInterrupted ? next : next.shifted(-1);
  if (thread_.isThunk(at)) {
    reachThunk_ = Address::of(static_cast<std::uint64_t>(_Unwind_GetGR(context, rbp))) == thread_.activations.entryFrame;
    return !reachThunk_;
  }
  if (!thread_.rangeAt(at)) {
    if (count_ == 0)
      addForeign(_Unwind_FindEnclosingFunction(at.pointer<void>()));
    return true;
  }
  if (count_ < innermost_.size())
    innermost_[count_] = at;
  ++count_;
  return true;
}

void CodeFrames::addForeign(const void *function) {
  ++foreign_;
  mayAllocate_ |= llvm::is_contained(allocators, function);
  isSearch_ = llvm::is_contained(searches, function) && !mayAllocate_; // the last one is what code has called
}

bool CodeFrames::mayBeInSearch(Address pc) {
  constexpr Size reach = 4096; // of functions and their parts, which lie together
  return llvm::any_of(searches, [=](const void *function) {
    Address at = Address::of(function);
    return pc < at + reach && at < pc + reach;
  });
}

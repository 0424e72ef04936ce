#include "stack/exception_state.h"

#include "stack/cpp_exception.h"

#include <algorithm>
#include <array>
#include <cxxabi.h>
#include <new>
#include <sys/mman.h>
#include <utility>

using namespace nomad;

namespace {

// __cxa_exception: Itanium C++ ABI, Exception Handling, 2.2.1.
struct Exception {
  void *type, *destructor, *unexpectedHandler, *terminateHandler;
  Exception *next;
  int handlerCount, handlerSwitchValue;
  const void *actionRecord, *languageSpecificData;
  void *catchTemp, *adjusted;
  _Unwind_Exception header;
};
static_assert(offsetof(Exception, header) == 80);

// Another language's is the only one in the list, and has no `next`.
Exception *nextOf(Exception *exception) { return isOfCpp(exception->header.exception_class) ? exception->next : nullptr; }

Exception *newest() { return static_cast<Exception *>(exceptionState().handled); }

bool isHandled(const Exception *exception) {
  for (Exception *each = newest(); each; each = nextOf(each))
    if (each == exception)
      return true;
  return false;
}

class Exceptions {
public:
  void clear() { count_ = 0; }
  void forgetEnded() {
    auto isEnded = [](const Exception *each) { return !isHandled(each); };
    count_ = static_cast<size_t>(std::remove_if(begin(), end(), isEnded) - begin());
  }
  // Of a recursion of more handlers than that, the outer ones are taken for this stack's.
  void add(Exception *exception) {
    if (count_ < most)
      exceptions_[count_++] = exception;
  }
  bool contains(const Exception *exception) const { return std::find(begin(), end(), exception) != end(); }

private:
  Exception **begin() { return exceptions_.data(); }
  Exception **end() { return exceptions_.data() + count_; }
  Exception *const *begin() const { return exceptions_.data(); }
  Exception *const *end() const { return exceptions_.data() + count_; }

  static constexpr size_t most = 500;
  std::array<Exception *, most> exceptions_;
  size_t count_ = 0;
};

struct OtherStacks {
  bool isThere = false;    // on one
  unsigned onTheirWay = 0; // when the thread came there
  Exceptions atArrival;    // that were being handled then
  Exceptions handledByThem;
};

// From the system: there is little room for what a handler of signals may find at any time. It stays when the thread ends.
OtherStacks *others(bool isMade) {
  static constinit thread_local OtherStacks *own __attribute__((tls_model("initial-exec"))) = nullptr;
  if (own || !isMade)
    return own;
  void *memory = mmap(nullptr, sizeof *own, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : own = new (memory) OtherStacks;
}

bool isOthers(const Exception *exception) {
  const OtherStacks *known = others(false);
  return known && known->handledByThem.contains(exception);
}

void unlink(Exception *exception) {
  if (newest() == exception) {
    exceptionState().handled = nextOf(exception);
    return;
  }
  for (Exception *each = newest(); each; each = nextOf(each))
    if (nextOf(each) == exception) {
      each->next = exception->next;
      return;
    }
}

// The newest that has come on this stack since `before`.
Exception *findOwn(const Exception *before) {
  for (Exception *each = newest(); each && each != before; each = nextOf(each))
    if (!isOthers(each))
      return each;
  return nullptr;
}

// libstdc++ ends the first of its list.
void end(Exception *exception) {
  if (newest() != exception) {
    unlink(exception);
    exception->next = newest();
    exceptionState().handled = exception;
  }
  abi::__cxa_end_catch();
}

} // namespace

ExceptionState &nomad::exceptionState() { return *reinterpret_cast<ExceptionState *>(abi::__cxa_get_globals()); }

void nomad::restoreExceptionState(const ExceptionState &before) {
  auto *oldest = static_cast<Exception *>(before.handled);
  if (!oldest || isHandled(oldest)) // else a coroutine has ended it
    while (Exception *exception = findOwn(oldest))
      end(exception);
  ExceptionState &now = exceptionState();
  now.onTheirWay = before.onTheirWay + (now.onOtherStacks - before.onOtherStacks);
}

void nomad::enterOtherStack() {
  OtherStacks *known = others(true);
  if (!known)
    return;
  known->isThere = true;
  known->onTheirWay = exceptionState().onTheirWay;
  known->atArrival.clear();
  for (Exception *each = newest(); each; each = nextOf(each))
    known->atArrival.add(each);
}

void nomad::leaveOtherStack(bool isForGood) {
  OtherStacks *known = others(false);
  if (!known || !std::exchange(known->isThere, false))
    return;
  known->handledByThem.forgetEnded();
  for (Exception *each = newest(), *next = nullptr; each; each = next) {
    next = nextOf(each);
    if (known->atArrival.contains(each))
      continue;
    if (isForGood)
      unlink(each);
    else
      known->handledByThem.add(each);
  }
  ExceptionState &now = exceptionState();
  if (isForGood)
    now.onTheirWay = known->onTheirWay;
  else
    now.onOtherStacks += now.onTheirWay - known->onTheirWay;
}

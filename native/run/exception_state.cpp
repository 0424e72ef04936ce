#include "run/exception_state.h"

#include "run/runtime_support.h"

#include <array>
#include <cxxabi.h>
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

// Those that are being handled. So many that some are not seen would be a recursion of handlers.
class Handled {
public:
  static Handled now() {
    Handled all;
    for (Exception *each = newest(); each && all.add(each);)
      each = nextOf(each);
    return all;
  }
  bool add(Exception *exception) {
    if (count_ == exceptions_.size())
      return false;
    exceptions_[count_++] = exception;
    return true;
  }
  bool contains(const Exception *exception) const {
    for (size_t i = 0; i < count_; ++i)
      if (exceptions_[i] == exception)
        return true;
    return false;
  }
  auto begin() const { return exceptions_.begin(); }
  auto end() const { return exceptions_.begin() + count_; }

private:
  std::array<Exception *, 16> exceptions_{};
  size_t count_ = 0;
};

// Initial-exec: a signal handler must not have it allocated.
struct OtherStacks {
  bool isThere = false;    // on one
  unsigned onTheirWay = 0; // when the thread came there
  Handled atArrival;       // the same
  Handled handledByThem;
};
constinit thread_local OtherStacks others __attribute__((tls_model("initial-exec"))) = {};

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
Exception *findOwn(const Handled &handled, const Exception *before) {
  for (Exception *each : handled) {
    if (each == before)
      break;
    if (!others.handledByThem.contains(each))
      return each;
  }
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
  if (!oldest || Handled::now().contains(oldest)) // else a coroutine has ended it
    while (Exception *exception = findOwn(Handled::now(), oldest))
      end(exception);
  ExceptionState &now = exceptionState();
  now.onTheirWay = before.onTheirWay + (now.onOtherStacks - before.onOtherStacks);
}

void nomad::enterOtherStack() {
  others.isThere = true;
  others.onTheirWay = exceptionState().onTheirWay;
  others.atArrival = Handled::now();
}

void nomad::leaveOtherStack(bool isForGood) {
  if (!std::exchange(others.isThere, false))
    return;
  ExceptionState &now = exceptionState();
  Handled theirs;
  for (Exception *each : Handled::now()) {
    bool isNew = !others.atArrival.contains(each);
    if (isNew && isForGood)
      unlink(each);
    else if (isNew || others.handledByThem.contains(each))
      theirs.add(each);
  }
  others.handledByThem = theirs;
  if (isForGood)
    now.onTheirWay = others.onTheirWay;
  else
    now.onOtherStacks += now.onTheirWay - others.onTheirWay;
}

#include "fault/unexpected.h"

#include "move/unwind.h"
#include "stack/code_frames.h"
#include "stack/cpp_exception.h"
#include "stack/exception_state.h"

#include <cxxabi.h>
#include <exception>
#include <utility>

using namespace nomad;

extern "C" [[noreturn]] void __cxa_call_unexpected(void *exception);

namespace {

// In front of the _Unwind_Exception: Itanium C++ ABI, Exception Handling, 2.2.1.
struct Header {
  void (*unexpectedHandler)();
  void (*terminateHandler)();
  void *nextException;
  int handlerCount;
  int handlerSwitchValue;
  const void *actionRecord;
  const void *languageSpecificData;
  void *catchTemp;
  void *adjusted;
};
static_assert(sizeof(Header) == 64);

Header &headerOf(void *exception) { return static_cast<Header *>(exception)[-1]; }

thread_local std::exception_ptr thrown;

void throwAgain() { std::rethrow_exception(std::exchange(thrown, nullptr)); }

// Of the function with a frame whose stack pointer that is, where it is now.
const void *tablesOfFrameAt(Address stackPointer) {
  refreshUnwindTables();
  struct Search {
    Address stackPointer;
    const void *found = nullptr;
  } search{stackPointer};
  auto visit = [](_Unwind_Context *context, void *argument) {
    auto *search = static_cast<Search *>(argument);
    if (frameOf(context).returnSlot + 8 != search->stackPointer)
      return _URC_NO_REASON;
    search->found = _Unwind_GetLanguageSpecificData(context);
    return _URC_NORMAL_STOP;
  };
  _Unwind_Backtrace(visit, &search);
  return search.found;
}

// The handler may throw what the specification allows: that waits until libstdc++ looks. It may throw the same exception again.
void runHandler(void *exception) {
  Header &header = headerOf(exception), before = header;
  abi::__cxa_begin_catch(exception);
  try {
    leavingAtCode(header.unexpectedHandler);
  } catch (...) {
    thrown = std::current_exception();
  }
  if (!thrown)
    std::terminate();
  header.handlerSwitchValue = before.handlerSwitchValue;
  header.catchTemp = before.catchTemp;
  // As if handling had not begun: libstdc++ does that itself.
  header.handlerCount -= 1;
  exceptionState().onTheirWay += 1;
}

[[noreturn]] void callUnexpected(void *exception) {
  Address caller = Address::of(__builtin_frame_address(0)) + 16;
  if (!isOfCpp(static_cast<_Unwind_Exception *>(exception)->exception_class))
    std::terminate();
  runHandler(exception);
  headerOf(exception).unexpectedHandler = throwAgain;
  headerOf(exception).languageSpecificData = tablesOfFrameAt(caller);
  __cxa_call_unexpected(exception);
}

} // namespace

std::optional<Address> nomad::findCallUnexpected(llvm::StringRef name) {
  return name == "__cxa_call_unexpected" ? std::optional(Address::of(reinterpret_cast<const void *>(&callUnexpected)))
                                         : std::nullopt;
}

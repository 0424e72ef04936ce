#include "fault/terminate.h"

#include "fault/trap.h"
#include "stack/code_frames.h"
#include "stack/cpp_exception.h"
#include "stack/other_stacks.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <exception>
#include <string>

using namespace nomad;

namespace {

std::terminate_handler before = nullptr;
thread_local std::terminate_handler ofCode = nullptr; // an entry stub: it outlives the function

const void *fileOf(const void *address) {
  Dl_info info;
  return dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
}

// libstdc++, libgcc, or what called this handler.
bool isOfRuntime(Address at) {
  static const void *const files[] = {fileOf(reinterpret_cast<const void *>(&std::set_terminate)),
                                      fileOf(reinterpret_cast<const void *>(&_Unwind_Backtrace)), fileOf(&before)};
  const void *file = fileOf(at.pointer());
  return file && (file == files[0] || file == files[1] || file == files[2]);
}

// Only the runtime lies between here and code, or code's begin: any other frame may be in the middle of something.
bool isCalledForCode(const CodeThread &thread) {
  struct Search {
    const CodeThread &thread;
    bool isFound = false;
  } search{thread};
  auto visit = [](_Unwind_Context *context, void *argument) {
    auto *search = static_cast<Search *>(argument);
    Address instruction = frameOf(context).instruction, at = instruction.shifted(-1);
    search->isFound = search->thread.rangeAt(at) || search->thread.isThunk(at) || isBeginOfCoroutine(instruction);
    return !search->isFound && isOfRuntime(at) ? _URC_NO_REASON : _URC_NORMAL_STOP;
  };
  _Unwind_Backtrace(visit, &search);
  return search.isFound;
}

std::string called() {
  const std::type_info *type = abi::__cxa_current_exception_type();
  return "std::terminate() was called" + (type ? ", for an exception of type " + typeName(*type) : std::string());
}

// What the handler throws is lost, like what it returns.
void leave() {
  try {
    if (ofCode)
      ofCode();
  } catch (...) {
  }
  raiseTrap("abort", called());
}

// Returns where code can't be left.
void leaveIfInCode() {
  CodeThread *thread = codeThread();
  if (thread && thread->isInCode() && isCalledForCode(*thread))
    leavingAtCode(leave);
}

[[noreturn]] void onTerminate() {
  leaveIfInCode();
  if (ofCode)
    ofCode();
  before();
  std::abort();
}

[[noreturn]] void terminate() {
  leaveIfInCode();
  std::terminate();
}

// What code gets for the process's handler, which would end the process: it may be called, and given back.
[[noreturn]] void byDefault() {
  raiseTrap("abort", called());
  before();
  std::abort();
}

std::terminate_handler getTerminate() { return ofCode ? ofCode : byDefault; }

std::terminate_handler setTerminate(std::terminate_handler handler) {
  std::terminate_handler old = getTerminate();
  ofCode = handler == byDefault ? nullptr : handler;
  return old;
}

} // namespace

void nomad::listenForTerminate() {
  static const bool isListening = (before = std::set_terminate(onTerminate), true);
  (void)isListening;
}

std::optional<Address> nomad::findTerminate(llvm::StringRef name) {
  if (name == "_ZSt9terminatev")
    return Address::of(reinterpret_cast<const void *>(&terminate));
  if (name == "_ZSt13set_terminatePFvvE")
    return Address::of(reinterpret_cast<const void *>(&setTerminate));
  if (name == "_ZSt13get_terminatev")
    return Address::of(reinterpret_cast<const void *>(&getTerminate));
  if (name == "_ZN9__gnu_cxx27__verbose_terminate_handlerEv")
    return Address::of(reinterpret_cast<const void *>(&byDefault));
  return std::nullopt;
}

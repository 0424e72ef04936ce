#include "fault/abort.h"

#include "fault/trap.h"

#include "llvm/ADT/StringSwitch.h"

#include <cstdlib>
#include <cstring>

// Declared by <cassert> in some builds only.
extern "C" void __assert_fail(const char *expression, const char *file, unsigned line, const char *function) noexcept
    __attribute__((noreturn));

using namespace nomad;
using namespace llvm;

namespace {

constexpr const char *kind = "abort";

[[noreturn]] void abortCode() {
  raiseTrap(kind, "abort() was called");
  std::abort();
}

std::string assertion(const char *what, const char *file, unsigned line, const char *function) {
  std::string where = std::string(file ? file : "?") + ":" + std::to_string(line);
  return std::string("assertion failed: ") + (what ? what : "?") + " (" + where + (function ? std::string(", ") + function : "") +
         ")";
}

[[noreturn]] void failAssertion(const char *expression, const char *file, unsigned line, const char *function) {
  raiseTrap(kind, assertion(expression, file, line, function));
  __assert_fail(expression, file, line, function);
}

[[noreturn]] void failOldAssertion(const char *expression, const char *file, int line) {
  failAssertion(expression, file, static_cast<unsigned>(line), nullptr);
}

[[noreturn]] void failPerror(int number, const char *file, unsigned line, const char *function) {
  failAssertion(strerror(number), file, line, function);
}

[[noreturn]] void failStackCheck() {
  raiseTrap(kind, "stack smashing detected: a function has written past its variables");
  std::abort();
}

[[noreturn]] void failBufferCheck() {
  raiseTrap(kind, "buffer overflow detected");
  std::abort();
}

[[noreturn]] void callPureVirtual() {
  raiseTrap(kind, "pure virtual function called");
  std::abort();
}

template <typename Function>
const void *at(Function *function) {
  return reinterpret_cast<const void *>(function);
}

} // namespace

std::optional<Address> nomad::findAbort(StringRef name) {
  const void *found = StringSwitch<const void *>(name)
                          .Case("abort", at(abortCode))
                          .Case("__assert_fail", at(failAssertion))
                          .Case("__assert_perror_fail", at(failPerror))
                          .Case("__assert", at(failOldAssertion))
                          .Case("__stack_chk_fail", at(failStackCheck))
                          .Cases({"__chk_fail", "__fortify_fail"}, at(failBufferCheck))
                          .Cases({"__cxa_pure_virtual", "__cxa_deleted_virtual"}, at(callPureVirtual))
                          .Default(nullptr);
  return found ? std::optional(Address::of(found)) : std::nullopt;
}

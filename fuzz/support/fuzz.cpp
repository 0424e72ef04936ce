#include "support/fuzz.h"

#include "llvm/Support/raw_ostream.h"

#include <cstdlib>

using namespace nomad;
using namespace nomad::fuzz;
using namespace llvm;

// Compilations that end in a fatal error are abandoned with all they own; their frames are left without a return.
// And faults inside of them belong to the failure boundary (base/recovery.h).
extern "C" const char *__asan_default_options() {
  return "detect_leaks=0:detect_stack_use_after_return=0:allocator_may_return_null=1:allow_user_segv_handler=1";
}

// What LLVM reads beyond an end is LLVM's, as its crashes are.
extern "C" const char *__asan_default_suppressions() { return "interceptor_via_lib:libLLVM\n"; }

void fuzz::defect(const Twine &what) {
  errs() << "defect: " << what << '\n';
  std::abort();
}

void fuzz::expected(Error error) {
  handleAllErrors(
      std::move(error), [](const CodedError &) {},
      [](const ErrorInfoBase &other) { defect("an error without a code: " + Twine(other.message())); });
}

void fuzz::need(Error error) {
  if (error)
    defect(toString(std::move(error)));
}

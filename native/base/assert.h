// NOMAD_ASSERT: a promise of this code, checked in every build. A user's or the system's fault is an Error, never an assertion.
#pragma once

namespace nomad {
[[noreturn]] void assertionFailed(const char *condition, const char *promise, const char *file, int line);
}

#define NOMAD_ASSERT(condition, promise)                                                                                         \
  do {                                                                                                                           \
    if (!(condition)) [[unlikely]]                                                                                               \
      ::nomad::assertionFailed(#condition, promise, __FILE__, __LINE__);                                                         \
  } while (false)

#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

void nomad::assertionFailed(const char *condition, const char *promise, const char *file, int line) {
  std::fprintf(stderr, "nomad-jit: broken promise: %s (%s) at %s:%d\n", promise, condition, file, line);
  std::abort();
}

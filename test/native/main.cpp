// The core's own tests, in the order of the data flow. `npm run test:native` builds them under sanitizers and runs them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

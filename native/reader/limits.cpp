#include "reader/limits.h"

#include <algorithm>
#include <cstdio>
#include <sys/time.h>
#include <unistd.h>

using namespace nomad::helper;

namespace {

void setTimer(std::uint64_t milliseconds) {
  itimerval timer = {};
  timer.it_value.tv_sec = static_cast<time_t>(milliseconds / 1000);
  timer.it_value.tv_usec = static_cast<suseconds_t>(milliseconds % 1000 * 1000);
  setitimer(ITIMER_REAL, &timer, nullptr);
}

} // namespace

void nomad::helper::limit(__rlimit_resource_t resource, rlim_t wanted) {
  rlimit now = {};
  getrlimit(resource, &now);
  now.rlim_cur = std::min(wanted, now.rlim_cur);
  setrlimit(resource, &now);
}

void nomad::helper::limitReading(std::size_t bytes) {
  limit(RLIMIT_AS, addressSpaceFor(bytes));
  // A loop takes processor time; what waits for something that never comes does not.
  itimerval processor = {{}, {static_cast<time_t>(secondsFor(bytes)), 0}};
  setitimer(ITIMER_PROF, &processor, nullptr);
  alarm(static_cast<unsigned>(patienceSecondsFor(bytes) + 1));
}

void nomad::helper::stopTimers() {
  itimerval none = {};
  setitimer(ITIMER_PROF, &none, nullptr);
  alarm(0);
}

Memory nomad::helper::memoryOfProcess() {
  Memory pages;
  if (FILE *file = fopen("/proc/self/statm", "re")) {
    if (fscanf(file, "%zu %zu", &pages.all, &pages.resident) != 2)
      pages = {};
    fclose(file);
  }
  auto pageBytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return {pages.all * pageBytes, pages.resident * pageBytes};
}

RequestLimits::RequestLimits(const RequestHeader &request) {
  getrlimit(RLIMIT_AS, &before_);
  if (request.memoryBytes > 0)
    limit(RLIMIT_AS, memoryOfProcess().all + request.memoryBytes);
  setTimer(request.milliseconds);
}

RequestLimits::~RequestLimits() {
  setTimer(0);
  setrlimit(RLIMIT_AS, &before_);
}

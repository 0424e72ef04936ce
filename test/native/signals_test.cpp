// Whose signal it is: ours stays in front, nobody's handler is lost, and what we don't claim is handed on as the kernel would.
#include "support.h"

#include "base/signals.h"

#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace nomad;

namespace {

constexpr int watched[] = {SIGUSR2};

std::vector<int> heard; // which handlers have run, in their order
struct sigaction beforeSecond;
bool wasBlocked, otherWasBlocked;

void note(int which) {
  heard.push_back(which);
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  wasBlocked = sigismember(&mask, SIGUSR2) == 1;
  otherWasBlocked = sigismember(&mask, SIGUSR1) == 1;
}

void first(int) { note(1); }
void second(int signal, siginfo_t *info, void *context) {
  note(2);
  if (beforeSecond.sa_flags & SA_SIGINFO)
    beforeSecond.sa_sigaction(signal, info, context);
}

void install(void (*handler)(int), int flags = 0, int blocked = 0) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  if (blocked != 0)
    sigaddset(&action.sa_mask, blocked);
  sigaction(SIGUSR2, &action, nullptr);
}

void installSecond() {
  struct sigaction action = {};
  action.sa_sigaction = second;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR2, &action, &beforeSecond);
}

std::vector<int> hear() {
  heard.clear();
  raise(SIGUSR2);
  return heard;
}

using Heard = std::vector<int>;

/// Runs in a process of its own: what it installs, it keeps. Returns its exit code, or 128 and the signal that ended it.
int inChild(int (*work)()) {
  pid_t child = fork();
  if (child == 0)
    _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

} // namespace

TEST_CASE("signals: what nobody claims goes to the handler before ours, with its mask and flags") {
  CHECK(inChild([] {
          install(first, 0, SIGUSR1);
          watchSignals(watched);
          bool isRight = hear() == Heard{1} && wasBlocked && otherWasBlocked;
          isRight &= hear() == Heard{1};
          install(first, SA_NODEFER);
          watchSignals(watched);
          isRight &= hear() == Heard{1} && !wasBlocked && !otherWasBlocked;
          return isRight ? 0 : 1;
        }) == 0);
  CHECK(inChild([] {
          install(first, static_cast<int>(SA_RESETHAND));
          watchSignals(watched);
          if (hear() != Heard{1})
            return 1;
          hear(); // ends the process
          return 2;
        }) == 128 + SIGUSR2);
}

TEST_CASE("signals: SIG_IGN and SIG_DFL before ours are what they were") {
  CHECK(inChild([] { return install(SIG_IGN), watchSignals(watched), raise(SIGUSR2), 3; }) == 3);
  CHECK(inChild([] { return install(SIG_DFL), watchSignals(watched), raise(SIGUSR2), 3; }) == 128 + SIGUSR2);
}

TEST_CASE("signals: a handler that is installed over ours is kept when ours is in front again, however often") {
  CHECK(inChild([] {
          install(first);
          watchSignals(watched);
          for (int round = 0; round < 1000; ++round) {
            installSecond(); // hands on to ours
            beforeSecond = {};
            if (hear() != Heard{2})
              return 1;
            watchSignals(watched);
            if (hear() != Heard{2})
              return 2;
            install(first);
            watchSignals(watched);
            if (hear() != Heard{1})
              return 3;
          }
          return 0;
        }) == 0);
}

TEST_CASE("signals: a handler over ours that hands on to ours reaches the one before, once") {
  CHECK(inChild([] {
          install(first);
          watchSignals(watched);
          installSecond();
          if (hear() != Heard{2, 1})
            return 1;
          watchSignals(watched);
          return hear() == Heard{2, 1} && hear() == Heard{2, 1} ? 0 : 2;
        }) == 0);
}

TEST_CASE("signals: a thread has one alternate stack, its own or somebody else's, and gives it back") {
  auto stackNow = [] {
    stack_t now = {};
    sigaltstack(nullptr, &now);
    return now;
  };
  std::thread([&] {
    stack_t before = stackNow();
    ensureAlternateStack();
    stack_t made = stackNow();
    CHECK((made.ss_flags & SS_DISABLE) == 0);
    if (!(before.ss_flags & SS_DISABLE))
      CHECK(made.ss_sp == before.ss_sp); // the sanitizer's
    ensureAlternateStack();
    CHECK(stackNow().ss_sp == made.ss_sp);
  }).join();
}

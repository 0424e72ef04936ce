#include "base/signals.h"

#include "base/assert.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

using namespace nomad;

namespace {

constexpr std::array faults{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
std::array<std::atomic<SignalClaim>, 2> claims;

// ---- handlers before ours ----

/// What a signal did before ours was installed, and before that. Never changed or deleted: a handler may be reading it.
struct Earlier {
  struct sigaction action;
  const Earlier *before;
};

std::array<std::atomic<const Earlier *>, NSIG> earlier;

bool isSame(const struct sigaction &a, const struct sigaction &b) {
  return a.sa_sigaction == b.sa_sigaction && a.sa_flags == b.sa_flags;
}

std::mutex watchMutex;

// One of each kind is enough, however often handlers are exchanged.
const Earlier *remember(const struct sigaction &action, const Earlier *before) {
  static auto *const all = new std::deque<Earlier>;
  for (const Earlier &each : *all)
    if (isSame(each.action, action) && each.before == before)
      return &each;
  return &all->emplace_back(Earlier{action, before});
}

// The list without `action`: a handler that comes back is in it once.
const Earlier *without(const Earlier *list, const struct sigaction &action) {
  if (!list)
    return nullptr;
  if (isSame(list->action, action))
    return list->before;
  return remember(list->action, without(list->before, action));
}

// The handler that is now being called by ours on this thread. If it hands on to ours, that is the turn of the one before it.
struct HandingOn {
  const Earlier *to;
  const siginfo_t *info;
  const void *frame;
};
// Initial-exec: a handler can't have its thread's variables allocated.
thread_local HandingOn handingOn __attribute__((tls_model("initial-exec"))) = {};

void takeDefault(int signal, const siginfo_t &info) {
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  // A fault happens again as soon as the handler has returned; not after a breakpoint, which has been passed.
  if (info.si_code > 0 && signal != SIGTRAP)
    return;
  raise(signal);
}

// As the kernel would: its mask, and SA_RESETHAND.
void call(const Earlier &to, int signal, siginfo_t *info, void *context) {
  const struct sigaction &action = to.action;
  if (action.sa_flags & static_cast<int>(SA_RESETHAND)) {
    static constexpr Earlier standard{};
    const Earlier *expected = &to;
    earlier[static_cast<size_t>(signal)].compare_exchange_strong(expected, &standard);
  }
  sigset_t mask = action.sa_mask;
  if (!(action.sa_flags & SA_NODEFER))
    sigaddset(&mask, signal);
  pthread_sigmask(SIG_BLOCK, &mask, nullptr); // until the handler returns, which restores what was there
  if (action.sa_flags & SA_SIGINFO)
    action.sa_sigaction(signal, info, context);
  else
    action.sa_handler(signal);
}

void handOn(int signal, siginfo_t *info, void *context, const void *frame) {
  HandingOn outer = handingOn;
  // A frame below that handler's is called by it; what lies elsewhere is another signal's.
  bool isHandedBack = outer.to && outer.info == info && frame < outer.frame;
  const Earlier *to = isHandedBack ? outer.to->before : earlier[static_cast<size_t>(signal)].load();
  if (!to || to->action.sa_handler == SIG_DFL)
    return takeDefault(signal, *info);
  if (to->action.sa_handler == SIG_IGN)
    return info->si_code > 0 ? takeDefault(signal, *info) : void(); // faults can't be ignored
  handingOn = {to, info, frame};
  call(*to, signal, info, context);
  handingOn = outer;
}

// Code can have set it; the kernel leaves it to handlers, and none bears it.
void clearAlignmentCheck() {
  asm volatile("subq $128, %%rsp\n\tpushfq\n\tandq $~0x40000, (%%rsp)\n\tpopfq\n\taddq $128, %%rsp" ::: "memory", "cc");
}

void onSignal(int signal, siginfo_t *info, void *context) {
  clearAlignmentCheck();
  int before = errno;
  for (const auto &claim : claims)
    if (SignalClaim known = claim.load(); known && known(signal, info, static_cast<ucontext_t *>(context))) {
      errno = before;
      return;
    }
  handOn(signal, info, context, __builtin_frame_address(0));
  errno = before;
}

bool isOurs(const struct sigaction &action) { return (action.sa_flags & SA_SIGINFO) && action.sa_sigaction == onSignal; }

void watch(int signal) {
  struct sigaction there = {};
  sigaction(signal, nullptr, &there);
  if (isOurs(there))
    return;
  std::lock_guard lock(watchMutex);
  struct sigaction ours = {};
  ours.sa_sigaction = onSignal;
  // NODEFER: a handler that is left by unwinding restores no mask. RESTART: system calls don't notice what is none of
  // theirs.
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
  sigemptyset(&ours.sa_mask);
  auto &before = earlier[static_cast<size_t>(signal)];
  for (; sigaction(signal, nullptr, &there) == 0 && !isOurs(there); sigaction(signal, &ours, nullptr))
    before = remember(there, without(before, there));
}

// ---- alternate stacks ----

class AlternateStack {
public:
  AlternateStack() {
    stack_t before = {};
    if (sigaltstack(nullptr, &before) != 0 || !(before.ss_flags & SS_DISABLE))
      return; // this thread has been given one
    void *memory = mmap(nullptr, guardBytes + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
      return; // faults at the end of the stack stay fatal
    memory_ = static_cast<char *>(memory);
    mprotect(memory_, guardBytes, PROT_NONE);
    stack_t mine = {};
    mine.ss_sp = memory_ + guardBytes;
    mine.ss_size = bytes;
    sigaltstack(&mine, nullptr);
  }
  ~AlternateStack() {
    if (!memory_)
      return;
    stack_t now = {}, none = {};
    none.ss_flags = SS_DISABLE;
    if (sigaltstack(nullptr, &now) == 0 && now.ss_sp == memory_ + guardBytes)
      sigaltstack(&none, nullptr);
    munmap(memory_, guardBytes + bytes);
  }
  AlternateStack(const AlternateStack &) = delete;
  AlternateStack &operator=(const AlternateStack &) = delete;

  static AlternateStack &ofThread() {
    static thread_local AlternateStack stack;
    return stack;
  }
  bool exists() const { return memory_; }

private:
  // For the kernel's frame, an unwinder, and names that are looked up.
  static constexpr size_t bytes = 256 * 1024;
  static constexpr size_t guardBytes = 4096;
  char *memory_ = nullptr;
};

} // namespace

void nomad::claimSignals(SignalClaimant claimant, SignalClaim claim) { claims[static_cast<size_t>(claimant)] = claim; }

std::span<const int> nomad::faultSignals() { return faults; }

void nomad::watchSignals(std::span<const int> signals) {
  for (int signal : signals)
    watch(signal);
}

bool nomad::isSignalHandlerIn(Range code) {
  auto leadsThere = [=](const struct sigaction &action) {
    return code.contains(Address::of(reinterpret_cast<const void *>(action.sa_sigaction)));
  };
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction there = {};
    if (sigaction(signal, nullptr, &there) == 0 && leadsThere(there))
      return true;
    for (const Earlier *each = earlier[static_cast<size_t>(signal)]; each; each = each->before)
      if (leadsThere(each->action))
        return true;
  }
  return false;
}

bool nomad::ensureAlternateStack() { return AlternateStack::ofThread().exists(); }

bool nomad::isOwnSignal(const siginfo_t &info) {
  return info.si_code > 0 || (info.si_code == SI_TKILL && info.si_pid == getpid());
}

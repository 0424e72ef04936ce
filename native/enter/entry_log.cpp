#include "enter/entry_log.h"

#include "enter/entry_gate.h"
#include "memory/foreign.h"
#include "move/unwind.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sched.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

using namespace nomad;

namespace {

std::uint64_t threadPointer() { return reinterpret_cast<std::uint64_t>(__builtin_thread_pointer()); }

// Of this thread's own stack.
__attribute__((no_sanitize_address)) std::uint64_t wordAt(std::uint64_t address) {
  return *reinterpret_cast<const volatile std::uint64_t *>(address);
}

// For what is soon over: 0.1 s in all.
constexpr unsigned mostPatience = 2000, patienceMicroseconds = 50;

// What the kernel makes a signal handler return to: movq $15, %rax; syscall.
bool returnsFromSignal(std::uint64_t returnsTo) {
  constexpr std::uint8_t restorer[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
  std::uint8_t code[sizeof restorer] = {};
  return readForeign(Range::at(Address::of(returnsTo), sizeof code), code) == Reading::Done &&
         std::memcmp(code, restorer, sizeof code) == 0;
}

// A signal handler may be the first code of a thread, and can't ask for its stack. glibc puts what the thread pointer leads to at
// the end of a thread's stack.
bool isOnUsualStack(std::uint64_t slot, std::uint64_t thread) {
  constexpr std::uint64_t usualStackBytes = 8 << 20;
  return thread - slot < usualStackBytes;
}

// 0: not known, or it is on another stack.
Address stackLimitOf(std::uint64_t slot, std::uint64_t thread, bool isInSignal) {
  if (activationChain.stack.contains(Address::of(slot)))
    return activationChain.stack.limit;
  return isInSignal && isOnUsualStack(slot, thread) ? Address::of(thread) : Address();
}

// Is it of a stack whose thread may be gone? Then it may have changed, or there is nothing any more.
bool isUnchanged(std::uint64_t address, std::uint64_t expected) {
  std::uint64_t word = 0;
  switch (readForeign(Range::at(Address::of(address), sizeof word), &word)) {
  case Reading::Done:
    return word == expected;
  case Reading::Gone:
    return false;
  case Reading::Refused:
    return true;
  }
  return true;
}

// Does another thread's stack, which ends at `limit`, begin above the slot? Only of one that waits in the kernel does the system
// say where it is, and that may be on another stack.
bool hasPopped(int kernelId, std::uint64_t slot, std::uint64_t limit) {
  char path[64], text[256];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/syscall", kernelId);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0)
    close(file);
  if (length <= 0)
    return file < 0 && errno == ENOENT; // the thread has ended
  text[length] = '\0';
  unsigned long long stackPointer = 0;
  // number, six arguments, stack pointer, instruction; or "running"
  bool isKnown = std::sscanf(text, "%*s %*s %*s %*s %*s %*s %*s %llx", &stackPointer) == 1;
  return isKnown && stackPointer > slot && stackPointer < limit;
}

// What the kernel has pushed above a handler's return slot: the interrupted stack pointer is higher, and code segments have one
// selector.
bool hasSignalFrame(std::uint64_t slot) {
  constexpr std::uint64_t selectorOfCode = 0x33;
  auto registerAt = [=](int which) {
    return wordAt(slot + 8 + offsetof(ucontext_t, uc_mcontext.gregs) + static_cast<std::uint64_t>(which) * 8);
  };
  return registerAt(REG_RSP) > slot && (registerAt(REG_CSGSFS) & 0xffff) == selectorOfCode;
}

// Of this thread's stack. One word may be left by chance in what other frames don't use; a signal's frame is not.
bool isActive(std::uint64_t slot, std::uint64_t returnsTo, Address stackPointer) {
  return Address::of(slot) > stackPointer && wordAt(slot) == returnsTo && (!returnsFromSignal(returnsTo) || hasSignalFrame(slot));
}

} // namespace

EntryLog::EntryLog(const ActivationChain &chain, Owner &owner)
    : chain_(chain), owner_(&owner), stale_(staleUnwindTables()), changing_(changingUnwindTables()), thread_(threadPointer()) {
  void *memory = mmap(nullptr, mostEntries * sizeof(Entry), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw std::bad_alloc();
  entries_ = static_cast<Entry *>(memory);
}

EntryLog::~EntryLog() { munmap(entries_, mostEntries * sizeof(Entry)); }

EntryWatch EntryLog::watch() {
  Delta offset = Address::of(&activationChain.entryFrame) - Address::of(threadPointer());
  return {static_cast<std::int32_t>(offset), entryGate(), Address::of(this)};
}

EntryLog::Order EntryLog::note(Address returnSlot, std::uint64_t first, std::uint64_t second) {
  std::uint64_t thread = threadPointer(), slot = returnSlot.value();
  if (thread != ownThread())
    return noteOutside(slot, thread, first, second);
  if (moves_.areUnderWay() && putOff(slot, first, second))
    return Order::Return;
  bool isInSignal = record(slot, thread).isInSignal;
  return *stale_ != 0 && *changing_ == 0 && !isInSignal ? Order::Prepare : Order::Enter;
}

// On another thread. Its record is there before it looks whether it is kept out, and its keeper looks for records after
// that: one of the two sees the other. While it is kept out its record may be taken for one that is over, and forgotten.
EntryLog::Order EntryLog::noteOutside(std::uint64_t slot, std::uint64_t thread, std::uint64_t first, std::uint64_t second) {
  bool isNew = !hasOtherThreads_.load(std::memory_order_relaxed) || activationChain.stack.size() == 0;
  for (;;) {
    auto [entry, outer, outerSlot, isInSignal] = record(slot, thread);
    // A thread that is in code already can't wait: it is waited for.
    bool mayEnter = outer ? outer->slot.load() == outerSlot : !moves_.areOthersKeptOut();
    if (mayEnter && (!entry || entry->slot.load() == slot))
      return isNew && !isInSignal ? Order::Prepare : Order::Enter;
    if (outer)
      continue; // a record has just been forgotten
    if (entry)
      entry->keptOutAt.store(slot);
    if (moves_.areOthersKeptOut() && putOff(slot, first, second)) {
      if (entry)
        entry->slot.compare_exchange_strong(slot, 0);
      return Order::Return;
    }
    while (moves_.areOthersKeptOut())
      sched_yield();
    if (entry)
      entry->keptOutAt.store(0);
  }
}

void EntryLog::prepare() {
  bool isOwnThread = threadPointer() == ownThread();
  if (Owner *owner = owner_.load())
    owner->prepareEntry(isOwnThread);
  if (isOwnThread)
    return;
  hasOtherThreads_.store(true);
  Range stack = threadActivations().stack;
  for (Entry &entry : used())
    if (entry.thread == threadPointer() && stack.contains(Address::of(entry.slot.load())))
      entry.stackLimit = stack.limit;
}

// A signal handler's arguments are the signal and its siginfo_t, which lies in the frame that the kernel has pushed.
bool EntryLog::putOff(std::uint64_t slot, std::uint64_t signal, std::uint64_t info) {
  constexpr std::uint64_t mostFrameBytes = 4096;
  if (!returnsFromSignal(wordAt(slot)) || info - slot > mostFrameBytes)
    return false;
  siginfo_t what = *reinterpret_cast<const siginfo_t *>(info);
  if (static_cast<std::uint64_t>(what.si_signo) != signal) { // without SA_SIGINFO the kernel writes nothing there
    std::memset(&what, 0, sizeof what);
    what.si_signo = static_cast<int>(signal);
    what.si_code = SI_QUEUE;
  }
  bool isFault = what.si_code > 0 && (what.si_signo == SIGSEGV || what.si_signo == SIGBUS || what.si_signo == SIGFPE ||
                                      what.si_signo == SIGILL || what.si_signo == SIGTRAP);
  if (!isFault) // else it happens again
    moves_.putOff(what);
  return true;
}

// The record of this very entry, which is made if there is none. What a signal handler calls is in a signal too, on whatever
// stack the handler is. Records that this entry shows to be over are forgotten.
//
// The words of other records stand, but one may have been left by chance in a frame that has yet to fill it. So an entry below
// others has a record of its own too, except where there are many.
EntryLog::Recorded EntryLog::record(std::uint64_t slot, std::uint64_t thread) {
  auto isOnStack = [&](std::uint64_t at) {
    return thread != ownThread() || at - chain_.stack.base.value() < chain_.stack.size();
  };
  Recorded recorded = {nullptr, nullptr, 0, returnsFromSignal(wordAt(slot))};
  std::size_t depth = 0;
  for (Entry &entry : used()) {
    std::uint64_t other = entry.slot.load(std::memory_order_acquire);
    if (other <= beingWritten || entry.thread != thread)
      continue;
    bool isSameStack = isOnStack(slot) && isOnStack(other);
    // Another stack may be gone, with all its words.
    bool stands =
        isSameStack || other == slot ? entry.returnsTo == wordAt(other) : other > slot && isUnchanged(other, entry.returnsTo);
    if (stands && other == slot) {
      entry.isLong = false; // another call by the same frame
      recorded.entry = &entry;
      continue;
    }
    recorded.isInSignal = recorded.isInSignal || (stands && other > slot && returnsFromSignal(entry.returnsTo));
    if (stands && isSameStack && other > slot) {
      depth += 1;
      recorded.outer = &entry;
      recorded.outerSlot = other;
    } else if (isSameStack) {
      entry.slot.compare_exchange_strong(other, 0);
    }
  }
  if (!recorded.entry && depth < mostDepth)
    recorded.entry = add(slot, thread, recorded);
  return recorded;
}

EntryLog::Entry *EntryLog::add(std::uint64_t slot, std::uint64_t thread, const Recorded &around) {
  for (std::size_t i = 0; i < (around.outer ? mostInner : mostEntries); ++i) {
    Entry &entry = entries_[i];
    std::uint64_t vacant = 0;
    if (!entry.slot.compare_exchange_strong(vacant, beingWritten))
      continue;
    for (std::size_t used = used_.load(); used <= i && !used_.compare_exchange_weak(used, i + 1);)
      ;
    entry.returnsTo = wordAt(slot);
    entry.thread = thread;
    entry.kernelId = gettid();
    entry.isInSignal = around.isInSignal;
    entry.isLong = false;
    entry.keptOutAt = 0;
    entry.stackLimit = stackLimitOf(slot, thread, around.isInSignal);
    entry.slot.store(slot);
    return &entry;
  }
  if (around.outer)
    return nullptr;
  if (forgetEndedThreads())
    return add(slot, thread, around);
  isFull_.store(true);
  return nullptr;
}

// Of threads that have ended since a safepoint looked last.
bool EntryLog::forgetEndedThreads() {
  bool isAny = false;
  for (Entry &entry : used()) {
    std::uint64_t slot = entry.slot.load();
    bool hasEnded = slot > beingWritten && tgkill(getpid(), entry.kernelId, 0) != 0 && errno == ESRCH;
    isAny = (hasEnded && entry.slot.compare_exchange_strong(slot, 0)) || isAny;
  }
  return isAny;
}

// Of this thread's alternate stack: no code is on it, or the caller is, below that.
bool EntryLog::hasLeftAlternateStack(std::uint64_t slot) {
  stack_t now = {};
  if (sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE))
    return false;
  Range stack = Range::at(Address::of(now.ss_sp), now.ss_size);
  auto here = Address::of(__builtin_frame_address(0));
  return stack.contains(Address::of(slot)) && (!stack.contains(here) || here > Address::of(slot));
}

bool EntryLog::isActiveElsewhere(const Entry &entry, std::uint64_t slot) const {
  if (entry.thread == ownThread() && (chain_.stack.contains(Address::of(slot)) || hasLeftAlternateStack(slot)))
    return false;
  bool isOver =
      entry.thread != ownThread() && entry.stackLimit != Address() && hasPopped(entry.kernelId, slot, entry.stackLimit.value());
  return !isOver && isUnchanged(slot, entry.returnsTo);
}

// Forgets the record of an entry that is over. Its thread may have relied on it since that was found out: so it is asked once
// more, while the record can't be found, nor take its place.
bool EntryLog::forget(Entry &entry, std::uint64_t slot) {
  if (!entry.slot.compare_exchange_strong(slot, beingWritten))
    return false;
  bool isOver = !isActiveElsewhere(entry, slot);
  entry.slot.store(isOver ? 0 : slot);
  return isOver;
}

// A thread that is writing its record has soon done so, and a signal handler on another thread is soon over: it is worth to wait
// for that. Once for each: a handler may also wait for something. Meanwhile records may become others', of handlers on this very
// thread too: those have come and gone.
bool EntryLog::countsElsewhere(Entry &entry, unsigned &patience) {
  for (;;) {
    std::uint64_t slot = entry.slot.load(std::memory_order_acquire);
    if (slot == 0 || entry.keptOutAt.load() == slot)
      return false;
    bool isBeingWritten = slot == beingWritten;
    bool isActive = isBeingWritten || isActiveElsewhere(entry, slot);
    bool isShort = isBeingWritten || (entry.thread != ownThread() && entry.isInSignal && !entry.isLong);
    if (!isBeingWritten && entry.slot.load() != slot)
      continue; // what has been read is of two records
    if (!isActive) {
      if (forget(entry, slot))
        return false;
      continue;
    }
    if (!isShort)
      return true;
    if (patience == 0)
      return entry.isLong = true;
    --patience;
    usleep(patienceMicroseconds);
  }
}

bool EntryLog::hasWaiting() {
  return std::ranges::any_of(used(), [](Entry &entry) { return entry.keptOutAt.load() != 0; });
}

EntryLog::Present EntryLog::present(Address stackPointer) {
  Present present;
  present.isElsewhere = present.isConcurrent = isFull_.load();
  if (used().empty())
    return present;
  // Else a thread could be about to enter by the slot of a record that is being forgotten.
  QuietMoves::OthersKeptOut keepOut(moves_);
  unsigned patience = mostPatience;
  for (Entry &entry : used()) {
    std::uint64_t slot = entry.slot.load(std::memory_order_acquire);
    if (slot == 0)
      continue;
    bool isHere = slot != beingWritten && entry.thread == ownThread() && chain_.stack.contains(Address::of(slot));
    if (!isHere) {
      bool counts = countsElsewhere(entry, patience);
      present.isElsewhere = present.isElsewhere || counts;
      present.isConcurrent = present.isConcurrent || (counts && entry.thread != ownThread());
      continue;
    }
    if (!isActive(slot, entry.returnsTo, stackPointer)) {
      entry.slot.store(0, std::memory_order_release);
      continue;
    }
    present.outermost = std::max(present.outermost, Address::of(slot));
    present.isInSignal = present.isInSignal || returnsFromSignal(entry.returnsTo);
  }
  return present;
}

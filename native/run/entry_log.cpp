#include "run/entry_log.h"

#include "memory/foreign.h"
#include "move/unwind.h"

#include <algorithm>
#include <cpuid.h>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <ucontext.h>
#include <unistd.h>

using namespace nomad;

// rax: the log. On the stack: what rax was, where the stub goes on, where the function returns to. All registers that a
// function's caller may have put arguments into are kept. What is called first is compiled for plain SSE, which leaves the upper
// parts of vector registers alone.
asm(R"(
  .text
  .p2align 4
  .globl nomad_entered
  .hidden nomad_entered
  .type nomad_entered, @function
nomad_entered:
  .cfi_startproc
  .cfi_def_cfa_offset 24
  pushq %rdi
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %rbp
  .cfi_adjust_cfa_offset 72
  .cfi_rel_offset %rbp, 0
  movq %rsp, %rbp
  .cfi_def_cfa %rbp, 96
  movq %rdi, %rdx
  movq %rsi, %rcx
  movq %rax, %rdi
  leaq 88(%rbp), %rsi
  subq $272, %rsp
  andq $-16, %rsp
  movq %rax, 256(%rsp)
  movaps %xmm0, 0(%rsp)
  movaps %xmm1, 16(%rsp)
  movaps %xmm2, 32(%rsp)
  movaps %xmm3, 48(%rsp)
  movaps %xmm4, 64(%rsp)
  movaps %xmm5, 80(%rsp)
  movaps %xmm6, 96(%rsp)
  movaps %xmm7, 112(%rsp)
  movaps %xmm8, 128(%rsp)
  movaps %xmm9, 144(%rsp)
  movaps %xmm10, 160(%rsp)
  movaps %xmm11, 176(%rsp)
  movaps %xmm12, 192(%rsp)
  movaps %xmm13, 208(%rsp)
  movaps %xmm14, 224(%rsp)
  movaps %xmm15, 240(%rsp)
  cld
  call nomad_note_entry
  movaps 0(%rsp), %xmm0
  movaps 16(%rsp), %xmm1
  movaps 32(%rsp), %xmm2
  movaps 48(%rsp), %xmm3
  movaps 64(%rsp), %xmm4
  movaps 80(%rsp), %xmm5
  movaps 96(%rsp), %xmm6
  movaps 112(%rsp), %xmm7
  movaps 128(%rsp), %xmm8
  movaps 144(%rsp), %xmm9
  movaps 160(%rsp), %xmm10
  movaps 176(%rsp), %xmm11
  movaps 192(%rsp), %xmm12
  movaps 208(%rsp), %xmm13
  movaps 224(%rsp), %xmm14
  movaps 240(%rsp), %xmm15
  cmpl $1, %eax
  je 2f
  ja 3f
1:
  movq %rbp, %rsp
  .cfi_remember_state
  popq %rbp
  .cfi_def_cfa %rsp, 88
  .cfi_restore %rbp
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rcx
  popq %rdx
  popq %rsi
  popq %rdi
  popq %rax
  .cfi_adjust_cfa_offset -72
  ret
  .cfi_restore_state
2: # a signal handler that is put off returns to the kernel
  leaq 88(%rbp), %rsp
  movq (%rbp), %rbp
  ret
3: # all of the vector registers
  movq 256(%rsp), %rdi
  subq nomad_vector_bytes(%rip), %rsp
  andq $-64, %rsp
  xorl %eax, %eax
  movq %rax, 512(%rsp)
  movq %rax, 520(%rsp)
  movq %rax, 528(%rsp)
  movq %rax, 536(%rsp)
  movq %rax, 544(%rsp)
  movq %rax, 552(%rsp)
  movq %rax, 560(%rsp)
  movq %rax, 568(%rsp)
  movl $0xe7, %eax
  xorl %edx, %edx
  xsave64 (%rsp)
  call nomad_prepare_entry
  movl $0xe7, %eax
  xorl %edx, %edx
  xrstor64 (%rsp)
  jmp 1b
  .cfi_endproc
  .size nomad_entered, .-nomad_entered
)");

extern "C" void nomad_entered();

extern "C" {

[[gnu::visibility("hidden"), gnu::used]] EntryLog::Order nomad_note_entry(EntryLog *log, const std::uint64_t *returnSlot,
                                                                          std::uint64_t first, std::uint64_t second) {
  return log->note(Address::of(returnSlot), first, second);
}

[[gnu::visibility("hidden"), gnu::used]] void nomad_prepare_entry(EntryLog *log) { log->prepare(); }

// As much as xsave may write of what the system lets a process have.
[[gnu::visibility("hidden"), gnu::used]] std::uint64_t nomad_vector_bytes = [] {
  constexpr unsigned stateLeaf = 0xd, least = 576;
  unsigned a = 0, enabled = 0, most = 0, d = 0;
  return __get_cpuid_count(stateLeaf, 0, &a, &enabled, &most, &d) != 0 ? std::max(most, least) : least;
}();
}

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
bool isInSignalOnStack(std::uint64_t slot, std::uint64_t thread) {
  constexpr std::uint64_t usualStackBytes = 8 << 20;
  return thread - slot < usualStackBytes && returnsFromSignal(wordAt(slot));
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

// Does another thread's stack end above the slot? Only of one that waits in the kernel does the system say where its stack ends.
bool hasPopped(int kernelId, std::uint64_t slot) {
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
  return isKnown && stackPointer > slot;
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
    : chain_(chain), owner_(&owner), stale_(staleUnwindTables()), thread_(threadPointer()) {}

EntryWatch EntryLog::watch() {
  Delta offset = Address::of(&activationChain.entryFrame) - Address::of(threadPointer());
  return {static_cast<std::int32_t>(offset), Address::of(reinterpret_cast<const void *>(&nomad_entered)), Address::of(this)};
}

EntryLog::Order EntryLog::note(Address returnSlot, std::uint64_t first, std::uint64_t second) {
  std::uint64_t thread = threadPointer(), slot = returnSlot.value();
  if (thread != ownThread())
    return noteOutside(slot, thread, first, second);
  if (moves_.areUnderWay() && putOff(slot, first, second))
    return Order::Return;
  record(slot, thread);
  return *stale_ != 0 && !returnsFromSignal(wordAt(slot)) ? Order::Prepare : Order::Enter;
}

// On another thread. Its record is there before it looks whether it is kept out, and whoever keeps it out looks for records after
// that: one of the two sees the other. While it is kept out its record may be taken for one that is over, and forgotten.
EntryLog::Order EntryLog::noteOutside(std::uint64_t slot, std::uint64_t thread, std::uint64_t first, std::uint64_t second) {
  bool isNew = !hasOtherThreads_.load(std::memory_order_relaxed) || activationChain.stack.size() == 0;
  for (;;) {
    Entry *entry = record(slot, thread);
    if (!moves_.areOthersKeptOut() && (!entry || entry->slot.load() == slot))
      return isNew && !returnsFromSignal(wordAt(slot)) ? Order::Prepare : Order::Enter;
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
      entry.isOnOwnStack = true;
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

// The record of this very entry, which is made if there is none; null if it needs none, or if there is no room. It needs none
// below an entry that counts, on the same stack. Those that it shows to be over are forgotten.
EntryLog::Entry *EntryLog::record(std::uint64_t slot, std::uint64_t thread) {
  auto isOnStack = [&](std::uint64_t at) {
    return thread != ownThread() || at - chain_.stack.base.value() < chain_.stack.size();
  };
  for (Entry &entry : used()) {
    std::uint64_t other = entry.slot.load(std::memory_order_acquire);
    if (other <= 1 || entry.thread != thread)
      continue;
    bool isSameStack = isOnStack(slot) && isOnStack(other);
    bool counts = (other == slot || (isSameStack && other > slot)) && entry.returnsTo == wordAt(other);
    if (counts)
      return other == slot ? &entry : nullptr;
    if (isSameStack)
      entry.slot.store(0, std::memory_order_release);
  }
  return add(slot, thread);
}

EntryLog::Entry *EntryLog::add(std::uint64_t slot, std::uint64_t thread) {
  for (std::size_t i = 0; i < mostEntries; ++i) {
    Entry &entry = entries_[i];
    std::uint64_t vacant = 0;
    if (!entry.slot.compare_exchange_strong(vacant, 1))
      continue;
    for (std::size_t used = used_.load(); used <= i && !used_.compare_exchange_weak(used, i + 1);)
      ;
    entry.returnsTo = wordAt(slot);
    entry.thread = thread;
    entry.kernelId = gettid();
    entry.isLong = false;
    entry.keptOutAt = 0;
    entry.isOnOwnStack = activationChain.stack.contains(Address::of(slot)) || isInSignalOnStack(slot, thread);
    entry.slot.store(slot);
    return &entry;
  }
  isFull_.store(true);
  return nullptr;
}

bool EntryLog::isActiveElsewhere(const Entry &entry, std::uint64_t slot) const {
  bool isOver = entry.thread != ownThread() && entry.isOnOwnStack && hasPopped(entry.kernelId, slot);
  return !isOver && isUnchanged(slot, entry.returnsTo);
}

// A thread that is writing its record has soon done so, and a signal handler on another thread is soon over: it is worth to wait
// for that. Once for each: a handler may also wait for something.
bool EntryLog::countsElsewhere(Entry &entry, unsigned &patience) {
  for (;;) {
    std::uint64_t slot = entry.slot.load(std::memory_order_acquire);
    if (slot == 0 || entry.keptOutAt.load() == slot)
      return false;
    bool isBeingWritten = slot == 1;
    if (!isBeingWritten && !isActiveElsewhere(entry, slot)) {
      entry.slot.compare_exchange_strong(slot, 0);
      return false;
    }
    bool isShort = isBeingWritten || (entry.thread != ownThread() && !entry.isLong && returnsFromSignal(entry.returnsTo));
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
    bool isHere = slot != 1 && entry.thread == ownThread() && chain_.stack.contains(Address::of(slot));
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

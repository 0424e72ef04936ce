#include "run/entry_log.h"

#include "memory/foreign.h"

#include <cstring>

using namespace nomad;

// rax: the log. On the stack: what rax was, where the stub goes on, where the function returns to. All registers that a function's
// caller may have put arguments into are kept. What is called here is compiled for plain SSE, which leaves the upper parts of vector
// registers alone.
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
  movq %rax, %rdi
  leaq 88(%rbp), %rsi
  subq $256, %rsp
  andq $-16, %rsp
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
  movq %rbp, %rsp
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
  .cfi_endproc
  .size nomad_entered, .-nomad_entered
)");

extern "C" void nomad_entered();

extern "C" [[gnu::visibility("hidden"), gnu::used]] void
nomad_note_entry(EntryLog *log, const std::uint64_t *returnSlot) {
  log->note(Address::of(returnSlot));
}

namespace {

std::uint64_t threadPointer() { return reinterpret_cast<std::uint64_t>(__builtin_thread_pointer()); }

// Of this thread's own stack.
__attribute__((no_sanitize_address)) std::uint64_t wordAt(std::uint64_t address) {
  return *reinterpret_cast<const volatile std::uint64_t *>(address);
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

// What the kernel makes a signal handler return to: movq $15, %rax; syscall.
bool returnsFromSignal(std::uint64_t returnsTo) {
  constexpr std::uint8_t restorer[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
  std::uint8_t code[sizeof restorer] = {};
  return readForeign(Range::at(Address::of(returnsTo), sizeof code), code) == Reading::Done &&
         std::memcmp(code, restorer, sizeof code) == 0;
}

} // namespace

EntryLog::EntryLog(const ActivationChain &chain) : chain_(chain), thread_(threadPointer()) {}

EntryWatch EntryLog::watch() {
  Delta offset = Address::of(&activationChain.entryFrame) - Address::of(threadPointer());
  return {static_cast<std::int32_t>(offset), Address::of(reinterpret_cast<const void *>(&nomad_entered)), Address::of(this)};
}

void EntryLog::note(Address returnSlot) {
  auto thread = reinterpret_cast<std::uint64_t>(__builtin_thread_pointer());
  if (thread != thread_) {
    if (!hasOtherThreads_.load(std::memory_order_relaxed))
      hasOtherThreads_.store(true);
    while (closed_.load() != 0)
      __builtin_ia32_pause();
  }
  std::uint64_t slot = returnSlot.value();
  bool isOnStack = thread != thread_ || (slot - chain_.stack.base.value()) < chain_.stack.size();
  if (!isKnown(slot, thread, isOnStack))
    add(slot, thread);
}

// Is it below an entry that counts, on the same stack? Those that it shows to be over are forgotten.
bool EntryLog::isKnown(std::uint64_t slot, std::uint64_t thread, bool isOnStack) {
  for (Entry &entry : used()) {
    std::uint64_t other = entry.slot.load(std::memory_order_acquire);
    if (other <= 1 || entry.thread != thread)
      continue;
    bool isOtherOnStack = thread != thread_ || (other - chain_.stack.base.value()) < chain_.stack.size();
    if (!isOnStack || !isOtherOnStack) {
      if (other == slot && entry.returnsTo == wordAt(slot))
        return true;
      continue;
    }
    if (other >= slot && entry.returnsTo == wordAt(other))
      return true;
    entry.slot.store(0, std::memory_order_release);
  }
  return false;
}

void EntryLog::add(std::uint64_t slot, std::uint64_t thread) {
  for (std::size_t i = 0; i < mostEntries; ++i) {
    Entry &entry = entries_[i];
    std::uint64_t vacant = 0;
    if (!entry.slot.compare_exchange_strong(vacant, 1))
      continue;
    for (std::size_t used = used_.load(); used <= i && !used_.compare_exchange_weak(used, i + 1);)
      ;
    entry.returnsTo = wordAt(slot);
    entry.thread = thread;
    entry.slot.store(slot, std::memory_order_release);
    return;
  }
  isFull_.store(true);
}

EntryLog::Present EntryLog::present(Address stackPointer) {
  Present present;
  present.isElsewhere = isFull_.load();
  for (Entry &entry : used()) {
    std::uint64_t slot = entry.slot.load(std::memory_order_acquire);
    if (slot <= 1) {
      present.isElsewhere = present.isElsewhere || slot == 1;
      continue;
    }
    bool isHere = entry.thread == thread_ && chain_.stack.contains(Address::of(slot));
    bool counts = isHere ? Address::of(slot) > stackPointer && wordAt(slot) == entry.returnsTo : isUnchanged(slot, entry.returnsTo);
    if (!counts) {
      entry.slot.store(0, std::memory_order_release);
      continue;
    }
    present.isHere = present.isHere || isHere;
    present.isElsewhere = present.isElsewhere || !isHere;
    present.isInSignal = present.isInSignal || (isHere && returnsFromSignal(entry.returnsTo));
  }
  return present;
}

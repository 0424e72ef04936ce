#include "enter/entry_gate.h"

#include "enter/entry_log.h"

#include <algorithm>
#include <cpuid.h>

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

extern "C" void nomad_entered();

Address nomad::entryGate() { return Address::of(reinterpret_cast<const void *>(&nomad_entered)); }

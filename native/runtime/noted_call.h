// Functions of C's library that code calls through here, because it has to be noted first: a stub keeps all parameters,
// those of variadic calls too, says where its caller goes on, and lets the process's function go on as if code had called it.
#pragma once

// A stack that is too full for what runs here overflows at the stub's first instruction, where nothing has happened.

/// Defines the function `nomad_NAME`, which calls `nomad_note_NAME`, with the first two parameters and a FrameContext of the
/// caller, and goes on at what the variable `nomad_process_NAME` says. The caller can be left from `nomad_note_NAME`.
#define NOMAD_NOTED_CALL(name)                                                                                                   \
  asm(".text\n"                                                                                                                  \
      ".p2align 4\n"                                                                                                             \
      ".hidden nomad_" #name "\n"                                                                                                \
      ".globl nomad_" #name "\n"                                                                                                 \
      ".type nomad_" #name ", @function\n"                                                                                       \
      "nomad_" #name ":\n"                                                                                                       \
      "  .cfi_startproc\n"                                                                                                       \
      "  testl %eax, -3072(%rsp)\n"                                                                                              \
      "  .irp register, r15, r14, r13, r12, rbx, rbp\n"                                                                          \
      "  pushq %\\register\n"                                                                                                    \
      "  .cfi_adjust_cfa_offset 8\n"                                                                                             \
      "  .endr\n"                                                                                                                \
      "  leaq 56(%rsp), %r10\n"                                                                                                  \
      "  movq 48(%rsp), %r11\n"                                                                                                  \
      "  .irp register, r10, r11, rax, rdi, rsi, rdx, rcx, r8, r9\n"                                                             \
      "  pushq %\\register\n"                                                                                                    \
      "  .cfi_adjust_cfa_offset 8\n"                                                                                             \
      "  .endr\n"                                                                                                                \
      "  leaq 56(%rsp), %rdx\n"                                                                                                  \
      "  call nomad_note_" #name "\n"                                                                                            \
      "  .irp register, r9, r8, rcx, rdx, rsi, rdi, rax\n"                                                                       \
      "  popq %\\register\n"                                                                                                     \
      "  .cfi_adjust_cfa_offset -8\n"                                                                                            \
      "  .endr\n"                                                                                                                \
      "  addq $64, %rsp\n"                                                                                                       \
      "  .cfi_adjust_cfa_offset -64\n"                                                                                           \
      "  jmpq *nomad_process_" #name "(%rip)\n"                                                                                  \
      "  .cfi_endproc\n"                                                                                                         \
      ".size nomad_" #name ", .-nomad_" #name "\n");                                                                             \
  extern "C" {                                                                                                                   \
  void nomad_##name();                                                                                                           \
  __attribute__((visibility("hidden"))) void *nomad_process_##name = dlsym(RTLD_DEFAULT, #name);                                 \
  }

#include "stack/unwind_from.h"

#include <cstdlib>
#include <utility>

using namespace nomad;

// libgcc walks from where it is called. This function's own unwind record says that its caller is the frame at a FrameContext,
// whose address is in rbx: from the call on, the frame address is what the context has for the stack pointer, and each register
// is "saved" in the context.
//
//   DW_CFA_def_cfa_expression (0x0f): *(rbx + 8)             0x73: DW_OP_breg3, the value of rbx plus ...; 0x06: DW_OP_deref
//   DW_CFA_expression (0x10) register: at rbx + offset
asm(R"(
  .text
  .p2align 4
  .globl nomad_unwind_from
  .hidden nomad_unwind_from
  .type nomad_unwind_from, @function
nomad_unwind_from:
  .cfi_startproc
  pushq %rbx
  .cfi_def_cfa_offset 16
  .cfi_offset %rbx, -16
  movq %rdi, %rbx
  movq %rsi, %rdi
  movq %rdx, %rsi
  .cfi_remember_state
  .cfi_escape 0x0f, 3, 0x73, 8, 0x06
  .cfi_escape 0x10, 16, 2, 0x73, 0
  .cfi_escape 0x10, 6, 2, 0x73, 16
  .cfi_escape 0x10, 3, 2, 0x73, 24
  .cfi_escape 0x10, 12, 2, 0x73, 32
  .cfi_escape 0x10, 13, 2, 0x73, 40
  .cfi_escape 0x10, 14, 2, 0x73, 48
  .cfi_escape 0x10, 15, 2, 0x73, 56
  call _Unwind_Backtrace@PLT
  .cfi_restore_state
  popq %rbx
  .cfi_def_cfa_offset 8
  ret
  .cfi_endproc
  .size nomad_unwind_from, .-nomad_unwind_from
)");

// A FrameContext is in rdi; nothing is kept of where this is called.
asm(R"(
  .text
  .p2align 4
  .globl nomad_call_at
  .hidden nomad_call_at
  .type nomad_call_at, @function
nomad_call_at:
  movq 8(%rdi), %rsp
  subq $8, %rsp
  movq 16(%rdi), %rbp
  movq 24(%rdi), %rbx
  movq 32(%rdi), %r12
  movq 40(%rdi), %r13
  movq 48(%rdi), %r14
  movq 56(%rdi), %r15
  movq %rdx, %rdi
  jmpq *%rsi
  .size nomad_call_at, .-nomad_call_at
)");

extern "C" [[noreturn]] void nomad_call_at(const FrameContext *context, void (*function)(void *), void *argument);

void nomad::callAt(const FrameContext &context, void (*function)(void *), void *argument) {
  nomad_call_at(&context, function, argument);
}

void nomad::unwindByForce(_Unwind_Exception *exception) {
  auto goOn = [](int, _Unwind_Action actions, _Unwind_Exception_Class, _Unwind_Exception *, _Unwind_Context *, void *) {
    if ((actions & _UA_END_OF_STACK) != 0)
      std::abort();
    return _URC_NO_REASON;
  };
  _Unwind_ForcedUnwind(exception, goOn, nullptr);
  std::abort();
}

extern "C" void nomad_unwind_from(const FrameContext *context, _Unwind_Trace_Fn visit, void *argument);

namespace {

using Visit = llvm::function_ref<bool(const WaitingFrame &)>;

struct Walk {
  Visit visit;
  bool isThere; // past the frame of nomad_unwind_from
};

_Unwind_Reason_Code visitFrame(_Unwind_Context *context, void *argument) {
  auto *walk = static_cast<Walk *>(argument);
  // The first frame is the one that called _Unwind_Backtrace.
  if (!std::exchange(walk->isThere, true))
    return _URC_NO_REASON;
  return walk->visit(frameOf(context)) ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

} // namespace

WaitingFrame nomad::frameOf(_Unwind_Context *context) {
  constexpr int rbp = 6;
  int isInterrupted = 0;
  auto instruction = static_cast<std::uint64_t>(_Unwind_GetIPInfo(context, &isInterrupted));
  return {Address::of(instruction), Address::of(static_cast<std::uint64_t>(_Unwind_GetCFA(context))).shifted(-8),
          static_cast<std::uint64_t>(_Unwind_GetGR(context, rbp)), isInterrupted != 0};
}

// By DWARF's numbers of registers.
FrameContext nomad::contextOf(_Unwind_Context *context) {
  auto word = [=](int which) { return static_cast<std::uint64_t>(_Unwind_GetGR(context, which)); };
  auto instruction = static_cast<std::uint64_t>(_Unwind_GetIP(context));
  auto stack = static_cast<std::uint64_t>(_Unwind_GetCFA(context));
  return {Address::of(instruction), Address::of(stack), word(6), word(3), word(12), word(13), word(14), word(15)};
}

void nomad::unwindFrom(const FrameContext &context, Visit visit) {
  Walk walk{visit, false};
  nomad_unwind_from(&context, visitFrame, &walk);
}

// The host thunk has pushed rbp, and then the registers.
__attribute__((no_sanitize_address)) FrameContext nomad::contextAtExit(const Activation::Registers &saved) {
  Address exit = Address::of(&saved) + Activation::frameOffset;
  auto word = [=](Size offset) { return *(exit + offset).pointer<const std::uint64_t>(); };
  return {Address::of(word(8)), exit + 16, word(0), saved[0], saved[1], saved[2], saved[3], saved[4]};
}

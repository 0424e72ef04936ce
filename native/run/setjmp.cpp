#include "run/setjmp.h"

#include "run/activation.h"
#include "run/clear_stack.h"
#include "run/noted_call.h"
#include "run/other_stacks.h"

#include "llvm/ADT/STLExtras.h"

#include <array>
#include <bit>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <pthread.h>
#include <vector>

using namespace nomad;
using namespace llvm;

namespace {

std::vector<Landings *> &threadLandings() {
  static thread_local std::vector<Landings *> landings;
  return landings;
}

} // namespace

Landings::Landings() { threadLandings().push_back(this); }
Landings::~Landings() { llvm::erase(threadLandings(), this); }

extern "C" {

// What setjmp saves beside the stack and frame pointers: rbx, r12, r13, r14, r15.
__attribute__((visibility("hidden"))) std::uint64_t nomad_landing(std::uint64_t returnsTo, const std::uint64_t *registers) {
  std::optional<Address> landing;
  for (Landings *each : threadLandings())
    if (!landing)
      landing = each->landing(Address::of(returnsTo), ArrayRef(registers, 5));
  clearStackBelow(shortReach);
  return landing ? landing->value() : returnsTo;
}

// Where the process's functions are.
__attribute__((visibility("hidden"))) void *nomad_glibc_setjmp = dlsym(RTLD_DEFAULT, "setjmp");
__attribute__((visibility("hidden"))) void *nomad_glibc__setjmp = dlsym(RTLD_DEFAULT, "_setjmp");
__attribute__((visibility("hidden"))) void *nomad_glibc___sigsetjmp = dlsym(RTLD_DEFAULT, "__sigsetjmp");

void nomad_setjmp();
void nomad__setjmp();
void nomad___sigsetjmp();
}

// The parameters and the registers that code may have kept something in are saved (and the stack is aligned: 8 words and the
// return address), the return address is exchanged, and glibc's setjmp goes on as if code had called it.
#define NOMAD_SETJMP(name)                                                                                                       \
  asm(".text\n"                                                                                                                  \
      ".hidden nomad_" #name "\n"                                                                                                \
      ".globl nomad_" #name "\n"                                                                                                 \
      ".type nomad_" #name ", @function\n"                                                                                       \
      "nomad_" #name ":\n"                                                                                                       \
      "  pushq %rdi\n  pushq %rsi\n  pushq %r15\n  pushq %r14\n  pushq %r13\n  pushq %r12\n  pushq %rbx\n"                       \
      "  movq 56(%rsp), %rdi\n"                                                                                                  \
      "  movq %rsp, %rsi\n"                                                                                                      \
      "  call nomad_landing\n"                                                                                                   \
      "  movq %rax, 56(%rsp)\n"                                                                                                  \
      "  addq $40, %rsp\n"                                                                                                       \
      "  popq %rsi\n  popq %rdi\n"                                                                                               \
      "  jmpq *nomad_glibc_" #name "(%rip)\n"                                                                                    \
      ".size nomad_" #name ", .-nomad_" #name "\n")

// ---- longjmp ----

namespace {

// glibc mangles it: xor with a word of the thread's, then rotated by 17 bits to the left.
Address stackPointerIn(const jmp_buf buffer) {
  constexpr int place = 6, rotation = 17;
  constexpr std::uintptr_t guard = 0x30;
  std::uint64_t key;
  asm("movq %%fs:(%1), %0" : "=r"(key) : "r"(guard));
  std::uint64_t mangled;
  std::memcpy(&mangled, reinterpret_cast<const std::byte *>(buffer) + place * sizeof mangled, sizeof mangled);
  return Address::of(std::rotr(mangled, rotation) ^ key);
}

// JS frames lie between a waiting activation and what is called above it, and below the frame of every call thunk.
bool crossesJs(Address to) {
  const ActivationChain &chain = activationChain;
  if (!chain.stack.contains(to))
    return false;
  bool crossesThunk = chain.entryFrame != Address() && chain.entryFrame < to;
  return crossesThunk || (chain.innermost && chain.innermost->frame() < to);
}

// `returnsTo`: where the code goes on that called.
[[noreturn]] void refuse(Address returnsTo, const char *what) {
  for (Landings *each : threadLandings())
    if (each->refuse(returnsTo, what))
      break;
  std::fprintf(stderr, "nomad-jit: in code that can't be left: %s\n", what);
  std::abort();
}

} // namespace

extern "C" __attribute__((visibility("hidden"))) void nomad_note_longjmp(const jmp_buf buffer, const void *,
                                                                         const FrameContext &from) {
  if (crossesJs(stackPointerIn(buffer)))
    refuse(from.instruction, "longjmp over the frames of JS functions: they can't be left so");
  noteSwitch(from, stackPointerIn(buffer), false);
}

#define NOMAD_LONGJMP(name)                                                                                                      \
  asm(".set nomad_note_" #name ", nomad_note_longjmp");                                                                          \
  NOMAD_NOTED_CALL(name)

NOMAD_NOTED_CALL(longjmp)
NOMAD_LONGJMP(_longjmp)
NOMAD_LONGJMP(siglongjmp)
NOMAD_LONGJMP(__longjmp_chk)

std::optional<Address> nomad::findLongjmp(StringRef name) {
  if (name == "longjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad_longjmp));
  if (name == "_longjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad__longjmp));
  if (name == "siglongjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad_siglongjmp));
  if (name == "__longjmp_chk")
    return Address::of(reinterpret_cast<const void *>(&nomad___longjmp_chk));
  return std::nullopt;
}

namespace {

template <typename Result>
[[noreturn]] void exitThread(Result result) {
  if (activationChain.innermost || activationChain.entryFrame != Address())
    refuse(Address::of(__builtin_return_address(0)), "the end of a thread that runs JS: it can't be left so");
  pthread_exit(reinterpret_cast<void *>(static_cast<std::intptr_t>(result)));
}

} // namespace

std::optional<Address> nomad::findThreadExit(StringRef name) {
  if (name == "pthread_exit")
    return Address::of(reinterpret_cast<const void *>(&exitThread<std::intptr_t>));
  if (name == "thrd_exit")
    return Address::of(reinterpret_cast<const void *>(&exitThread<int>));
  return std::nullopt;
}

NOMAD_SETJMP(setjmp);
NOMAD_SETJMP(_setjmp);
NOMAD_SETJMP(__sigsetjmp);

std::optional<Address> nomad::findSetjmp(StringRef name) {
  if (name == "setjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad_setjmp));
  if (name == "_setjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad__setjmp));
  if (name == "__sigsetjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad___sigsetjmp));
  return std::nullopt;
}

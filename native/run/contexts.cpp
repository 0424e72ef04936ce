#include "run/contexts.h"

#include "base/signal_safe_mutex.h"
#include "memory/foreign.h"
#include "run/other_stacks.h"

#include "llvm/ADT/DenseMap.h"

#include <dlfcn.h>
#include <mutex>
#include <ucontext.h>
#include <vector>

using namespace nomad;
using namespace llvm;

namespace {

struct Known {
  SignalSafeMutex mutex;
  DenseMap<std::uint64_t, std::uint64_t> contexts; // what each goes on at
};

Known &known() {
  static auto *const all = new Known; // threads may still switch at the process's end
  return *all;
}

Address registerOf(const ucontext_t *context, int which) { return Address::of(&context->uc_mcontext.gregs[which]); }

void noteSwitchTo(const ucontext_t *context, Address from) {
  noteSwitch(from, Address::of(static_cast<std::uint64_t>(context->uc_mcontext.gregs[REG_RSP])));
}

// No function of assembly: what it returns by is not copied.
int ourSetcontext(const ucontext_t *context) {
  noteSwitchTo(context, Address::of(__builtin_frame_address(0)) + 16);
  return setcontext(context);
}

} // namespace

extern "C" {

// Each gets the first two parameters of the call, what it returns to, and the stack pointer afterwards.
__attribute__((visibility("hidden"))) void nomad_note_makecontext(const ucontext_t *context) {
  noteStack(Range::at(Address::of(context->uc_stack.ss_sp), context->uc_stack.ss_size));
}

__attribute__((visibility("hidden"))) void nomad_note_getcontext(const ucontext_t *context, const void *,
                                                                 std::uint64_t returnsTo) {
  std::lock_guard lock(known().mutex);
  known().contexts[Address::of(context).value()] = returnsTo;
}

__attribute__((visibility("hidden"))) void nomad_note_swapcontext(const ucontext_t *context, const ucontext_t *to,
                                                                  std::uint64_t returnsTo, std::uint64_t stackPointer) {
  nomad_note_getcontext(context, to, returnsTo);
  noteSwitchTo(to, Address::of(stackPointer));
}

__attribute__((visibility("hidden"))) void *nomad_glibc_makecontext = dlsym(RTLD_DEFAULT, "makecontext");
__attribute__((visibility("hidden"))) void *nomad_glibc_getcontext = dlsym(RTLD_DEFAULT, "getcontext");
__attribute__((visibility("hidden"))) void *nomad_glibc_swapcontext = dlsym(RTLD_DEFAULT, "swapcontext");

void nomad_makecontext();
void nomad_getcontext();
void nomad_swapcontext();
}

// All parameters are kept, those of variadic calls too, and the process's function goes on as if code had called it.
#define NOMAD_NOTE_FIRST(name)                                                                                                   \
  asm(".text\n"                                                                                                                  \
      ".hidden nomad_" #name "\n"                                                                                                \
      ".globl nomad_" #name "\n"                                                                                                 \
      ".type nomad_" #name ", @function\n"                                                                                       \
      "nomad_" #name ":\n"                                                                                                       \
      "  pushq %rax\n  pushq %rdi\n  pushq %rsi\n  pushq %rdx\n  pushq %rcx\n  pushq %r8\n  pushq %r9\n"                         \
      "  movq 56(%rsp), %rdx\n  leaq 64(%rsp), %rcx\n  call nomad_note_" #name "\n"                                              \
      "  popq %r9\n  popq %r8\n  popq %rcx\n  popq %rdx\n  popq %rsi\n  popq %rdi\n  popq %rax\n"                                \
      "  jmpq *nomad_glibc_" #name "(%rip)\n"                                                                                    \
      ".size nomad_" #name ", .-nomad_" #name "\n")

NOMAD_NOTE_FIRST(makecontext);
NOMAD_NOTE_FIRST(getcontext);
NOMAD_NOTE_FIRST(swapcontext);

std::optional<Address> nomad::findContextFunction(StringRef name) {
  if (name == "makecontext")
    return Address::of(reinterpret_cast<const void *>(&nomad_makecontext));
  if (name == "getcontext")
    return Address::of(reinterpret_cast<const void *>(&nomad_getcontext));
  if (name == "swapcontext")
    return Address::of(reinterpret_cast<const void *>(&nomad_swapcontext));
  if (name == "setcontext")
    return Address::of(reinterpret_cast<const void *>(&ourSetcontext));
  return std::nullopt;
}

void nomad::everySavedContext(function_ref<void(Range)> visit) {
  Known &all = known();
  std::lock_guard lock(all.mutex);
  SmallVector<std::uint64_t> gone;
  for (auto [each, goesOnAt] : all.contexts) {
    const auto *context = Address::of(each).pointer<const ucontext_t>();
    std::uint64_t instruction = 0;
    if (readForeign(Range::at(registerOf(context, REG_RIP), sizeof instruction), &instruction) != Reading::Done ||
        instruction != goesOnAt) {
      gone.push_back(each);
      continue;
    }
    // r12 to r15; rbp, rbx. The others have nothing that is still needed.
    visit({registerOf(context, REG_R12), registerOf(context, REG_R15) + 8});
    visit({registerOf(context, REG_RBP), registerOf(context, REG_RBX) + 8});
  }
  for (std::uint64_t each : gone)
    all.contexts.erase(each);
}

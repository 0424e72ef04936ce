#include "run/contexts.h"

#include "base/signal_safe.h"
#include "memory/foreign.h"
#include "run/other_stacks.h"

#include <cstddef>
#include <dlfcn.h>
#include <map>
#include <ucontext.h>

using namespace nomad;
using namespace llvm;

namespace {

struct Known {
  SignalSafeMutex mutex;
  SignalSafeMemory memory;
  std::pmr::map<std::uint64_t, std::uint64_t> contexts{memory.pool()}; // what each goes on at
};

Known &known() {
  static auto *const all = new Known; // threads may still switch at the process's end
  return *all;
}

Address registerOf(const ucontext_t *context, int which) { return Address::of(&context->uc_mcontext.gregs[which]); }

// A context that can't be read leads nowhere: the process's function will say so.
void noteSwitchTo(const ucontext_t *context, Address from, bool isSaved) {
  std::uint64_t to = 0;
  if (readForeign(Range::at(registerOf(context, REG_RSP), sizeof to), &to) == Reading::Done)
    noteSwitch(from, Address::of(to), isSaved);
}

// No function of assembly: what it returns by is not copied.
int ourSetcontext(const ucontext_t *context) {
  noteSwitchTo(context, Address::of(__builtin_frame_address(0)) + 16, false);
  return setcontext(context);
}

} // namespace

extern "C" {

// Each gets the first two parameters of the call, what it returns to, and the stack pointer afterwards.
__attribute__((visibility("hidden"))) void nomad_note_makecontext(const ucontext_t *context, const void *function, std::uint64_t,
                                                                  std::uint64_t stackPointer) {
  stack_t stack;
  if (readForeign(Range::at(Address::of(context) + offsetof(ucontext_t, uc_stack), sizeof stack), &stack) == Reading::Done)
    noteStack(Range::at(Address::of(stack.ss_sp), stack.ss_size), context, Address::of(function), Address::of(stackPointer));
}

__attribute__((visibility("hidden"))) void nomad_note_getcontext(const ucontext_t *context, const void *,
                                                                 std::uint64_t returnsTo) {
  std::lock_guard lock(known().mutex);
  known().contexts[Address::of(context).value()] = returnsTo;
}

__attribute__((visibility("hidden"))) void nomad_note_swapcontext(const ucontext_t *context, const ucontext_t *to,
                                                                  std::uint64_t returnsTo, std::uint64_t stackPointer) {
  nomad_note_getcontext(context, to, returnsTo);
  noteSwitchTo(to, Address::of(stackPointer), true);
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
  known();
  prepareOtherStacks();
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

void nomad::everySavedContext(function_ref<void(const SavedContext &)> visit) {
  Known &all = known();
  std::lock_guard lock(all.mutex);
  std::erase_if(all.contexts, [&](const auto &each) {
    const auto *context = Address::of(each.first).template pointer<const ucontext_t>();
    gregset_t registers;
    if (readForeign(Range::at(registerOf(context, 0), sizeof registers), &registers) != Reading::Done ||
        static_cast<std::uint64_t>(registers[REG_RIP]) != each.second)
      return true;
    auto range = [&](int first, int last) { return Range{registerOf(context, first), registerOf(context, last) + 8}; };
    static_assert(REG_R15 - REG_R12 == 3 && REG_RBX - REG_RBP == 1);
    visit({Address::of(static_cast<std::uint64_t>(registers[REG_RSP])),
           {range(REG_R12, REG_R15), range(REG_RBP, REG_RBX), range(REG_RIP, REG_RIP)}});
    return false;
  });
}

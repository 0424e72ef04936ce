#include "run/contexts.h"

#include "memory/foreign.h"

#include "llvm/ADT/DenseSet.h"

#include <dlfcn.h>
#include <mutex>
#include <ucontext.h>
#include <vector>

using namespace nomad;
using namespace llvm;

namespace {

struct Known {
  std::mutex mutex;
  std::vector<Range> stacks;        // that makecontext was given; later ones first
  DenseSet<std::uint64_t> contexts; // that swapcontext has written
};

Known &known() {
  static auto *const all = new Known; // threads may still switch at the process's end
  return *all;
}

std::optional<Range> stackAt(const Known &all, Address stackPointer) {
  for (Range stack : all.stacks)
    if (stack.contains(stackPointer))
      return Range{stackPointer, stack.limit};
  return std::nullopt;
}

} // namespace

extern "C" {

__attribute__((visibility("hidden"))) void nomad_note_stack(const ucontext_t *context) {
  Range stack = Range::at(Address::of(context->uc_stack.ss_sp), context->uc_stack.ss_size);
  std::lock_guard lock(known().mutex);
  std::erase_if(known().stacks, [=](Range other) { return other.overlaps(stack); });
  known().stacks.insert(known().stacks.begin(), stack);
}

__attribute__((visibility("hidden"))) void nomad_note_context(const ucontext_t *context) {
  std::lock_guard lock(known().mutex);
  known().contexts.insert(Address::of(context).value());
}

__attribute__((visibility("hidden"))) void *nomad_glibc_makecontext = dlsym(RTLD_DEFAULT, "makecontext");
__attribute__((visibility("hidden"))) void *nomad_glibc_swapcontext = dlsym(RTLD_DEFAULT, "swapcontext");

void nomad_makecontext();
void nomad_swapcontext();
}

// All parameters are kept, those of variadic calls too, and the process's function goes on as if code had called it.
#define NOMAD_NOTE_FIRST(name, note)                                                                                             \
  asm(".text\n"                                                                                                                  \
      ".hidden nomad_" #name "\n"                                                                                                \
      ".globl nomad_" #name "\n"                                                                                                 \
      ".type nomad_" #name ", @function\n"                                                                                       \
      "nomad_" #name ":\n"                                                                                                       \
      "  pushq %rax\n  pushq %rdi\n  pushq %rsi\n  pushq %rdx\n  pushq %rcx\n  pushq %r8\n  pushq %r9\n"                         \
      "  call " #note "\n"                                                                                                       \
      "  popq %r9\n  popq %r8\n  popq %rcx\n  popq %rdx\n  popq %rsi\n  popq %rdi\n  popq %rax\n"                                \
      "  jmpq *nomad_glibc_" #name "(%rip)\n"                                                                                    \
      ".size nomad_" #name ", .-nomad_" #name "\n")

NOMAD_NOTE_FIRST(makecontext, nomad_note_stack);
NOMAD_NOTE_FIRST(swapcontext, nomad_note_context);

std::optional<Address> nomad::findContextFunction(StringRef name) {
  if (name == "makecontext")
    return Address::of(reinterpret_cast<const void *>(&nomad_makecontext));
  if (name == "swapcontext")
    return Address::of(reinterpret_cast<const void *>(&nomad_swapcontext));
  return std::nullopt;
}

void nomad::everySuspendedContext(function_ref<void(const SuspendedContext &)> visit) {
  Known &all = known();
  std::lock_guard lock(all.mutex);
  SmallVector<std::uint64_t> gone;
  for (std::uint64_t each : all.contexts) {
    ucontext_t context;
    std::uint64_t below = 0;
    if (readForeign(Range::at(Address::of(each), sizeof context.uc_mcontext.gregs + offsetof(ucontext_t, uc_mcontext)),
                    &context) == Reading::Gone) {
      gone.push_back(each);
      continue;
    }
    auto stackPointer = Address::of(static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RSP])).shifted(-8);
    auto returnsTo = static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
    if (readForeign(Range::at(stackPointer, sizeof below), &below) != Reading::Done || below != returnsTo)
      continue;
    Address registers = Address::of(each) + offsetof(ucontext_t, uc_mcontext);
    visit({Range::at(registers, sizeof context.uc_mcontext.gregs), stackPointer, stackAt(all, stackPointer)});
  }
  for (std::uint64_t each : gone)
    all.contexts.erase(each);
}

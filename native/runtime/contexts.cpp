#include "runtime/contexts.h"

#include "base/signal_safe.h"
#include "fault/trap.h"
#include "memory/foreign.h"
#include "runtime/js_frames.h"
#include "runtime/noted_call.h"
#include "stack/other_stacks.h"

#include <atomic>
#include <cstddef>
#include <dlfcn.h>
#include <map>
#include <ucontext.h>

using namespace nomad;
using namespace llvm;

namespace {

// Has code ever saved one? Asked without the mutex, which takes two calls of the system: each move asks.
std::atomic<bool> isUsed = false;

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
void noteSwitchTo(const ucontext_t *context, const FrameContext &from, const char *name, Leaving leaving) {
  std::uint64_t to = 0;
  if (readForeign(Range::at(registerOf(context, REG_RSP), sizeof to), &to) != Reading::Done)
    return;
  refuseOverJs(Address::of(to), from, name);
  noteSwitch(from, Address::of(to), leaving);
}

void noteSaved(const ucontext_t *context, Address instruction) {
  isUsed.store(true);
  std::lock_guard lock(known().mutex);
  known().contexts[Address::of(context).value()] = instruction.value();
}

} // namespace

extern "C" {

__attribute__((visibility("hidden"))) void nomad_note_makecontext(const ucontext_t *context, const void *function,
                                                                  const FrameContext &from) {
  leaveIfNowhere(context, "makecontext");
  leaveIfNowhere(function, "makecontext");
  stack_t stack;
  if (readForeign(Range::at(Address::of(context) + offsetof(ucontext_t, uc_stack), sizeof stack), &stack) == Reading::Done)
    noteStack(Range::at(Address::of(stack.ss_sp), stack.ss_size), context, Address::of(function), from.stack);
}

__attribute__((visibility("hidden"))) void nomad_note_getcontext(const ucontext_t *context, const void *,
                                                                 const FrameContext &from) {
  noteSaved(context, from.instruction);
}

__attribute__((visibility("hidden"))) void nomad_note_swapcontext(const ucontext_t *context, const ucontext_t *to,
                                                                  const FrameContext &from) {
  leaveIfWanted();
  noteSaved(context, from.instruction);
  noteSwitchTo(to, from, "swapcontext", Leaving::Saved);
}

__attribute__((visibility("hidden"))) void nomad_note_setcontext(const ucontext_t *to, const void *, const FrameContext &from) {
  leaveIfWanted();
  noteSwitchTo(to, from, "setcontext", Leaving::Dropped);
}

// A coroutine has ended, and goes on with its uc_link. Nothing is returned to here.
__attribute__((visibility("hidden"))) void nomad_note_end(const ucontext_t *link, std::uint64_t stackPointer) {
  FrameContext end{};
  end.stack = Address::of(stackPointer);
  leaveIfWanted();
  if (link)
    noteSwitchTo(link, end, "the end of a coroutine", Leaving::Over);
}
}

NOMAD_NOTED_CALL(makecontext)
NOMAD_NOTED_CALL(getcontext)
NOMAD_NOTED_CALL(swapcontext)
NOMAD_NOTED_CALL(setcontext)

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
    return Address::of(reinterpret_cast<const void *>(&nomad_setcontext));
  return std::nullopt;
}

void nomad::everySavedContext(function_ref<void(const SavedContext &)> visit) {
  if (!isUsed.load())
    return;
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

#include "fault/trap.h"

#include "base/signals.h"
#include "fault/interrupt.h"
#include "fault/trap_report.h"
#include "link/call_site.h"
#include "stack/code_frames.h"
#include "stack/other_stacks.h"

#include <memory>

using namespace nomad;

namespace {

constexpr Size nearStack = 64 * 1024;

// The registers of what a signal has interrupted. What changes here is where an unwinder begins, and where the thread goes on if
// the handler returns.
class Interrupted {
public:
  explicit Interrupted(ucontext_t &context) : registers_(context.uc_mcontext.gregs), pc_(pc()), stack_(stack()) {}

  Address pc() const { return Address::of(static_cast<std::uint64_t>(registers_[REG_RIP])); }
  Address stack() const { return Address::of(static_cast<std::uint64_t>(registers_[REG_RSP])); }
  /// To the call that led here.
  void returnTo(Address call) {
    registers_[REG_RIP] = static_cast<greg_t>(call.value());
    registers_[REG_RSP] += 8;
  }
  void restore() {
    registers_[REG_RIP] = static_cast<greg_t>(pc_.value());
    registers_[REG_RSP] = static_cast<greg_t>(stack_.value());
  }

private:
  greg_t *registers_;
  Address pc_, stack_;
};

CodeObject *ownerOf(const CodeThread &thread, Address code) {
  const CodeRange *range = thread.rangeAt(code);
  return range ? range->owners().find(code) : nullptr;
}

// By code with a personality of its own that has caught it.
void destroy(_Unwind_Reason_Code, _Unwind_Exception *exception) {
  auto *trap = reinterpret_cast<TrapException *>(exception); // its first member
  if (CodeThread *thread = codeThread())
    for (TrapException **link = &thread->raised; *link; link = &(*link)->older)
      if (*link == trap) {
        *link = trap->older;
        break;
      }
  delete trap;
}

// Returns only if libgcc does not find the way that has been found before.
void raise(CodeThread &thread, const CodeFrames &frames, std::unique_ptr<TrapException> trap) {
  trap->header.exception_class = trapExceptionClass;
  trap->header.exception_cleanup = destroy;
  trap->entryFrame = thread.activations.entryFrame;
  trap->older = thread.raised;
  thread.raised = trap.get();
  frames.raise(&trap.release()->header);
  trap.reset(thread.raised);
  thread.raised = trap->older;
}

void addFrames(CodeThread &thread, const CodeFrames &frames, TrapException &trap) {
  for (Address at : frames.innermost())
    trap.details.frames.push_back(frameAt(thread, at));
  trap.details.frameCount = frames.count();
}

// In a handler: from here on the signal is what it would be without it.
void raiseFrom(CodeThread &thread, const CodeFrames &frames, std::unique_ptr<TrapException> trap, ucontext_t &context) {
  addFrames(thread, frames, *trap);
  pthread_sigmask(SIG_SETMASK, &context.uc_sigmask, nullptr);
  raise(thread, frames, std::move(trap));
}

// A coroutine's, or the thread's own. One that is full may be left already.
Range stackAt(const CodeThread &thread, Address stackPointer) {
  Size beyond = thread.stack.contains(stackPointer) ? 0 : nearStack;
  return otherStackAt(stackPointer, beyond).value_or(thread.stack);
}

// Does the word on top of the stack lead back into code, its thunk, or the begin of its coroutine?
std::optional<Address> returnOnTop(const CodeThread &thread, const Interrupted &at) {
  Address slot = at.stack();
  if (!slot.isAligned(8) || !stackAt(thread, slot).contains(Range::at(slot, 8)))
    return std::nullopt;
  Address returnsTo = Address::of(*slot.pointer<std::uint64_t>());
  if (isBeginOfCoroutine(returnsTo))
    return returnsTo;
  constexpr Size longestCall = 7;
  auto isCode = [&](Address address) { return thread.rangeAt(address) || thread.isThunk(address); };
  if (!isCode(returnsTo.shifted(-1)) || !isCode(returnsTo.shifted(-longestCall)) ||
      !isBehindCall(returnsTo.shifted(-longestCall).pointer(), longestCall))
    return std::nullopt;
  return returnsTo;
}

// Code has jumped to where none is. If it did so by a call, the call is where it failed; else the one by which it was called.
bool stepBackToCall(const CodeThread &thread, Interrupted &at) {
  auto returnsTo = returnOnTop(thread, at);
  if (returnsTo)
    at.returnTo(isBeginOfCoroutine(*returnsTo) ? *returnsTo : returnsTo->shifted(-1));
  return returnsTo.has_value();
}

bool isJump(int signal, const siginfo_t &info, const Interrupted &at) {
  return (signal == SIGSEGV || signal == SIGBUS) && Address::of(info.si_addr) == at.pc();
}

bool isStackOverflow(const CodeThread &thread, int signal, const siginfo_t &info, const Interrupted &at) {
  Address address = Address::of(info.si_addr);
  Range stack = stackAt(thread, at.stack());
  return (signal == SIGSEGV || signal == SIGBUS) && info.si_code != SI_KERNEL && address < at.stack() + nearStack &&
         at.stack() < address + nearStack && address < stack.base + nearStack;
}

/// Where frames begin.
enum class Beginning { Code, AfterJump, Overflow };

Beginning beginningOf(const Fault &fault) {
  if (fault.jumpedTo)
    return Beginning::AfterJump;
  return fault.isStackOverflow ? Beginning::Overflow : Beginning::Code;
}

// In code; or where that begins, if code had nothing left to do when it jumped.
bool isAtCode(const CodeThread &thread, const Interrupted &at, Beginning beginning) {
  bool isBegin = beginning == Beginning::AfterJump && (thread.isThunk(at.pc()) || isBeginOfCoroutine(at.pc()));
  return isBegin || thread.rangeAt(at.pc());
}

// May what was interrupted be left?
bool mayLeave(const CodeThread &thread, const CodeFrames &frames, const Interrupted &at, Beginning beginning) {
  if (!frames.reachThunk() || (frames.count() > 0 && !ownerOf(thread, frames.innermost()[0])))
    return false;
  return isAtCode(thread, at, beginning) || frames.beginInLeaf(at.stack()) ||
         (beginning == Beginning::Overflow && frames.beginInSearch());
}

// Is it worth a walk? Elsewhere a lock may be held that the walk needs.
bool mayBeginAt(const CodeThread &thread, const Interrupted &at, Beginning beginning) {
  if (isAtCode(thread, at, beginning))
    return true;
  return returnOnTop(thread, at) || (beginning == Beginning::Overflow && CodeFrames::mayBeInSearch(at.pc()));
}

void raiseFault(CodeThread &thread, const Fault &fault, Interrupted &at, ucontext_t &context) {
  if (!mayBeginAt(thread, at, beginningOf(fault)))
    return;
  CodeFrames frames(thread, at.pc());
  if (!mayLeave(thread, frames, at, beginningOf(fault)))
    return;
  auto trap = std::make_unique<TrapException>();
  describeFault(fault, *trap);
  if (!fault.jumpedTo)
    trap->interrupted = at.pc();
  raiseFrom(thread, frames, std::move(trap), context);
}

// Returns if that is no trap, with everything as it was.
void onFault(CodeThread &thread, int signal, siginfo_t &info, ucontext_t &context) {
  Interrupted at(context);
  Address pc = at.pc();
  bool isJumpOnly = isJump(signal, info, at);
  if (!isJumpOnly)
    raiseFault(thread, {signal, info, pc, std::nullopt, isStackOverflow(thread, signal, info, at)}, at, context);
  if (!isJumpOnly && !thread.rangeAt(pc))
    return;
  Address jumpedTo = signal == SIGTRAP ? pc.shifted(-1) : pc; // a breakpoint has been passed
  if (stepBackToCall(thread, at))
    raiseFault(thread, {signal, info, pc, jumpedTo, false}, at, context);
  at.restore();
}

// What is not in code, or not in a state to be left, is asked again soon.
void onInterrupt(CodeThread &thread, ucontext_t &context) {
  Interrupted at(context);
  if (thread.wanted == 0 || !thread.isInCode() || !thread.rangeAt(at.pc()))
    return;
  CodeFrames frames(thread, at.pc());
  if (!mayLeave(thread, frames, at, Beginning::Code))
    return;
  std::string reason = takeReason(thread);
  if (reason.empty())
    return;
  auto trap = std::make_unique<TrapException>();
  trap->message = std::move(reason);
  trap->details.kind = "interrupt";
  trap->interrupted = at.pc();
  raiseFrom(thread, frames, std::move(trap), context);
}

bool onSignal(int signal, siginfo_t *info, ucontext_t *context) {
  CodeThread *thread = codeThread();
  if (signal == interruptSignal) {
    bool isOurs = isInterrupt(*info);
    if (isOurs && thread)
      onInterrupt(*thread, *context);
    return isOurs;
  }
  if (info->si_code <= 0) // sent by a process
    return false;
  if (thread)
    CodeFrames::endWalk(*thread);
  if (thread && thread->isInCode())
    onFault(*thread, signal, *info, *context);
  warnOfFault(thread, {signal, *info, Interrupted(*context).pc(), std::nullopt, false});
  return false;
}

} // namespace

void nomad::listenForTraps() {
  static const bool listening = (claimSignals(SignalClaimant::Code, onSignal), true);
  (void)listening;
  watchSignals(faultSignals());
  ensureAlternateStack();
}

void nomad::raiseTrap(const char *kind, const std::string &message) {
  CodeThread *thread = codeThread();
  if (!thread || !thread->isInCode())
    return;
  CodeFrames frames(*thread);
  if (!frames.reachThunk())
    return;
  auto trap = std::make_unique<TrapException>();
  trap->message = message;
  trap->details.kind = kind;
  addFrames(*thread, frames, *trap);
  raise(*thread, frames, std::move(trap));
}

void nomad::leaveIfWanted() {
  CodeThread *thread = codeThread();
  if (!thread || thread->wanted == 0) [[likely]]
    return;
  if (std::string reason = takeReason(*thread); !reason.empty())
    raiseTrap("interrupt", reason);
}

void nomad::leaveIfStackIsLow() {
  CodeThread *thread = codeThread();
  Address here = Address::of(__builtin_frame_address(0));
  if (thread && thread->stack.contains(here) && here < thread->stack.base + 2 * nearStack) [[unlikely]]
    raiseTrap("stack", "stack overflow: no room is left for a host function");
}

void nomad::leaveIfNowhere(const void *pointer, const char *name) {
  constexpr std::uint64_t firstMapped = 0x10000, limit = 1ull << 47;
  std::uint64_t value = Address::of(pointer).value();
  if (value < firstMapped || value >= limit) [[unlikely]]
    raiseTrap("memory", "memory fault at " + hex(value) + ", in " + name);
}

llvm::Error nomad::takeTrap(TrapException *exception, llvm::function_ref<std::string()> entered) {
  std::unique_ptr<TrapException> trap(exception);
  CodeThread &thread = *codeThread();
  while (TrapException *raised = thread.raised) {
    if (raised->entryFrame > trap->entryFrame)
      break;
    thread.raised = raised->older;
    if (raised != trap.get())
      delete raised;
  }
  if (trap->details.frames.empty())
    trap->details.symbols = {entered()};
  std::string message = placeOf(trap->details) + ": " + trap->message;
  return fail(ErrorCode::Trap, message, std::move(trap->details));
}

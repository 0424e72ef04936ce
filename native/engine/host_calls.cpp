#include "engine/host_calls.h"

#include "enter/float_state.h"
#include "fault/leave.h"
#include "fault/trap.h"
#include "runtime/code_handlers.h"
#include "stack/clear_stack.h"
#include "stack/code_frames.h"
#include "stack/other_stacks.h"

using namespace nomad;

extern "C" [[gnu::visibility("hidden"), gnu::used]] void nomad_call_host(HostCalls *calls, HostIndex index,
                                                                         const Activation::Registers *registers) {
  calls->call(index, *registers);
}

bool HostCalls::callWaiting(HostIndex index, const Activation::Registers &registers) {
  EntryIndex ours = outside_.enteredFunction();
  bool isFromNative = chain_.entryFrame == Address();
  Address enteredAt = isFromNative ? log_.present(Address::of(&registers)).outermost : Address();
  Waiting code(chain_, registers, Activation::Exit::Host, enteredAt);
  ++underWay_;
  Host *host = outside_.host;
  bool hasReturned = host && (isFromNative ? (host->callFromNative(index), true) : host->call(index));
  --underWay_;
  outside_.enteredFunction() = ours;
  return hasReturned;
}

// JS needs its thread's own stack, and V8 in a state between two of its steps.
std::optional<Refusal> HostCalls::refusalOf(const Activation::Registers &registers) {
  Address here = Address::of(&registers);
  if (!chain_.stack.contains(here) || (chain_.entryFrame != Address() && here > chain_.entryFrame))
    return Refusal::OtherStack;
  if (chain_.hasStackWithin && otherStackAt(here))
    return Refusal::OtherStack;
  bool isInSignal =
      chain_.entryFrame == Address() ? log_.present(here).isInSignal : codeHandlesSignals && interruptsOthers(registers);
  if (isInSignal)
    return Refusal::Signal;
  return std::nullopt;
}

// Is this in a handler, called in code or not, of a signal that came while something else ran than code? That may be in the
// middle of anything: malloc, say.
bool HostCalls::interruptsOthers(const Activation::Registers &registers) const {
  refreshUnwindTables();
  bool isFound = false;
  Address inner = Address::of(&registers);
  auto visit = [&](const WaitingFrame &frame) {
    isFound = frame.isInterrupted && !isCodeOfAny(frame.instruction);
    bool isOuter = frame.isInterrupted || frame.returnSlot > std::exchange(inner, frame.returnSlot);
    return !isFound && isOuter && frame.returnSlot < chain_.entryFrame;
  };
  // Of frames that are not proved, unwind records may say anything.
  CodeFrames::walkSafely(*codeThread(), [&] { unwindFrom(contextAtExit(registers), visit); });
  return isFound;
}

void HostCalls::call(HostIndex index, const Activation::Registers &registers) {
  if (auto refusal = refusalOf(registers)) {
    refuse(index, *refusal);
    return outside_.setNoResult();
  }
  leaveIfStackIsLow();
  roots_.forget();
  bool hasReturned = withStandardFloats([&] { return callWaiting(index, registers); });
  bool hasLeftAddresses = roots_.areKnown() || *staleUnwindTables();
  roots_.forget();
  refreshUnwindTables();
  if (hasLeftAddresses)
    clearStackBelow(longReach);
  if (hasReturned)
    return leaveIfWanted();
  leaveCode();
  // Some frame can't be unwound: code goes on, without a result and without JS, and its caller hears of it when it returns.
  outside_.setNoResult();
  if (outside_.host)
    outside_.host->left();
}

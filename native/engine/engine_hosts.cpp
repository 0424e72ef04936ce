// The engine's host functions: how code gets at them, what happens when it calls one, and what the stack has meanwhile.
#include "engine/engine.h"

#include "base/error.h"
#include "enter/float_state.h"
#include "enter/host_thunk.h"
#include "fault/leave.h"
#include "fault/trap.h"
#include "runtime/code_handlers.h"
#include "runtime/contexts.h"
#include "stack/clear_stack.h"
#include "stack/code_frames.h"
#include "stack/other_stacks.h"

using namespace nomad;
using namespace llvm;

extern "C" [[gnu::visibility("hidden"), gnu::used]] void nomad_call_host(Engine *engine, HostIndex index,
                                                                         const Activation::Registers *registers) {
  engine->callHost(index, *registers);
}

extern "C" [[gnu::visibility("hidden")]] void nomad_refuse_host_call(Engine *engine, HostIndex index) {
  engine->refuseHostCall(index, Engine::Refusal::OtherThread);
}

Expected<Address> Engine::hostThunk(const Signature &signature) {
  auto found = hostThunks_.find(signature.text);
  if (found != hostThunks_.end())
    return found->second;
  HostThunkEnvironment environment{.argumentBlock = block_,
                                   .exit = hostExit(),
                                   .refuse = Address::of(reinterpret_cast<const void *>(&nomad_refuse_host_call)),
                                   .context = Address::of(this),
                                   .thread = Address::of(__builtin_thread_pointer())};
  auto made = makeThunk(buildHostThunk(signature, environment), "host thunk " + signature.text);
  if (made)
    hostThunks_[signature.text] = *made;
  return made;
}

Error Engine::addHostBlock() {
  Address code = Address::of(roundUp(nextThunk_[indexOf(SegmentKind::Code)].value(), HostTable::stubBytes));
  Address slots = Address::of(roundUp(nextThunk_[indexOf(SegmentKind::Data)].value(), HostTable::stubBytes));
  Range codeRange = Range::at(code, HostTable::blockCodeBytes), slotRange = Range::at(slots, HostTable::blockSlotBytes);
  if (!thunkSpace_[indexOf(SegmentKind::Code)].contains(codeRange) ||
      !thunkSpace_[indexOf(SegmentKind::Data)].contains(slotRange))
    return fail(ErrorCode::SpaceFull, "no room for more host functions");
  bool isClaimed = arena_->occupancy(SegmentKind::Code).claim(codeRange) && arena_->occupancy(SegmentKind::Data).claim(slotRange);
  NOMAD_ASSERT(isClaimed, "nobody but the engine places anything in the thunk space");
  hosts_.addBlock(*arena_, code, slots);
  nextThunk_[indexOf(SegmentKind::Code)] = codeRange.limit;
  nextThunk_[indexOf(SegmentKind::Data)] = slotRange.limit;
  return Error::success();
}

Expected<Handle> Engine::addHost(StringRef name, const Signature &signature) {
  auto thunk = hostThunk(signature);
  if (!thunk)
    return thunk.takeError();
  if (hosts_.isFull())
    if (Error error = addHostBlock())
      return error;
  HostIndex index = hosts_.take(*thunk);
  CodeObject object;
  object.segment(SegmentKind::Code) = {hosts_.stub(index), HostTable::stubBytes, 4};
  object.state = State::Placed;
  object.retain = Retain::None;
  Exports exports;
  exports.functions.push_back({name.str(), signature, {}});
  object.symbols = SymbolTable::encode(name, exports, types_,
                                       [](StringRef) { return SymbolExtent{{SegmentKind::Code, 0}, HostTable::stubBytes}; });
  Handle handle = objects_.add(std::move(object));
  hostIndices_[handle] = index;
  return handle;
}

std::optional<HostIndex> Engine::hostIndex(Handle handle) const {
  auto found = hostIndices_.find(handle);
  return found == hostIndices_.end() ? std::nullopt : std::optional(found->second);
}

bool Engine::callWaiting(HostIndex index, const Activation::Registers &registers) {
  EntryIndex ours = enteredFunction();
  bool isFromNative = activations_.entryFrame == Address();
  Address enteredAt = isFromNative ? entryLog_->present(Address::of(&registers)).outermost : Address();
  Waiting code(activations_, registers, Activation::Exit::Host, enteredAt);
  ++hostCalls_;
  bool hasReturned = host_ && (isFromNative ? (host_->callFromNative(index), true) : host_->call(index));
  --hostCalls_;
  enteredFunction() = ours;
  return hasReturned;
}

// JS needs its thread's own stack, and V8 in a state between two of its steps.
std::optional<Engine::Refusal> Engine::refusalOf(const Activation::Registers &registers) {
  Address here = Address::of(&registers);
  if (!activations_.stack.contains(here) || (activations_.entryFrame != Address() && here > activations_.entryFrame))
    return Refusal::OtherStack;
  if (activations_.hasStackWithin && otherStackAt(here))
    return Refusal::OtherStack;
  bool isInSignal = activations_.entryFrame == Address() ? entryLog_->present(here).isInSignal
                                                         : codeHandlesSignals && interruptsOthers(registers);
  if (isInSignal)
    return Refusal::Signal;
  return std::nullopt;
}

// Is this in a handler, called in code or not, of a signal that came while something else ran than code? That may be in the
// middle of anything: malloc, say.
bool Engine::interruptsOthers(const Activation::Registers &registers) {
  refreshUnwindTables();
  bool isFound = false;
  Address inner = Address::of(&registers);
  auto visit = [&](const WaitingFrame &frame) {
    isFound = frame.isInterrupted && !isCodeOfAny(frame.instruction);
    bool isOuter = frame.isInterrupted || frame.returnSlot > std::exchange(inner, frame.returnSlot);
    return !isFound && isOuter && frame.returnSlot < activations_.entryFrame;
  };
  // Of frames that are not proved, unwind records may say anything.
  CodeFrames::walkSafely(*codeThread(), [&] { unwindFrom(contextAtExit(registers), visit); });
  return isFound;
}

void Engine::callHost(HostIndex index, const Activation::Registers &registers) {
  if (auto refusal = refusalOf(registers)) {
    refuseHostCall(index, *refusal);
    block_.pointer<std::uint64_t>()[0] = 0;
    return;
  }
  leaveIfStackIsLow();
  forgetStackRoots();
  bool hasReturned = withStandardFloats([&] { return callWaiting(index, registers); });
  bool hasLeftAddresses = !stackRoots_.exact.empty() || !stackRoots_.ambiguous.empty() || *staleUnwindTables();
  forgetStackRoots();
  refreshUnwindTables();
  if (hasLeftAddresses)
    clearStackBelow(longReach);
  if (hasReturned)
    return leaveIfWanted();
  leaveCode();
  // Some frame can't be unwound: code goes on, without a result and without JS, and its caller hears of it when it returns.
  block_.pointer<std::uint64_t>()[0] = 0;
  if (host_)
    host_->left();
}

void Engine::reportRefusedHost() {
  std::uint32_t refused = refusedHost_.exchange(0);
  HostIndex index = (refused & ((1u << refusalShift) - 1)) - 1;
  static constexpr const char *reasons[] = {"on another thread than its Jit's", "on another stack than its thread's",
                                            "by a signal handler that has not interrupted code"};
  std::string name = "a host function";
  for (auto &[handle, known] : hostIndices_)
    if (known == index)
      name = "host function " + quoted(objects_[handle]);
  if (host_)
    host_->uncaught(
        fail(ErrorCode::State, name + " was called " + reasons[refused >> refusalShift] + ": it did not run, and code got 0"));
}

void Engine::prepareEntry(bool isOwnThread) {
  if (!isOwnThread)
    return mover_.unwind().noteOtherThreads();
  refreshUnwindTables();
  clearStackBelow(longReach); // code's first frames will be here
}

// ---- the stack ----

bool Engine::isRunning() {
  stackRoots();
  return hostCalls_ > 0 || isOnStack_ || runsElsewhere_;
}

// Looked for anew each time: what the host function calls in between may write to frames that wait.
const StackRoots &Engine::stackRoots() {
  forgetStackRoots();
  if (activations_.innermost) // frames are walked by them, those of other Jits' code too
    refreshUnwindTables();
  Activation::Registers registers;
  saveRegisters(registers);
  EntryLog::Present entered = entryLog_->present(Address::of(&registers));
  std::optional<Waiting> unrecorded;
  if (activations_.entryFrame != Address() || entered.outermost != Address())
    unrecorded.emplace(activations_, registers, Activation::Exit::Unknown, entered.outermost);
  for (const Activation *activation = activations_.innermost; activation; activation = activation->previous)
    stackWalk_.walk(*activation, activations_.stack.limit, stackRoots_);
  isOnStack_ = !stackRoots_.exact.empty() || !stackRoots_.ambiguous.empty();
  size_t here = stackRoots_.ambiguous.size();
  bool isKnown = scanOtherStacks();
  waitsElsewhere_ = !isKnown || stackRoots_.ambiguous.size() > here;
  runsElsewhere_ = entered.isElsewhere;
  if (runsElsewhere_ || !isKnown || !stackSwitchers_.empty())
    pinAll();
  for (const StackRoot &root : stackRoots_.exact)
    root.object->stackUse.active = 1;
  for (const StackRoot &root : stackRoots_.ambiguous)
    root.object->stackUse.pinned |= 1 << indexOf(root.segment);
  for (const StackRoot &root : stackRoots_.exact)
    if (hasShadowStack() || mayReturnTwice(root))
      root.object->stackUse.pinned |= 1 << indexOf(SegmentKind::Code);
  return stackRoots_;
}

// Coroutines. A context counts if its frame may still be there: on such a stack, or in an activation. False if code may wait
// where nobody knows.
bool Engine::scanOtherStacks() {
  SmallVector<Range> stacks;
  for (const Activation *activation = activations_.innermost; activation; activation = activation->previous)
    stacks.push_back({Address::of(activation->registers), activation->limit(activations_.stack.limit)});
  bool isKnown = everyWaitingStack([&](const WaitingStack &stack) {
    stacks.push_back(stack.all);
    return stackWalk_.scanForeign(stack.filled, stackRoots_);
  });
  everySavedContext([&](const SavedContext &context) {
    if (any_of(stacks, [&](Range stack) { return stack.contains(context.stackPointer); }))
      for (Range registers : context.registers)
        stackWalk_.scanForeign(registers, stackRoots_);
  });
  return isKnown;
}

// Other threads and stacks are not walked, and what runs may have its address in a register alone.
void Engine::pinAll() {
  for (Handle handle = 0; handle < objects_.limit(); ++handle) {
    CodeObject &object = objects_[handle];
    if (object.state != State::Placed || hostIndices_.contains(handle) ||
        thunkSpace_[0].contains(object.segment(SegmentKind::Code).base))
      continue;
    for (SegmentKind kind : segmentKinds)
      if (object.segment(kind).exists())
        stackRoots_.ambiguous.push_back({&object, kind, StackRoot::Kind::Word, Address(), 0});
  }
}

DenseSet<Handle> Engine::pinned() {
  const StackRoots &roots = stackRoots();
  DenseSet<Handle> pinned = immovable_;
  for (auto *list : {&roots.exact, &roots.ambiguous})
    for (const StackRoot &root : *list)
      if (root.object->stackUse.pinned != 0)
        pinned.insert(handleOf(*root.object));
  return pinned;
}

// A register that has an address in the same code goes into setjmp's buffer, where nobody can change it: then, or if there is no
// entry stub left, code has to stay while any of it is active.
std::optional<Address> Engine::landing(Address returnsTo, ArrayRef<std::uint64_t> registers) {
  CodeObject *object = mover_.codeOwners().find(returnsTo.shifted(-1));
  if (!object)
    return std::nullopt;
  Range code = object->segment(SegmentKind::Code).range();
  if (none_of(registers, [=](std::uint64_t value) { return code.contains(Address::of(value)); })) {
    auto index = entry(handleOf(*object), static_cast<Offset>(returnsTo - code.base));
    if (index)
      return entries_.stub(*index);
    consumeError(index.takeError());
  }
  returnsTwice_[handleOf(*object)] = {{0, static_cast<Offset>(code.size())}};
  return returnsTo;
}

bool Engine::refuse(Address returnsTo, StringRef what) {
  const CodeObject *object = mover_.codeOwners().find(returnsTo.shifted(-1));
  bool isThunk = code_ && code_->hasThunk(returnsTo); // the function has ended with that call
  if ((!object && !isThunk) || !host_ || activations_.entryFrame == Address())
    return false;
  std::string name = object ? "code object " + quoted(*object) : nameOf(enteredFunction());
  host_->willThrow(fail(ErrorCode::State, name + ": " + what));
  leaveCode();
  host_->left();
  return true;
}

// What may return a second time has noted its return address where nobody can read it, for as long as the function that called it
// is active.
bool Engine::mayReturnTwice(const StackRoot &root) const {
  if (returnsTwice_.empty())
    return false;
  auto found = returnsTwice_.find(handleOf(*root.object));
  return found != returnsTwice_.end() &&
         any_of(found->second, [&](CodeExtent extent) { return extent.base < root.offset && root.offset <= extent.limit; });
}

void Engine::forgetStackRoots() {
  for (auto *roots : {&stackRoots_.exact, &stackRoots_.ambiguous}) {
    for (const StackRoot &root : *roots)
      root.object->stackUse = {};
    roots->clear();
  }
}

Expected<MoveReport> Engine::relocate(ArrayRef<MoveRequest> requests) {
  QuietMoves::OthersKeptOut keepOut(entryLog_->moves());
  stackRoots();
  auto before = beforeMoves(requests);
  if (!before)
    return before.takeError();
  SmallVector<Range> left = codeToPoison(requests);
  auto report = mover_.relocate(requests, placeable_);
  if (!report)
    return report;
  for (const StackRoot &root : stackRoots_.exact)
    *root.slot.pointer<std::uint64_t>() = (root.object->segment(root.segment).base + root.offset).value();
  for (Range range : left)
    poison(range);
  afterChange();
  if (Error error = verifyMoves(*before))
    return error;
  return report;
}

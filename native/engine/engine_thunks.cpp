// The engine's thunks: where they are, how they are made, and what ends in them.
#include "engine/engine.h"
#include "stack/clear_stack.h"

#include "base/error.h"
#include "enter/float_state.h"
#include "fault/interrupt.h"
#include "fault/leave.h"
#include "fault/trap.h"
#include "fault/trap_report.h"
#include "stack/cpp_exception.h"

#include <algorithm>

using namespace nomad;
using namespace llvm;

namespace {

// Thunks are ours: what they call does not depend on what users' code may link to.
class WholeProcess : public SymbolResolver {
public:
  Expected<Resolution> resolve(StringRef name) override {
    auto address = process_.find(name);
    return address ? Resolution::fixed(*address) : Resolution();
  }

private:
  ProcessSymbols process_{ProcessSymbols::Policy::All};
};

} // namespace

// A thunk takes about 200 bytes of code with its unwind records, and one slot in data: room for thousands in the default arena.
Mover::Ranges Engine::thunkSpaceIn(const Arena &arena) {
  constexpr Size share = 64;
  constexpr Size smallest = 64 * 1024;
  Mover::Ranges spaces;
  for (SegmentKind kind : {SegmentKind::Code, SegmentKind::Data}) {
    Range range = arena.segments(kind);
    Size size = std::max(smallest, roundDown(range.size() / share, smallest));
    spaces[indexOf(kind)] = {range.limit.shifted(-static_cast<Delta>(size)), range.limit};
  }
  return spaces;
}

Expected<Address> Engine::thunk(SignatureIndex signature, ThunkStyle style) {
  auto found = thunkIndices_.find({signature, style});
  if (found != thunkIndices_.end())
    return thunks_[found->second];
  const Signature &type = types_.signature(signature);
  auto index = static_cast<std::uint32_t>(thunks_.size());
  auto made = makeThunk(buildThunk(type, style, index, thunkEnvironment()), "call thunk " + type.text);
  if (!made)
    return made.takeError();
  thunks_.push_back(*made);
  thunkIndices_[{signature, style}] = index;
  return made;
}

Mover::Ranges Engine::placeableIn(const Arena &arena, const Mover::Ranges &thunkSpace) {
  Mover::Ranges ranges;
  for (SegmentKind kind : segmentKinds) {
    Range range = arena.segments(kind), thunks = thunkSpace[indexOf(kind)];
    ranges[indexOf(kind)] = thunks.size() > 0 ? Range{range.base, thunks.base} : range;
  }
  return ranges;
}

ThunkEnvironment Engine::thunkEnvironment() {
  static constexpr ThunkCallbacks callbacks{
      .prepare =
          [](void *first, void *second, void *context, std::uint32_t thunk) {
            auto *engine = static_cast<Engine *>(context);
            Address address = engine->thunks_[thunk];
            return engine->enter(reinterpret_cast<ThunkCode>(address.value()), first, second, address != engine->directThunk_);
          },
      .attend = [](void *engine) -> std::int32_t { return static_cast<Engine *>(engine)->attend(); },
      .caught =
          [](void *engine, void *exception, EntryIndex entry, ExceptionState exceptions) {
            static_cast<Engine *>(engine)->endException(static_cast<_Unwind_Exception *>(exception), entry);
            restoreExceptionState(exceptions);
          },
  };
  return {.argumentBlock = block_,
          .entryOffset = blockParameterBytes,
          .entrySlots = entries_.slotBase(),
          .staleFlag = Address::of(staleUnwindTables()),
          .entryFrame = Address::of(&activations_.entryFrame),
          .exceptions = Address::of(&exceptionState()),
          .attention = Address::of(&attention_),
          .callbacks = Address::of(&callbacks),
          .context = Address::of(this)};
}

// Through prepareIf of enter/call_thunk.cpp: the unwind records are stale, or code runs that has called JS past host functions.
void *Engine::enter(ThunkCode thunk, void *first, void *second, bool isFromJs) {
  if (isFromJs && refuseEntry()) {
    if (activations_.entryFrame != Address())
      enteredFunction() = noEntry; // as below
    return nullptr;
  }
  if (*staleUnwindTables()) {
    refreshUnwindTables();
    clearStackBelow(longReach); // code's first frames will be here
  }
  if (activations_.entryFrame == Address())
    return thunk(first, second);
  Activation::Registers registers;
  saveRegisters(registers);
  Waiting outer(activations_, registers, Activation::Exit::Unknown);
  void *result = thunk(first, second);
  // The arguments of this call lie over the outer one's entry.
  enteredFunction() = noEntry;
  return result;
}

// What should stop does not begin. Constructors and destructors do.
bool Engine::refuseEntry() {
  CodeThread *thread = codeThread();
  if (!host_ || !thread || thread->wanted == 0)
    return false;
  std::string reason = takeReason(*thread);
  if (reason.empty())
    return false;
  ErrorDetails details;
  details.kind = "interrupt";
  std::string name = nameOf(enteredFunction());
  details.symbols = {name};
  details.frames = {frameAt(*thread, entries_.target(enteredFunction()))};
  details.frameCount = 1;
  host_->uncaught(fail(ErrorCode::Trap, name + ": " + reason, std::move(details)));
  return true;
}

Expected<CodeObject> Engine::linkThunk(ParsedModule module, const std::string &name) {
  LinkRequest link{name, Moves::All, Retain::None};
  auto object = compileModule(std::move(module), {link.name, OptLevel::O1, link.moves}, *machines_);
  if (!object)
    return object.takeError();
  WholeProcess resolver;
  return linker_->link(std::move(*object), link, resolver);
}

Expected<Address> Engine::makeThunk(ParsedModule module, const std::string &name) {
  auto thunk = linkThunk(std::move(module), name);
  if (!thunk)
    return thunk.takeError();
  SymbolPlace place = thunk->symbols.function(thunkName)->place;
  constexpr std::int32_t stays = MoveRequest::stays;
  MoveRequest request{objects_.add(std::move(*thunk)), {stays, stays, stays}};
  std::array<Address, 3> next = nextThunk_;
  for (SegmentKind kind : segmentKinds) {
    const Segment &segment = objects_[request.object].segment(kind);
    if (!segment.exists())
      continue;
    Address base = Address::of(roundUp(next[indexOf(kind)].value(), segment.alignment()));
    request.to[indexOf(kind)] = static_cast<std::int32_t>(base - thunkSpace_[indexOf(kind)].base);
    next[indexOf(kind)] = base + segment.size;
    if (!thunkSpace_[indexOf(kind)].contains(Range::at(base, segment.size))) {
      objects_.remove(request.object);
      return fail(ErrorCode::SpaceFull, "no room for another " + name);
    }
  }
  if (auto report = mover_.place(request, thunkSpace_); !report) {
    objects_.remove(request.object);
    return report.takeError();
  }
  nextThunk_ = next;
  afterChange();
  return objects_[request.object].addressOf(place);
}

bool Engine::attend() {
  resetFloatState();
  if (refusedHost_ == 0)
    return false;
  attention_ &= ~std::uint32_t{Refused};
  reportRefusedHost();
  return true;
}

// What has left code, and where it ends.
void Engine::endException(_Unwind_Exception *exception, EntryIndex entry) {
  resetFloatState();
  if (exception->exception_class == hostExceptionClass) {
    endLeaving(exception);
    host_->left();
  } else if (exception->exception_class == trapExceptionClass) {
    Error error = takeTrap(reinterpret_cast<TrapException *>(exception), [&] { return nameOf(entry); });
    if (host_)
      host_->uncaught(std::move(error));
    else
      consumeError(std::move(error));
  } else {
    reportUncaught(takeException(exception), entry);
  }
}

void Engine::reportUncaught(const std::string &what, EntryIndex entry) {
  ErrorDetails details;
  details.kind = "exception";
  std::string name = nameOf(entry);
  details.symbols = {name};
  if (host_)
    host_->uncaught(fail(ErrorCode::Trap, name + ": " + what, std::move(details)));
}

// The type is C's void (*)(void *); code that takes no argument does not see it.
Expected<Address> Engine::directThunk() {
  Signature signature;
  signature.text = "void (ptr)";
  signature.parameters = {{ValueKind::Ptr, Extension::None}};
  auto made = thunk(types_.intern(signature), ThunkStyle::Direct);
  if (made)
    directThunk_ = *made;
  return made;
}

std::string Engine::nameOf(EntryIndex entry) const {
  std::string name = "code";
  for (Handle handle = 0; handle < objects_.limit(); ++handle)
    for (const EntryUse &use : objects_[handle].entries)
      if (use.index == entry)
        objects_[handle].symbols.everyFunction([&](const FunctionSymbol &function) {
          if (function.place.offset == use.offset)
            name = function.name.str();
        });
  return name;
}

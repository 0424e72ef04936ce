#include "engine/code_entry.h"

#include "base/error.h"
#include "engine/unwind_refresh.h"
#include "enter/float_state.h"
#include "fault/interrupt.h"
#include "fault/leave.h"
#include "fault/trap.h"
#include "fault/trap_report.h"
#include "stack/cpp_exception.h"

using namespace nomad;
using namespace llvm;

ThunkEnvironment CodeEntry::environment() {
  static constexpr ThunkCallbacks callbacks{
      .prepare =
          [](void *first, void *second, void *context, std::uint32_t thunk) {
            auto *entry = static_cast<CodeEntry *>(context);
            Address address = entry->thunks_[thunk];
            return entry->enter(reinterpret_cast<ThunkCode>(address.value()), first, second, address != entry->direct_);
          },
      .attend = [](void *context) -> std::int32_t { return static_cast<CodeEntry *>(context)->attend(); },
      .caught =
          [](void *context, void *exception, EntryIndex entry, ExceptionState exceptions) {
            static_cast<CodeEntry *>(context)->endException(static_cast<_Unwind_Exception *>(exception), entry);
            restoreExceptionState(exceptions);
          },
  };
  return {.argumentBlock = outside_.block,
          .entryOffset = Outside::blockParameterBytes,
          .entrySlots = entries_.slotBase(),
          .staleFlag = Address::of(staleUnwindTables()),
          .entryFrame = Address::of(&activations_.entryFrame),
          .exceptions = Address::of(&exceptionState()),
          .attention = attention_.word(),
          .callbacks = Address::of(&callbacks),
          .context = Address::of(this)};
}

void CodeEntry::addThunk(Address thunk, ThunkStyle style) {
  thunks_.push_back(thunk);
  if (style == ThunkStyle::Direct)
    direct_ = thunk;
}

// Through prepareIf of enter/call_thunk.cpp: the unwind records are stale, or code runs that has called JS past host functions.
void *CodeEntry::enter(ThunkCode thunk, void *first, void *second, bool isFromJs) {
  if (isFromJs && refuseEntry()) {
    if (activations_.entryFrame != Address())
      outside_.enteredFunction() = noEntry; // as below
    return nullptr;
  }
  if (*staleUnwindTables())
    UnwindRefresh::beforeEntry();
  if (activations_.entryFrame == Address())
    return thunk(first, second);
  Activation::Registers registers;
  saveRegisters(registers);
  Waiting outer(activations_, registers, Activation::Exit::Unknown);
  void *result = thunk(first, second);
  // The arguments of this call lie over the outer one's entry.
  outside_.enteredFunction() = noEntry;
  return result;
}

// What should stop does not begin. Constructors and destructors do.
bool CodeEntry::refuseEntry() {
  CodeThread *thread = codeThread();
  if (!outside_.host || !thread || thread->wanted == 0)
    return false;
  std::string reason = takeReason(*thread);
  if (reason.empty())
    return false;
  ErrorDetails details;
  details.kind = "interrupt";
  std::string name = nameOf(outside_.enteredFunction());
  details.symbols = {name};
  details.frames = {frameAt(*thread, entries_.target(outside_.enteredFunction()))};
  details.frameCount = 1;
  outside_.host->uncaught(fail(ErrorCode::Trap, name + ": " + reason, std::move(details)));
  return true;
}

bool CodeEntry::attend() {
  resetFloatState();
  auto refused = attention_.takeRefused();
  if (refused)
    reportRefused(*refused);
  return refused.has_value();
}

void CodeEntry::reportRefused(Attention::Refused refused) {
  static constexpr const char *reasons[] = {"on another thread than its Jit's", "on another stack than its thread's",
                                            "by a signal handler that has not interrupted code"};
  std::string name = "a host function";
  for (auto &[handle, known] : objects_.hosts())
    if (known == refused.host)
      name = "host function " + quoted(objects_[handle]);
  outside_.report(fail(ErrorCode::State,
                       name + " was called " + reasons[static_cast<size_t>(refused.why)] + ": it did not run, and code got 0"));
}

// What has left code, and where it ends.
void CodeEntry::endException(_Unwind_Exception *exception, EntryIndex entry) {
  resetFloatState();
  if (exception->exception_class == hostExceptionClass) {
    endLeaving(exception);
    outside_.host->left();
  } else if (exception->exception_class == trapExceptionClass) {
    outside_.report(takeTrap(reinterpret_cast<TrapException *>(exception), [&] { return nameOf(entry); }));
  } else {
    reportUncaught(takeException(exception), entry);
  }
}

void CodeEntry::reportUncaught(const std::string &what, EntryIndex entry) {
  ErrorDetails details;
  details.kind = "exception";
  std::string name = nameOf(entry);
  details.symbols = {name};
  outside_.report(fail(ErrorCode::Trap, name + ": " + what, std::move(details)));
}

std::string CodeEntry::nameOf(EntryIndex entry) const {
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

#include "fault/leave.h"

#include "fault/trap.h"
#include "stack/code_frames.h"

#include <unwind.h>

using namespace nomad;

extern "C" _Unwind_Reason_Code __gxx_personality_v0(int, _Unwind_Action, _Unwind_Exception_Class, _Unwind_Exception *,
                                                    _Unwind_Context *);

namespace {

void destroy(_Unwind_Reason_Code, _Unwind_Exception *exception) { delete exception; }

// A trap's first frame may be anywhere in its function, also where a landing pad would not find what it needs.
bool isInterrupted(const _Unwind_Exception *exception, _Unwind_Context *context) {
  int isInterrupted = 0;
  Address at = Address::of(static_cast<std::uint64_t>(_Unwind_GetIPInfo(context, &isInterrupted)));
  return isInterrupted && exception->exception_class == trapExceptionClass &&
         reinterpret_cast<const TrapException *>(exception)->interrupted == at;
}

// What is ours unwinds by force, and C++ would take that for the end of a thread.
_Unwind_Reason_Code passOwnException(int version, _Unwind_Action actions, _Unwind_Exception_Class type,
                                     _Unwind_Exception *exception, _Unwind_Context *context) {
  if (isInterrupted(exception, context))
    return _URC_CONTINUE_UNWIND;
  // A frame that would catch it can't be entered for its destructors alone: the same landing pad leads to both.
  bool wouldCatch = __gxx_personality_v0(version, _UA_SEARCH_PHASE, type, exception, context) == _URC_HANDLER_FOUND;
  if (wouldCatch)
    return _URC_CONTINUE_UNWIND;
  auto unforced = static_cast<_Unwind_Action>(actions & ~_UA_FORCE_UNWIND);
  return __gxx_personality_v0(version, unforced, type, exception, context);
}

// Between finding a handler and entering it destructors run, and may move code. libstdc++ remembers the landing pad's address
// from the search, so the handler's frame is searched again where its code is now.
_Unwind_Reason_Code personality(int version, _Unwind_Action actions, _Unwind_Exception_Class type, _Unwind_Exception *exception,
                                _Unwind_Context *context) {
  if (type == hostExceptionClass || type == trapExceptionClass)
    return passOwnException(version, actions, type, exception, context);
  if ((actions & _UA_HANDLER_FRAME) != 0)
    __gxx_personality_v0(version, _UA_SEARCH_PHASE, type, exception, context);
  return __gxx_personality_v0(version, actions, type, exception, context);
}

} // namespace

void nomad::leaveCode() {
  auto *exception = new _Unwind_Exception{};
  exception->exception_class = hostExceptionClass;
  exception->exception_cleanup = destroy;
  raiseFromHere(exception);
  delete exception;
}

void nomad::endLeaving(void *exception) { _Unwind_DeleteException(static_cast<_Unwind_Exception *>(exception)); }

std::optional<Address> nomad::findPersonality(llvm::StringRef name) {
  if (name == thunkPersonalityName)
    return Address::of(reinterpret_cast<const void *>(&__gxx_personality_v0));
  if (name == "__gxx_personality_v0")
    return Address::of(reinterpret_cast<const void *>(&personality));
  return std::nullopt;
}

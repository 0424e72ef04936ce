#include "engine/landings.h"

#include "base/error.h"
#include "fault/leave.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

// A register that has an address in the same code goes into setjmp's buffer, where it can't be changed: then, or if there is no
// entry stub left, code has to stay while any of it is active.
std::optional<Address> CodeLandings::landing(Address returnsTo, ArrayRef<std::uint64_t> registers) {
  CodeObject *object = owners_.find(returnsTo.shifted(-1));
  if (!object)
    return std::nullopt;
  Range code = object->segment(SegmentKind::Code).range();
  if (none_of(registers, [=](std::uint64_t value) { return code.contains(Address::of(value)); })) {
    auto stub = stubs_.of(objects_.handleOf(*object), static_cast<Offset>(returnsTo - code.base));
    if (stub)
      return stubs_.address(*stub);
    consumeError(stub.takeError());
  }
  objects_.setReturnsTwice(*object, {{0, static_cast<Offset>(code.size())}});
  return returnsTo;
}

bool CodeLandings::refuse(Address returnsTo, StringRef what) {
  const CodeObject *object = owners_.find(returnsTo.shifted(-1));
  bool isThunk = thunks_.contains(returnsTo); // the function has ended with that call
  if ((!object && !isThunk) || !outside_.host || chain_.entryFrame == Address())
    return false;
  std::string name = object ? "code object " + quoted(*object) : entry_.nameOf(outside_.enteredFunction());
  outside_.host->willThrow(fail(ErrorCode::State, name + ": " + what));
  leaveCode();
  outside_.host->left();
  return true;
}

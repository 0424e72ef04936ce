#include "engine/unwind_refresh.h"

#include "move/unwind.h"
#include "runtime/code_handlers.h"
#include "stack/clear_stack.h"

using namespace nomad;

// Code waits, and JS can return to it past thunks and host exits, which it called past host functions; or it handles signals, and
// a handler can't make the tables.
void UnwindRefresh::afterChange() {
  if ((returnsUnseen() || codeHandlesSignals) && *staleUnwindTables())
    beforeEntry();
}

void UnwindRefresh::beforeEntry() {
  refreshUnwindTables();
  clearStackBelow(longReach); // code's first frames will be here
}

// Does code go on that no call thunk, host exit or entry stub sees going on?
bool UnwindRefresh::returnsUnseen() {
  return activations_.entryFrame != Address() || log_.present(Address::of(__builtin_frame_address(0))).outermost != Address();
}

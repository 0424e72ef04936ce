#include "fault/watched_code.h"

#include "fault/interrupt.h"
#include "fault/terminate.h"
#include "fault/trap.h"

using namespace nomad;

WatchedCode::WatchedCode(Range code, Range thunks, OwnerIndex &owners) : range_(code, thunks, owners) {
  listenForTraps();
  listenForTerminate();
  announceCode(id(), *codeThread());
}

WatchedCode::~WatchedCode() {
  retireCode(id());
  if (range_.isOnlyOne())
    retireThread(*codeThread());
}

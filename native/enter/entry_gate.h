// Between an entry stub and its log: keeps what a function's arguments may be in, and does what the log orders.
#pragma once

#include "base/address.h"

namespace nomad {

/// What EntryWatch calls, with an EntryLog as its context.
Address entryGate();

} // namespace nomad

// What is said of a trap, and on stderr of a fault that ends the process.
#pragma once

#include "fault/trap.h"

#include <csignal>

namespace nomad {

struct Fault {
  int signal;
  const siginfo_t &info;
  Address pc;
  std::optional<Address> jumpedTo; // where code went and there is none
  bool isStackOverflow;
};

/// Kind, message and address.
void describeFault(const Fault &fault, TrapException &trap);

/// Where a frame is, given an address in its instruction.
TrapFrame frameAt(const CodeThread &thread, Address code);

/// "f+0x12": where the first frame is.
std::string placeOf(const ErrorDetails &details);

/// One line for a fault that code has to do with and that stays fatal; by what a handler may call in any state. `thread` may be
/// null.
void warnOfFault(const CodeThread *thread, const Fault &fault);

} // namespace nomad

// The process's signal handlers, of which there is one for all of ours, and the alternate stacks that it runs on.
//
// Installed once and never taken back: a handler installed over ours in the meantime must not be lost. A signal is shown to
// those that claim signals; an unclaimed one goes to the earlier handler, as the kernel would have called it.
// Where another handler was set over ours, `watchSignals` puts ours in front again, and theirs is the one before.
//
// A claim runs in a signal handler: it may do what it has proved that the interrupted code was not in the middle of.
#pragma once

#include "base/address.h"

#include <csignal>
#include <span>
#include <ucontext.h>

namespace nomad {

/// Looks at a signal. False: it is not for this looker, and nothing has happened. May leave the handler another way than by
/// returning.
using SignalClaim = bool (*)(int signal, siginfo_t *info, ucontext_t *context);

/// Those that claim signals, in the order in which they are asked.
enum class SignalClaimant { Recovery, Code };
void claimSignals(SignalClaimant claimant, SignalClaim claim);

/// What a fault arrives as.
std::span<const int> faultSignals();
/// Sent to a thread that is to look whether its code should stop. Ignored unless a thread asks for it.
constexpr int interruptSignal = SIGURG;

/// From now on ours is the first handler of these.
void watchSignals(std::span<const int> signals);

/// Does any signal lead into `code`, now or after ours has handed it on?
bool isSignalHandlerIn(Range code);

/// Gives this thread a stack for signal handlers, for as long as the thread lives, unless it has one already: false.
bool ensureAlternateStack();

/// Is the signal a fault, or one that the thread has sent itself, as `abort` does? Else it comes from somewhere else.
bool isOwnSignal(const siginfo_t &info);

} // namespace nomad

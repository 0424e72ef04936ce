// The world outside of a Jit: a host that runs host functions and is told of errors, and the argument block.
#pragma once

#include "enter/host_table.h"
#include "memory/entry_table.h"

#include "llvm/Support/Error.h"

namespace nomad {

/// Runs host functions, and is told of exceptions that leave code through a call thunk.
class Host {
public:
  virtual ~Host() = default;
  /// The exception for JS when code has been left, as if a host function had thrown it.
  virtual void willThrow(llvm::Error error) = 0;
  /// Parameters and result are in the argument block. False: it threw, and code has to be left.
  virtual bool call(HostIndex index) = 0;
  /// The same for code that no JS has called: native code has, through an entry stub. What it throws is reported as an uncaught
  /// exception, and there is no result then.
  virtual void callFromNative(HostIndex index) = 0;
  /// Code has been left because a host function threw.
  virtual void left() = 0;
  /// Something went wrong in code that is about to return to JS: a C++ exception left it (Trap), it called a host function on
  /// another thread (State).
  virtual void uncaught(llvm::Error error) = 0;
  /// The exception by which code was left is dropped.
  virtual void drop() = 0;
};

struct Outside {
  /// Bytes of the argument block that are parameters; the entry index comes after them.
  static constexpr Size blockParameterBytes = 8 * 1000;
  static constexpr Size blockBytes = blockParameterBytes + 8;

  Address block;        // the argument block: `blockBytes` that stay where they are
  Host *host = nullptr; // null: there is none, yet or any more

  /// Of the innermost call.
  EntryIndex &enteredFunction() const { return *(block + blockParameterBytes).pointer<EntryIndex>(); }
  void setNoResult() const { *block.pointer<std::uint64_t>() = 0; }
  void report(llvm::Error error) const {
    if (host)
      host->uncaught(std::move(error));
    else
      consumeError(std::move(error));
  }
};

} // namespace nomad

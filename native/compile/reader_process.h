// The helper process that reads bitcode, as this process sees it: a socket to it and its id.
//
// Always true: it inherits no file but the socket and hears none of the terminal's signals. When this process ends, its end of
// the socket is closed, and the helper ends too.
#pragma once

#include "compile/bitcode_protocol.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/MemoryBuffer.h"

#include <chrono>
#include <memory>
#include <string>
#include <sys/types.h>

namespace nomad::bitcode {

/// How a request ended.
enum class End {
  Answered,
  CannotStart, // Reply::error says why
  NoMemory,    // for the answer
  Late,
  Gone, // the helper process ended, or what it said is no answer
};

struct Reply {
  End end;
  Answer answer = Answer::Clean;
  int error = 0;
  std::unique_ptr<llvm::MemoryBuffer> content;
};

/// Not safe from several threads. Allocates nothing but the answer: whoever holds a lock around it can't be thrown out of it.
class ReaderProcess {
public:
  ReaderProcess() = default;
  ReaderProcess(const ReaderProcess &) = delete;
  ReaderProcess &operator=(const ReaderProcess &) = delete;
  ~ReaderProcess();

  /// Starts the process if there is none. If it does not answer in time, ends it.
  Reply ask(const char *executable, llvm::StringRef bitcode, std::chrono::milliseconds patience);

private:
  using Time = std::chrono::steady_clock::time_point;

  int start(const char *executable);
  void stop();
  Reply exchange(llvm::StringRef bitcode, Time deadline);
  End send(const void *data, std::size_t size, Time deadline);
  End receive(void *data, std::size_t size, Time deadline);
  End await(short event, Time deadline);

  std::uint64_t requests_ = 0;
  pid_t process_ = -1;
  int socket_ = -1;
};

} // namespace nomad::bitcode

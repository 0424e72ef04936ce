// A helper process, which reads bitcode or compiles, as this process sees it: a socket to it and its id.
//
// Always true: it inherits no file but the socket and hears none of the terminal's signals. When this process ends, its end of
// the socket is closed, and the helper ends too.
#pragma once

#include "compile/helper_protocol.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/MemoryBuffer.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

namespace nomad::helper {

/// How a request ended.
enum class End {
  Answered,
  CannotStart, // Reply::error says why
  NoMemory,    // for the answer
  Late,
  Interrupted, // the answer is no longer wanted
  Gone,        // the helper process ended, or what it said is no answer
};

struct Reply {
  End end;
  Answer answer = Answer::Clean;
  int error = 0;
  std::unique_ptr<llvm::MemoryBuffer> content;
};

/// Not safe from several threads. Allocates nothing but the answer: a caller with a lock can't be thrown out of it.
class HelperProcess {
public:
  HelperProcess() = default;
  HelperProcess(const HelperProcess &) = delete;
  HelperProcess &operator=(const HelperProcess &) = delete;
  ~HelperProcess();

  struct Patience {
    std::optional<std::chrono::milliseconds> time; // none: for ever
    int interruption = -1;                         // a file that is readable when the answer is no longer wanted
  };

  /// Starts the process if there is none, or if it has ended before it had the request. Fills in the request's number and size.
  /// Unless there is an answer, the process is ended.
  Reply ask(const char *executable, RequestHeader request, llvm::StringRef content, const Patience &patience);

private:
  using Time = std::chrono::steady_clock::time_point;

  int start(const char *executable);
  void stop();
  Reply tryOnce(const char *executable, RequestHeader request, llvm::StringRef content, Time deadline);
  Reply exchange(const RequestHeader &request, llvm::StringRef content, Time deadline);
  Reply answerTo(const RequestHeader &request, Time deadline);
  End receiveHeader(AnswerHeader &header, const RequestHeader &request, Time deadline);
  End send(const void *data, std::size_t size, Time deadline);
  End receive(void *data, std::size_t size, Time deadline);
  End await(short event, Time deadline);

  std::uint64_t requests_ = 0;
  bool hasBegun_ = false; // the present request
  pid_t process_ = -1;
  int socket_ = -1;
  int interruption_ = -1; // of the present request
};

} // namespace nomad::helper

// The helper process that reads bitcode (compile/bitcode_reader.h): in, requests on the socket that is its standard input; out,
// answers on the same socket (compile/bitcode_protocol.h). It ends where the socket does.
//
// Each request is read by a child of its own, forked beforehand from a process that never reads any. What bitcode does to LLVM
// and to the heap ends with that child, and the next one finds everything as it was. Its limits end a child that loops or takes
// too much, even when nobody waits for it any more.
#include "compile/bitcode_protocol.h"

#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/IRReader/IRReader.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MemoryBufferRef.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/SourceMgr.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace llvm;
using namespace nomad::bitcode;

namespace {

constexpr int channel = 0;

// The number of the request that the present child has received, 0 before that: shared with it, so that its parent can answer for
// it.
std::uint64_t *received;

// ---- the socket ----

bool receive(void *data, size_t size) {
  for (auto *next = static_cast<char *>(data), *limit = next + size; next != limit;) {
    ssize_t got = recv(channel, next, static_cast<size_t>(limit - next), 0);
    if (got == 0 || (got < 0 && errno != EINTR))
      return false;
    next += got > 0 ? got : 0;
  }
  return true;
}

void send(const void *data, size_t size) {
  for (auto *next = static_cast<const char *>(data), *limit = next + size; next != limit;) {
    ssize_t sent = ::send(channel, next, static_cast<size_t>(limit - next), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR)
      _exit(1); // nobody listens
    next += sent > 0 ? sent : 0;
  }
}

void answer(Answer kind, StringRef content) {
  AnswerHeader header = {*received, content.size(), kind};
  send(&header, sizeof header);
  send(content.data(), content.size());
}

// ---- one request ----

// What a child says is its last word: what it has built is not worth taking down, and may be damaged.
[[noreturn]] void finish(Answer kind, StringRef content) {
  // An answer is whole or none, however long the other side takes to fetch it.
  itimerval none = {};
  setitimer(ITIMER_PROF, &none, nullptr);
  alarm(0);
  answer(kind, content);
  _exit(0);
}

[[noreturn]] void onFatalError(void *, const char *reason, bool) { finish(Answer::CannotGoOn, reason); }
[[noreturn]] void onOutOfMemory() { onFatalError(nullptr, "out of memory", false); }

void limit(__rlimit_resource_t resource, rlim_t wanted) {
  rlimit now = {};
  getrlimit(resource, &now);
  now.rlim_cur = std::min(wanted, now.rlim_cur); // whoever started us may have set a lower one
  setrlimit(resource, &now);
}

void dieWith(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) // it died before that
    _exit(1);
}

void limitReading(size_t bytes) {
  limit(RLIMIT_AS, addressSpaceFor(bytes));
  // A loop takes processor time; what waits for something that never comes does not.
  itimerval processor = {{}, {static_cast<time_t>(secondsFor(bytes)), 0}};
  setitimer(ITIMER_PROF, &processor, nullptr);
  alarm(static_cast<unsigned>(patienceSecondsFor(bytes) + 1));
}

class Reading {
public:
  explicit Reading(StringRef bitcode) {
    context_.setDiagnosticHandlerCallBack([](const DiagnosticInfo *, void *) {}, nullptr);
    module_ = parseIR(MemoryBufferRef(bitcode, "bitcode"), diagnostic_, context_);
  }
  Module *module() { return module_.get(); }
  StringRef message() const { return diagnostic_.getMessage(); }

private:
  LLVMContext context_;
  SMDiagnostic diagnostic_;
  std::unique_ptr<Module> module_;
};

// Strips debug information: nobody reads it, and the less comes back the less can be wrong with it.
SmallVector<char, 0> rewritten(Module &module) {
  StripDebugInfo(module);
  SmallVector<char, 0> bytes;
  raw_svector_ostream stream(bytes);
  WriteBitcodeToFile(module, stream);
  return bytes;
}

[[noreturn]] void read(StringRef bitcode) {
  Reading first(bitcode);
  if (!first.module())
    finish(Answer::ParseError, first.message());
  std::string text;
  raw_string_ostream stream(text);
  bool brokenDebugInfo = false;
  if (verifyModule(*first.module(), &stream, &brokenDebugInfo))
    finish(Answer::VerifyError, StringRef(text).rtrim());
  SmallVector<char, 0> bytes = rewritten(*first.module());
  // What LLVM's reader makes of LLVM's own writing is tried here too: what it can't survive, nobody else should read.
  Reading second(StringRef(bytes.data(), bytes.size()));
  if (!second.module())
    finish(Answer::CannotGoOn, ("it does not read what it wrote: " + second.message()).str());
  finish(Answer::Clean, StringRef(bytes.data(), bytes.size()));
}

// ---- one after the other ----

constexpr int noRequest = 1;

[[noreturn]] void serveOne(pid_t parent) {
  dieWith(parent);
  RequestHeader request = {};
  if (!receive(&request, sizeof request))
    _exit(noRequest);
  std::unique_ptr<char[]> bitcode(new (std::nothrow) char[request.bytes]);
  if (!bitcode || !receive(bitcode.get(), request.bytes))
    _exit(noRequest);
  *received = request.number;
  install_fatal_error_handler(onFatalError);
  install_bad_alloc_error_handler(onFatalError);
  std::set_new_handler(onOutOfMemory);
  limitReading(request.bytes);
  read(StringRef(bitcode.get(), request.bytes));
}

// What a child could not say itself. False if it had no request, or could not answer.
bool answerFor(int status) {
  if (!WIFSIGNALED(status))
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (*received == 0)
    return false;
  int signal = WTERMSIG(status);
  if (signal == SIGPROF || signal == SIGALRM)
    answer(Answer::TookTooLong, "");
  else
    answer(Answer::Crashed, strsignal(signal));
  return true;
}

// Once, in the process that children are forked from: they find LLVM's code mapped and bound.
void warmUp() {
  LLVMContext context;
  Module module("", context);
  SmallVector<char, 0> bytes = rewritten(module);
  Reading again(StringRef(bytes.data(), bytes.size()));
  (void)verifyModule(*again.module());
}

} // namespace

int main() {
  limit(RLIMIT_CORE, 0);
  prctl(PR_SET_DUMPABLE, 0); // the limit above does not count where dumps go to a program
  warmUp();
  void *page = mmap(nullptr, sizeof *received, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    return 1;
  received = static_cast<std::uint64_t *>(page);
  for (pid_t self = getpid();;) {
    *received = 0;
    pid_t child = fork();
    if (child < 0)
      return 1;
    if (child == 0)
      serveOne(self);
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
      if (errno != EINTR)
        return 1;
    if (!answerFor(status))
      return 0;
  }
}

// A helper process: in, requests on the socket that is its standard input; out, answers on the same socket
// (compile/helper_protocol.h). It reads bitcode (compile/bitcode_reader.h) and compiles (compile/isolated_compile.h), and ends
// where the socket does.
//
// A child does the work, forked beforehand from a process that never does any. What bitcode does to LLVM and to the heap ends
// with the child that reads it, and the next one finds everything as it was. A child that compiles goes on to the next request,
// unless something went wrong in LLVM, or it has grown too large. Limits end a child that loops or takes too much, even when
// its answer is no longer wanted.
#include "base/error.h"
#include "base/recovery.h"
#include "compile/bitcode_reader.h"
#include "compile/compile_message.h"
#include "compile/helper_protocol.h"
#include "compile/target.h"
#include "reader/limits.h"

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
#include "llvm/Support/SmallVectorMemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <new>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace llvm;
using namespace nomad;
using namespace nomad::helper;

namespace {

constexpr int channel = 0;

// What the present child has received, shared with it, so that its parent can answer for it.
struct Received {
  std::uint64_t number; // 0: nothing
  Task task;
};
Received *received;

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
      _exit(1); // the other end is closed
    next += sent > 0 ? sent : 0;
  }
}

void answer(Answer kind, StringRef content) {
  AnswerHeader header = {received->number, content.size(), kind};
  send(&header, sizeof header);
  send(content.data(), content.size());
}

// ---- one request ----

// What a child says is its last word: what it has built is not worth taking down, and may be damaged.
[[noreturn]] void finish(Answer kind, StringRef content) {
  stopTimers(); // an answer is whole or none, however long the other side takes to fetch it
  answer(kind, content);
  _exit(0);
}

[[noreturn]] void onFatalError(void *, const char *reason, bool) { finish(Answer::CannotGoOn, reason); }
[[noreturn]] void onOutOfMemory() { onFatalError(nullptr, "out of memory", false); }

void dieWith(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) // it died before that
    _exit(1);
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

// Strips debug information: it is not used, and the less comes back the less can be wrong with it.
SmallVector<char, 0> rewritten(Module &module) {
  StripDebugInfo(module);
  SmallVector<char, 0> bytes;
  raw_svector_ostream stream(bytes);
  WriteBitcodeToFile(module, stream);
  return bytes;
}

// The same module as LLVM's own writer would have it.
Expected<SmallVector<char, 0>> clean(StringRef bitcode, StringRef name) {
  Reading first(bitcode);
  if (!first.module())
    return fail(ErrorCode::IRParse, name + first.message());
  std::string text;
  raw_string_ostream stream(text);
  bool brokenDebugInfo = false;
  if (verifyModule(*first.module(), &stream, &brokenDebugInfo))
    return fail(ErrorCode::IRVerify, name + StringRef(text).rtrim());
  SmallVector<char, 0> bytes = rewritten(*first.module());
  // What LLVM's reader makes of LLVM's own writing is tried here too: bytes that crash it are not passed on.
  Reading second(StringRef(bytes.data(), bytes.size()));
  if (!second.module())
    return fail(ErrorCode::Codegen, name + "it does not read what it wrote: " + second.message());
  return bytes;
}

[[noreturn]] void read(StringRef bitcode) {
  install_fatal_error_handler(onFatalError);
  install_bad_alloc_error_handler(onFatalError);
  std::set_new_handler(onOutOfMemory);
  limitReading(bitcode.size());
  auto bytes = clean(bitcode, "");
  if (bytes)
    finish(Answer::Clean, StringRef(bytes->data(), bytes->size()));
  Answer answer = Answer::CannotGoOn;
  std::string text;
  handleAllErrors(bytes.takeError(), [&](const CodedError &error) {
    answer = error.code == ErrorCode::IRParse    ? Answer::ParseError
             : error.code == ErrorCode::IRVerify ? Answer::VerifyError
                                                 : Answer::CannotGoOn;
    text = error.message;
  });
  finish(answer, text);
}

// ---- compiling ----

Expected<std::unique_ptr<MemoryBuffer>> readHere(StringRef bitcode, StringRef name) {
  auto bytes = clean(bitcode, (name + ": ").str());
  if (!bytes)
    return bytes.takeError();
  return std::make_unique<SmallVectorMemoryBuffer>(std::move(*bytes), name, false);
}

TargetMachinePool &machines() {
  static auto *const pool = new TargetMachinePool;
  return *pool;
}

// Standard error is a file in memory, emptied before each request. What LLVM has written there belongs to the error.
constexpr off_t mostSaid = 1 << 20;

void collectStandardError() {
  int file = memfd_create("stderr", MFD_CLOEXEC);
  if (file < 0)
    return;
  fcntl(file, F_SETFL, O_APPEND);
  dup2(file, STDERR_FILENO);
  close(file);
  signal(SIGXFSZ, SIG_IGN); // more is dropped
  rlimit size = {mostSaid, mostSaid};
  setrlimit(RLIMIT_FSIZE, &size);
}

std::string said() {
  std::string text(static_cast<size_t>(std::max<off_t>(lseek(STDERR_FILENO, 0, SEEK_END), 0)), '\0');
  ssize_t read = pread(STDERR_FILENO, text.data(), text.size(), 0);
  text.resize(static_cast<size_t>(std::max<ssize_t>(read, 0)));
  StringRef trimmed = StringRef(text).trim();
  return trimmed.empty() ? "" : "\n" + trimmed.str();
}

Expected<ObjectFile> compileWithin(const RequestHeader &header, ArrayRef<std::uint8_t> message) {
  StringRef source;
  CompileRequest request;
  if (Error error = decodeRequest(message, source, request))
    return error;
  RequestLimits limits(header);
  return compileSource(source, request, machines());
}

constexpr size_t mostResidentBytes = size_t{256} << 20;

// Returns if this process can go on to the next request.
void compile(const RequestHeader &header, ArrayRef<std::uint8_t> message) {
  size_t lost = abandonedCount();
  auto object = compileWithin(header, message);
  bool isWhole = abandonedCount() == lost;
  if (object) {
    answer(Answer::Compiled, toStringRef(encodeObjectFile(*object)));
  } else {
    std::string more = said();
    if (!isWhole && header.memoryBytes > 0)
      more = (" (compileLimits gave it " + Twine(header.memoryBytes) + " bytes)").str() + more;
    answer(Answer::Failed, toStringRef(encodeError(object.takeError(), more)));
  }
  if (!isWhole || memoryOfProcess().resident > mostResidentBytes)
    _exit(0);
}

// ---- one after the other ----

constexpr int noRequest = 1;

void receiveRequest(RequestHeader &request, std::unique_ptr<char[]> &content) {
  received->number = 0;
  if (!receive(&request, sizeof request))
    _exit(noRequest);
  content.reset(new (std::nothrow) char[request.bytes]);
  if (!content || !receive(content.get(), request.bytes))
    _exit(noRequest);
  (void)ftruncate(STDERR_FILENO, 0);
  received->task = request.task;
  received->number = request.number;
  answer(Answer::Begun, "");
}

[[noreturn]] void serve(pid_t parent) {
  dieWith(parent);
  for (;;) {
    RequestHeader request = {};
    std::unique_ptr<char[]> content;
    receiveRequest(request, content);
    StringRef bytes(content.get(), request.bytes);
    if (request.task == Task::Read)
      read(bytes);
    compile(request, arrayRefFromStringRef(bytes));
  }
}

// What a child could not say itself. False if it had no request, or could not answer.
bool answerFor(int status) {
  if (!WIFSIGNALED(status))
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (received->number == 0)
    return false;
  int signal = WTERMSIG(status);
  bool isCompile = received->task == Task::Compile;
  if (signal == SIGPROF || signal == SIGALRM)
    answer(Answer::TookTooLong, isCompile ? said() : "");
  else
    answer(Answer::Crashed, strsignal(signal) + (isCompile ? said() : ""));
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

// And, before the second child that compiles, with pipelines that have been used: those that come after crashes are ready sooner.
void warmUpForCompiling() {
  static bool isWarm = false;
  if (std::exchange(isWarm, true))
    return;
  for (OptLevel level : {OptLevel::O0, OptLevel::O2})
    consumeError(compileSource("define i32 @f(i32 %x) { ret i32 %x }", {"warm up", level}, machines()).takeError());
}

// Waits for the child, and ends it when the other end of the socket is closed. Its status.
int awaitEnd(pid_t child) {
  sigset_t none;
  sigemptyset(&none);
  for (;;) {
    int status = 0;
    pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child)
      return status;
    if (ended < 0 && errno != EINTR)
      _exit(1);
    pollfd descriptor = {channel, POLLRDHUP, 0};
    if (ppoll(&descriptor, 1, nullptr, &none) > 0) { // else interrupted: SIGCHLD is let in only here
      kill(child, SIGKILL);
      _exit(0);
    }
  }
}

void hearOfChildren() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(SIGCHLD, &action, nullptr);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, nullptr);
}

} // namespace

int main() {
  limit(RLIMIT_CORE, 0);
  prctl(PR_SET_DUMPABLE, 0); // the limit above does not count where dumps go to a program
  collectStandardError();
  setBitcodeReader(readHere);
  warmUp();
  hearOfChildren();
  void *page = mmap(nullptr, sizeof *received, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    return 1;
  received = static_cast<Received *>(page);
  for (pid_t self = getpid();;) {
    if (received->task == Task::Compile)
      warmUpForCompiling();
    received->number = 0;
    pid_t child = fork();
    if (child < 0)
      return 1;
    if (child == 0)
      serve(self);
    if (!answerFor(awaitEnd(child)))
      return 0;
  }
}

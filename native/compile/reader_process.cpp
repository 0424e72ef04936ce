#include "compile/reader_process.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace nomad::bitcode;
using llvm::StringRef;
using std::chrono::steady_clock;

namespace {

// What the helper process starts with: the socket as its standard input and nothing else, default signals, a process group of its
// own (a terminal's interrupt is for whoever started us; and a reading that hangs is ended with it).
class SpawnPlan {
public:
  explicit SpawnPlan(int socket) {
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, socket, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnPlan(const SpawnPlan &) = delete;
  SpawnPlan &operator=(const SpawnPlan &) = delete;

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

} // namespace

ReaderProcess::~ReaderProcess() {
  if (process_ > 0)
    stop();
}

Reply ReaderProcess::ask(const char *executable, StringRef bitcode, std::chrono::milliseconds patience) {
  // A second time, because the process may have ended since the last request: somebody killed it.
  for (int attempt = 0;; ++attempt) {
    if (int error = start(executable))
      return {End::CannotStart, {}, error, nullptr};
    Reply reply = exchange(bitcode, steady_clock::now() + patience);
    if (reply.end == End::Answered)
      return reply;
    stop();
    if (reply.end != End::Gone || attempt > 0)
      return reply;
  }
}

int ReaderProcess::start(const char *executable) {
  if (process_ > 0)
    return 0;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return errno;
  SpawnPlan plan(ends[1]);
  char *arguments[] = {const_cast<char *>(executable), nullptr};
  pid_t process = -1;
  int error = posix_spawn(&process, executable, &plan.files, &plan.attributes, arguments, environ);
  close(ends[1]);
  if (error) {
    close(ends[0]);
    return error;
  }
  process_ = process;
  socket_ = ends[0];
  return 0;
}

void ReaderProcess::stop() {
  close(socket_);
  // It is its group's leader, which the reading under way belongs to.
  if (kill(-process_, SIGKILL) != 0)
    kill(process_, SIGKILL);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR)
    ;
  process_ = socket_ = -1;
}

Reply ReaderProcess::exchange(StringRef bitcode, Time deadline) {
  RequestHeader request = {++requests_, bitcode.size()};
  AnswerHeader header = {};
  End end = send(&request, sizeof request, deadline);
  if (end == End::Answered)
    end = send(bitcode.data(), bitcode.size(), deadline);
  if (end == End::Answered)
    end = receive(&header, sizeof header, deadline);
  if (end != End::Answered)
    return {end, {}, 0, nullptr};
  if (header.number != request.number || header.kind > Answer::TookTooLong || header.bytes > answerLimitFor(request.bytes))
    return {End::Gone, {}, 0, nullptr};
  auto content = llvm::WritableMemoryBuffer::getNewUninitMemBuffer(header.bytes);
  if (!content)
    return {End::NoMemory, {}, 0, nullptr};
  end = receive(content->getBufferStart(), header.bytes, deadline);
  return {end, header.kind, 0, std::move(content)};
}

End ReaderProcess::send(const void *data, std::size_t size, Time deadline) {
  auto *next = static_cast<const char *>(data);
  for (auto *limit = next + size; next != limit;) {
    ssize_t sent = ::send(socket_, next, static_cast<std::size_t>(limit - next), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0)
      next += sent;
    else if (errno == EAGAIN) {
      if (End end = await(POLLOUT, deadline); end != End::Answered)
        return end;
    } else if (errno != EINTR)
      return End::Gone;
  }
  return End::Answered;
}

End ReaderProcess::receive(void *data, std::size_t size, Time deadline) {
  auto *next = static_cast<char *>(data);
  for (auto *limit = next + size; next != limit;) {
    ssize_t received = recv(socket_, next, static_cast<std::size_t>(limit - next), MSG_DONTWAIT);
    if (received > 0)
      next += received;
    else if (received == 0)
      return End::Gone;
    else if (errno == EAGAIN) {
      if (End end = await(POLLIN, deadline); end != End::Answered)
        return end;
    } else if (errno != EINTR)
      return End::Gone;
  }
  return End::Answered;
}

// Looks at the socket at least once: if this process was stopped for a while, the answer may be there although time is up.
End ReaderProcess::await(short event, Time deadline) {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd descriptor = {socket_, event, 0};
    int ready = poll(&descriptor, 1, static_cast<int>(std::clamp<long>(left, 0, INT_MAX)));
    if (ready > 0)
      return End::Answered;
    if (ready == 0 && left < INT_MAX)
      return End::Late;
    if (ready < 0 && errno != EINTR)
      return End::Gone;
  }
}

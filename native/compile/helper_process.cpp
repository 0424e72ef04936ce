#include "compile/helper_process.h"

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

using namespace nomad::helper;
using llvm::StringRef;
using std::chrono::steady_clock;

namespace {

// What the helper process starts with: the socket as its standard input and nothing else, default signals, a process group of its
// own (a terminal's interrupt is for our parent; and a reading that hangs is ended with it).
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

HelperProcess::~HelperProcess() {
  if (process_ > 0)
    stop();
}

Reply HelperProcess::ask(const char *executable, RequestHeader request, StringRef content, const Patience &patience) {
  Time deadline = patience.time ? steady_clock::now() + *patience.time : Time::max();
  request.bytes = content.size();
  interruption_ = patience.interruption;
  Reply reply = tryOnce(executable, request, content, deadline);
  // Somebody has killed it since the last request. That can't be seen beforehand: its child ends later, and has the socket too.
  if (reply.end == End::Gone && !hasBegun_)
    reply = tryOnce(executable, request, content, deadline);
  return reply;
}

Reply HelperProcess::tryOnce(const char *executable, RequestHeader request, StringRef content, Time deadline) {
  hasBegun_ = false;
  if (int error = start(executable))
    return {End::CannotStart, {}, error, nullptr};
  request.number = ++requests_;
  Reply reply = exchange(request, content, deadline);
  if (reply.end != End::Answered)
    stop();
  return reply;
}

int HelperProcess::start(const char *executable) {
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

void HelperProcess::stop() {
  close(socket_);
  // It is its group's leader, which the reading under way belongs to.
  if (kill(-process_, SIGKILL) != 0)
    kill(process_, SIGKILL);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR)
    ;
  process_ = socket_ = -1;
}

Reply HelperProcess::exchange(const RequestHeader &request, StringRef content, Time deadline) {
  End end = send(&request, sizeof request, deadline);
  if (end == End::Answered)
    end = send(content.data(), content.size(), deadline);
  return end == End::Answered ? answerTo(request, deadline) : Reply{end, {}, 0, nullptr};
}

Reply HelperProcess::answerTo(const RequestHeader &request, Time deadline) {
  AnswerHeader header = {};
  End end = receiveHeader(header, request, deadline);
  hasBegun_ = end == End::Answered;
  if (hasBegun_ && header.kind == Answer::Begun)
    end = receiveHeader(header, request, deadline);
  if (end != End::Answered)
    return {end, {}, 0, nullptr};
  auto answer = llvm::WritableMemoryBuffer::getNewUninitMemBuffer(header.bytes);
  if (!answer)
    return {End::NoMemory, {}, 0, nullptr};
  end = receive(answer->getBufferStart(), header.bytes, deadline);
  return {end, header.kind, 0, std::move(answer)};
}

End HelperProcess::receiveHeader(AnswerHeader &header, const RequestHeader &request, Time deadline) {
  End end = receive(&header, sizeof header, deadline);
  bool isAnswer = header.number == request.number && header.kind <= Answer::Failed && header.bytes <= answerLimitFor(request);
  return end == End::Answered && !isAnswer ? End::Gone : end;
}

End HelperProcess::send(const void *data, std::size_t size, Time deadline) {
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

End HelperProcess::receive(void *data, std::size_t size, Time deadline) {
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
End HelperProcess::await(short event, Time deadline) {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd descriptors[] = {{socket_, event, 0}, {interruption_, POLLIN, 0}}; // a negative one is passed over
    int ready = poll(descriptors, 2, static_cast<int>(std::clamp<long>(left, 0, INT_MAX)));
    if (ready > 0)
      return descriptors[0].revents != 0 ? End::Answered : End::Interrupted;
    if (ready == 0 && left < INT_MAX)
      return End::Late;
    if (ready < 0 && errno != EINTR)
      return End::Gone;
  }
}

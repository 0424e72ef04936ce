#include "compile/isolated_compile.h"

#include "base/error.h"
#include "compile/bitcode_reader.h"
#include "compile/compile_message.h"
#include "compile/helper_process.h"

#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

using namespace nomad;
using namespace llvm;
using helper::Answer;
using helper::End;
using helper::HelperProcess;

namespace {

constexpr size_t mostIdle = 4; // more compiles than this at once are rare

// The helper watches the time itself; this is for one that can't.
constexpr std::chrono::milliseconds grace{2000};

// Lends helper processes out, one for each compile. Never destroyed: a thread may be waiting while the process exits.
class Helpers {
public:
  std::unique_ptr<HelperProcess> take() {
    std::lock_guard lock(mutex_);
    if (idle_.empty())
      return std::make_unique<HelperProcess>();
    auto helper = std::move(idle_.back());
    idle_.pop_back();
    return helper;
  }
  void giveBack(std::unique_ptr<HelperProcess> helper) {
    std::lock_guard lock(mutex_);
    if (idle_.size() < mostIdle)
      idle_.push_back(std::move(helper));
  }

  const std::string executable = helperPath();

private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<HelperProcess>> idle_;
};

Helpers &helpers() {
  static auto *const instance = new Helpers;
  return *instance;
}

helper::Reply ask(ArrayRef<std::uint8_t> message, const CompileRequest &request) {
  helper::RequestHeader header{
      .task = helper::Task::Compile, .milliseconds = request.limits.milliseconds, .memoryBytes = request.limits.bytes};
  HelperProcess::Patience patience;
  if (request.limits.milliseconds > 0)
    patience.time = std::chrono::milliseconds(request.limits.milliseconds) + grace;
  if (request.interruption)
    patience.interruption = request.interruption->file();
  auto helper = helpers().take();
  helper::Reply reply = helper->ask(helpers().executable.c_str(), header, toStringRef(message), patience);
  if (reply.end == End::Answered)
    helpers().giveBack(std::move(helper));
  return reply;
}

Error tookTooLong(const CompileRequest &request, StringRef said) {
  return fail(ErrorCode::Codegen, request.name + ": LLVM took more than the " + Twine(request.limits.milliseconds) +
                                      " milliseconds of compileLimits" + said);
}

Error unanswered(const helper::Reply &reply, const CompileRequest &request) {
  switch (reply.end) {
  case End::CannotStart:
    return fail(ErrorCode::Codegen,
                request.name + ": the helper process '" + helpers().executable + "' can't be started: " + strerror(reply.error));
  case End::NoMemory:
    return fail(ErrorCode::Codegen, request.name + ": out of memory for the object file");
  case End::Late:
    return tookTooLong(request, "");
  case End::Interrupted:
    return fail(ErrorCode::Codegen, request.name + ": the compile was interrupted");
  case End::Gone:
  case End::Answered:
    break;
  }
  return fail(ErrorCode::Codegen, request.name + ": the helper process that compiles ended without an answer");
}

Expected<ObjectFile> compile(StringRef source, const CompileRequest &request) {
  helper::Reply reply = ask(encodeRequest(source, request), request);
  if (reply.end != End::Answered)
    return unanswered(reply, request);
  StringRef content = reply.content->getBuffer();
  switch (reply.answer) {
  case Answer::Compiled:
    return decodeObjectFile(arrayRefFromStringRef(content), request.name);
  case Answer::Failed:
    return decodeError(arrayRefFromStringRef(content), request.name);
  case Answer::Crashed:
    return fail(ErrorCode::Codegen, request.name + ": LLVM crashed: " + content);
  case Answer::TookTooLong:
    return tookTooLong(request, content);
  default:
    return unanswered({End::Gone, {}, 0, nullptr}, request);
  }
}

} // namespace

Expected<ObjectFile> nomad::compileIsolated(StringRef source, const CompileRequest &request) {
  try {
    return compile(source, request);
  } catch (const std::bad_alloc &) {
    return fail(ErrorCode::Codegen, request.name + ": out of memory");
  }
}

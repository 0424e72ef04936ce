#include "compile/bitcode_reader.h"

#include "base/error.h"
#include "compile/helper_process.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <atomic>
#include <cstring>
#include <dlfcn.h>
#include <mutex>

using namespace nomad;
using namespace llvm;
using helper::Answer;
using helper::End;

namespace {

constexpr const char *blame = " (the bitcode is damaged, or LLVM has a defect)";

// Never destroyed: a pool thread may be asking while the process exits.
struct Shared {
  std::mutex mutex;
  helper::HelperProcess process;
  const std::string executable = helperPath();
};

Shared &shared() {
  static auto *const instance = new Shared;
  return *instance;
}

Error tookTooLong(StringRef bitcode, StringRef name) {
  auto seconds = helper::secondsFor(bitcode.size());
  return fail(ErrorCode::Codegen, name + ": LLVM's bitcode reader took more than " + Twine(seconds) + " seconds" + blame);
}

Error unanswered(const helper::Reply &reply, StringRef bitcode, StringRef name) {
  const std::string &executable = shared().executable;
  switch (reply.end) {
  case End::CannotStart:
    return fail(ErrorCode::Codegen, name + ": bitcode is read by a helper process, and '" + executable +
                                        "' can't be started: " + strerror(reply.error));
  case End::NoMemory:
    return fail(ErrorCode::Codegen, name + ": out of memory for what LLVM's bitcode reader answers");
  case End::Late:
    return tookTooLong(bitcode, name);
  case End::Interrupted:
  case End::Gone:
  case End::Answered:
    break;
  }
  return fail(ErrorCode::Codegen,
              name + ": the helper process that reads bitcode ('" + executable + "') ended without an answer");
}

} // namespace

std::string nomad::helperPath() {
  Dl_info info = {};
  bool found = dladdr(reinterpret_cast<void *>(&nomad::helperPath), &info) && info.dli_fname;
  SmallString<256> path(found ? info.dli_fname : "");
  // An executable's name is what it was called by.
  if (!sys::path::is_absolute(path) && sys::fs::real_path("/proc/self/exe", path))
    path.clear();
  sys::path::remove_filename(path);
  sys::path::append(path, "nomad_bitcode_reader");
  return path.str().str();
}

namespace {

std::atomic<ReadBitcode> ownReader = nullptr;

helper::Reply ask(StringRef bitcode) {
  const helper::RequestHeader request{.task = helper::Task::Read};
  std::chrono::seconds patience(helper::patienceSecondsFor(bitcode.size()));
  std::lock_guard lock(shared().mutex);
  return shared().process.ask(shared().executable.c_str(), request, bitcode, {patience});
}

} // namespace

void nomad::setBitcodeReader(ReadBitcode reader) { ownReader = reader; }

Expected<std::unique_ptr<MemoryBuffer>> nomad::readBitcode(StringRef bitcode, StringRef name) {
  if (ReadBitcode reader = ownReader)
    return reader(bitcode, name);
  helper::Reply reply = ask(bitcode);
  if (reply.end == End::Gone) // somebody has killed it
    reply = ask(bitcode);
  if (reply.end != End::Answered)
    return unanswered(reply, bitcode, name);
  StringRef text = reply.content->getBuffer();
  switch (reply.answer) {
  case Answer::Clean:
    return std::move(reply.content);
  case Answer::ParseError:
    return fail(ErrorCode::IRParse, name + ": " + text);
  case Answer::VerifyError:
    return fail(ErrorCode::IRVerify, name + ": " + text);
  case Answer::CannotGoOn:
    return fail(ErrorCode::Codegen, name + ": LLVM cannot go on: " + text);
  case Answer::Crashed:
    return fail(ErrorCode::Codegen, name + ": LLVM's bitcode reader crashed: " + text + blame);
  case Answer::TookTooLong:
    return tookTooLong(bitcode, name);
  case Answer::Begun:
  case Answer::Compiled:
  case Answer::Failed:
    break;
  }
  return unanswered({End::Gone, {}, 0, nullptr}, bitcode, name);
}

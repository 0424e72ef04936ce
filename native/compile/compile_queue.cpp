#include "compile/compile_queue.h"

#include "llvm/Support/Threading.h"

#include <utility>

using namespace nomad;
using namespace llvm;

namespace {

constexpr const char *threadName = "nomad-compile";

// For debuggers, profilers and /proc; LLVM's pool has named its threads already.
void nameThread() {
  thread_local bool isNamed = false;
  if (!std::exchange(isNamed, true))
    set_thread_name(threadName);
}

} // namespace

CompileQueue::CompileQueue(unsigned threads, std::shared_ptr<TargetMachinePool> machines, std::function<void()> whenReady)
    : machines_(std::move(machines)), whenReady_(std::move(whenReady)), pool_(hardware_concurrency(threads)) {}

CompileQueue::~CompileQueue() { cancel(); }

void CompileQueue::add(std::string source, CompileRequest request, IsKnown isKnown) {
  auto job = std::make_shared<Job>(Job{std::move(source), std::move(request), std::move(isKnown), std::nullopt});
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(job);
  }
  pool_.async([this, job] { run(*job); });
}

bool CompileQueue::begin() {
  std::lock_guard lock(mutex_);
  running_ += !isCancelled_;
  return !isCancelled_;
}

void CompileQueue::run(Job &job) {
  nameThread();
  if (!begin())
    return;
  bool isKnown = job.isKnown && job.isKnown(job.source);
  auto result = isKnown ? Expected<ObjectFile>(ObjectFile()) : compileSource(job.source, job.request, *machines_);
  job.source = std::string();
  bool isNext = false;
  {
    std::lock_guard lock(mutex_);
    --running_;
    job.result.emplace(std::move(result));
    if (isCancelled_)
      drop(job);
    else
      isNext = jobs_.front().get() == &job;
  }
  if (isNext)
    whenReady_();
}

std::optional<Expected<ObjectFile>> CompileQueue::take() {
  std::shared_ptr<Job> job;
  bool isNextReady = false;
  {
    std::lock_guard lock(mutex_);
    if (jobs_.empty() || !jobs_.front()->result)
      return std::nullopt;
    job = std::move(jobs_.front());
    jobs_.pop_front();
    isNextReady = !jobs_.empty() && jobs_.front()->result;
  }
  if (isNextReady)
    whenReady_();
  return std::move(job->result);
}

void CompileQueue::cancel() {
  std::lock_guard lock(mutex_);
  isCancelled_ = true;
  for (const std::shared_ptr<Job> &job : jobs_)
    drop(*job);
  jobs_.clear();
}

void CompileQueue::drop(Job &job) {
  if (job.result && !*job.result)
    consumeError(job.result->takeError());
}

bool CompileQueue::isIdle() {
  std::lock_guard lock(mutex_);
  return running_ == 0;
}

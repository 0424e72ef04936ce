#include "compile/compile_queue.h"

#include "base/error.h"

#include "llvm/Support/Threading.h"

#include <exception>
#include <utility>

using namespace nomad;
using namespace llvm;

CompileQueue::CompileQueue(unsigned threads, std::shared_ptr<TargetMachinePool> machines, std::function<void()> whenReady)
    : mostThreads_(threads), machines_(std::move(machines)), whenReady_(std::move(whenReady)) {}

CompileQueue::~CompileQueue() {
  cancel();
  for (std::thread &thread : threads_)
    thread.join();
}

void CompileQueue::add(std::string source, CompileRequest request, IsKnown isKnown) {
  auto job = std::make_shared<Job>(Job{std::move(source), std::move(request), std::move(isKnown), std::nullopt});
  job->request.interruption = &interruption_;
  std::string problem;
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(job);
    if (haveThread(problem)) {
      waiting_.push_back(job);
      wake_.notify_one();
      return;
    }
  }
  finish(*job, fail(ErrorCode::Codegen, job->request.name + ": no thread can be made to compile on: " + problem));
}

// Another one, if all have something to do and there may be more; else those that there are will come to it.
bool CompileQueue::haveThread(std::string &problem) {
  if (threads_.size() < mostThreads_ && idle_ <= waiting_.size()) {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::exception &exception) {
      problem = exception.what();
    }
  }
  return !threads_.empty();
}

void CompileQueue::work() {
  set_thread_name("nomad-compile"); // for debuggers, profilers and /proc
  while (std::shared_ptr<Job> job = next()) {
    Result result = compile(*job);
    job->source = std::string();
    {
      std::lock_guard lock(mutex_);
      --running_;
    }
    finish(*job, std::move(result));
  }
}

// Null when it is over.
std::shared_ptr<CompileQueue::Job> CompileQueue::next() {
  std::unique_lock lock(mutex_);
  ++idle_;
  wake_.wait(lock, [this] { return isCancelled_ || !waiting_.empty(); });
  --idle_;
  if (isCancelled_)
    return nullptr;
  ++running_;
  std::shared_ptr<Job> job = std::move(waiting_.front());
  waiting_.pop_front();
  return job;
}

CompileQueue::Result CompileQueue::compile(Job &job) {
  try {
    if (job.isKnown && job.isKnown(job.source))
      return ObjectFile();
    return compileSource(job.source, job.request, *machines_);
  } catch (const std::exception &exception) { // outside of LLVM: out of memory
    return fail(ErrorCode::Codegen, job.request.name + ": " + exception.what());
  }
}

void CompileQueue::finish(Job &job, Result result) {
  bool isNext = false;
  {
    std::lock_guard lock(mutex_);
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
  interruption_.interrupt();
  wake_.notify_all();
  waiting_.clear();
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

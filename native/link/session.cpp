#include "link/session.h"

#include "base/error.h"

#include "llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h"

using namespace nomad;
using namespace llvm;

Reports::~Reports() {
  if (first_)
    consumeError(std::move(*first_));
}

void Reports::listenTo(orc::ExecutionSession &execution) {
  execution.setErrorReporter([this](Error error) {
    if (first_)
      consumeError(std::move(error));
    else
      first_.emplace(std::move(error));
  });
}

Error Reports::firstOf(Error returned) {
  if (!first_)
    return returned;
  consumeError(std::move(returned));
  Error first = std::move(*first_);
  first_.reset();
  return first;
}

Expected<std::unique_ptr<orc::ExecutorProcessControl>> nomad::makeProcessControl() {
  auto process = orc::SelfExecutorProcessControl::Create(nullptr, std::make_unique<orc::InPlaceTaskDispatcher>());
  if (!process)
    return withCode(ErrorCode::Link, "ORC can't run here", process.takeError());
  return std::move(*process);
}

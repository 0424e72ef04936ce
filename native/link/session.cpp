#include "link/session.h"

#include "base/error.h"
#include "base/recovery.h"

#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/ObjectFileInterface.h"
#include "llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::orc;

namespace {

// An unclaimed weak definition becomes an external symbol.
SymbolFlagsMap onlyWeakAnd(const SymbolStringPtr &name, const SymbolFlagsMap &all) {
  SymbolFlagsMap claimed;
  for (const auto &[each, flags] : all)
    if (flags.isWeak() || each == name)
      claimed[each] = flags;
  return claimed;
}

} // namespace

Expected<std::unique_ptr<Session>> Session::create() {
  auto process = SelfExecutorProcessControl::Create(nullptr, std::make_unique<InPlaceTaskDispatcher>());
  if (!process)
    return withCode(ErrorCode::Link, "ORC can't run here", process.takeError());
  return std::unique_ptr<Session>(new Session(std::move(*process)));
}

Session::Session(std::unique_ptr<ExecutorProcessControl> process)
    : execution_(std::move(process)), scratch_(&execution_.createBareJITDylib("scratch")) {
  execution_.setErrorReporter([this](Error error) {
    if (reported_)
      consumeError(std::move(error));
    else
      reported_.emplace(std::move(error));
  });
}

Session::~Session() {
  cantFail(execution_.endSession());
  if (reported_)
    consumeError(std::move(*reported_));
}

Error Session::link(MemoryBufferRef bytes, Claims claims, SymbolMap known) {
  ResourceTrackerSP tracker = scratch_->createResourceTracker();
  Error error = linkUnder(tracker, bytes, claims, std::move(known));
  return joinErrors(std::move(error), tracker->remove());
}

// Looking any exported symbol up makes ORC link the object file that defines it, as a whole.
Error Session::linkUnder(const ResourceTrackerSP &tracker, MemoryBufferRef bytes, Claims claims, SymbolMap known) {
  auto interface = getObjectFileInterface(execution_, bytes);
  if (!interface)
    return interface.takeError();
  auto any = find_if(interface->SymbolFlags, [](const auto &symbol) { return symbol.second.isExported(); });
  if (any == interface->SymbolFlags.end())
    return fail(ErrorCode::Link, "the object file exports nothing");
  SymbolStringPtr name = any->first;
  if (claims == Claims::One)
    interface->SymbolFlags = onlyWeakAnd(name, interface->SymbolFlags);
  if (!known.empty())
    if (Error error = scratch_->define(absoluteSymbols(std::move(known)), tracker))
      return error;
  if (Error error = layer_->add(tracker, MemoryBuffer::getMemBuffer(bytes, false), std::move(*interface)))
    return error;
  auto found = execution_.lookup({scratch_}, name);
  return found ? Error::success() : firstReport(found.takeError());
}

Error Session::firstReport(Error returned) {
  if (!reported_)
    return returned;
  consumeError(std::move(returned));
  Error first = std::move(*reported_);
  reported_.reset();
  return first;
}

Error Sessions::open() {
  if (session_)
    return Error::success();
  auto session = Session::create();
  if (!session)
    return session.takeError();
  (*session)->setLayer(makeLayer_((*session)->execution()));
  session_ = std::move(*session);
  return Error::success();
}

Error Sessions::run(const std::string &what, function_ref<Error(Session &)> work) {
  bool abandoned = false;
  Error error = runRecoverably(
      what.c_str(),
      [&]() -> Error {
        if (Error error = open())
          return error;
        return work(*session_);
      },
      abandoned, ErrorCode::Link);
  if (abandoned && session_)
    keepAbandoned(session_.release());
  return error;
}

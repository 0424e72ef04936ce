#include "link/jitlink_linker.h"

#include "base/error.h"
#include "link/jitlink_capture.h"

#include "llvm/ExecutionEngine/Orc/Core.h"
#include "llvm/ExecutionEngine/Orc/ObjectFileInterface.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"
#include "llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::orc;
using llvm::jitlink::JITLinkMemoryManager;

namespace {

// Links run one at a time, on the Jit's thread; this is the one that runs.
struct Current {
  JITLinkCapture *capture = nullptr;
};

class CapturingMemoryManager : public JITLinkMemoryManager {
public:
  explicit CapturingMemoryManager(Current &current) : current_(current) {}

  void allocate(const jitlink::JITLinkDylib *, jitlink::LinkGraph &graph, OnAllocatedFunction done) override {
    jitlink::BasicLayout layout(graph);
    if (Error error = current_.capture->allocate(layout))
      return done(std::move(error));
    done(std::make_unique<Captured>());
  }

  void deallocate(std::vector<FinalizedAlloc> allocations, OnDeallocatedFunction done) override {
    for (FinalizedAlloc &allocation : allocations)
      allocation.release();
    done(Error::success());
  }

private:
  // The segments belong to the capture; ORC gets a token to give back.
  class Captured : public InFlightAlloc {
  public:
    void abandon(OnAbandonedFunction done) override { done(Error::success()); }
    void finalize(OnFinalizedFunction done) override { done(FinalizedAlloc(ExecutorAddr(1))); }
  };

  Current &current_;
};

class CapturingPlugin : public LinkGraphLinkingLayer::Plugin {
public:
  explicit CapturingPlugin(Current &current) : current_(current) {}

  void modifyPassConfig(MaterializationResponsibility &, jitlink::LinkGraph &, jitlink::PassConfiguration &passes) override {
    current_.capture->addPasses(passes);
  }
  Error notifyFailed(MaterializationResponsibility &) override { return Error::success(); }
  Error notifyRemovingResources(JITDylib &, ResourceKey) override { return Error::success(); }
  void notifyTransferringResources(JITDylib &, ResourceKey, ResourceKey) override {}

private:
  Current &current_;
};

} // namespace

struct JITLinkLinker::Session {
  explicit Session(std::unique_ptr<ExecutorProcessControl> process)
      : execution(std::move(process)), memory(current), layer(execution, memory) {
    layer.addPlugin(std::make_shared<CapturingPlugin>(current));
    // ORC reports what went wrong here and returns only "failed to materialize": keep the first report.
    execution.setErrorReporter([this](Error error) { keepReport(std::move(error)); });
  }
  ~Session() { cantFail(execution.endSession()); }

  void keepReport(Error error) {
    if (report)
      consumeError(std::move(error));
    else
      report.emplace(std::move(error));
  }

  Error run(std::unique_ptr<MemoryBuffer> bytes);

  Current current;
  ExecutionSession execution;
  CapturingMemoryManager memory;
  ObjectLinkingLayer layer;
  JITDylib *scratch = nullptr; // empty between links
  std::optional<Error> report;
};

// Looking any exported symbol up makes ORC link the object file that defines it, as a whole.
Error JITLinkLinker::Session::run(std::unique_ptr<MemoryBuffer> bytes) {
  auto interface = getObjectFileInterface(execution, bytes->getMemBufferRef());
  if (!interface)
    return interface.takeError();
  auto any = llvm::find_if(interface->SymbolFlags, [](const auto &symbol) { return symbol.second.isExported(); });
  if (any == interface->SymbolFlags.end())
    return fail(ErrorCode::Link, "the object file exports nothing");
  SymbolStringPtr name = any->first;
  ResourceTrackerSP tracker = scratch->createResourceTracker();
  if (Error error = layer.add(tracker, std::move(bytes), std::move(*interface)))
    return error;
  auto found = execution.lookup({scratch}, name);
  Error removed = tracker->remove();
  if (found)
    return removed;
  if (report) {
    consumeError(found.takeError());
    consumeError(std::move(removed));
    Error first = std::move(*report);
    report.reset();
    return first;
  }
  return joinErrors(found.takeError(), std::move(removed));
}

JITLinkLinker::JITLinkLinker(std::unique_ptr<Session> session, Arena &arena, EntryTable &entries, TypePool &types)
    : session_(std::move(session)), arena_(arena), entries_(entries), types_(types) {}

JITLinkLinker::~JITLinkLinker() = default;

Expected<std::unique_ptr<JITLinkLinker>> JITLinkLinker::create(Arena &arena, EntryTable &entries, TypePool &types) {
  auto process = SelfExecutorProcessControl::Create(nullptr, std::make_unique<InPlaceTaskDispatcher>());
  if (!process)
    return withCode(ErrorCode::Link, "ORC can't run here", process.takeError());
  auto session = std::make_unique<Session>(std::move(*process));
  session->scratch = &session->execution.createBareJITDylib("scratch");
  return std::unique_ptr<JITLinkLinker>(new JITLinkLinker(std::move(session), arena, entries, types));
}

Expected<CodeObject> JITLinkLinker::link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) {
  JITLinkCapture capture(arena_, entries_, types_, object.exports, request, resolver);
  session_->current.capture = &capture;
  Error error = session_->run(std::move(object.bytes));
  session_->current.capture = nullptr;
  if (error) {
    capture.abandon();
    return withCode(ErrorCode::Link, request.name, std::move(error));
  }
  return capture.take();
}

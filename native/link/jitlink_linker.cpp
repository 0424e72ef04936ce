#include "link/jitlink_linker.h"

#include "base/error.h"
#include "link/jitlink_split.h"
#include "link/session.h"

#include "llvm/ExecutionEngine/Orc/Core.h"
#include "llvm/ExecutionEngine/Orc/ObjectFileInterface.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"

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
    if (Error error = current_.capture->allocate(graph))
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
      : execution(std::move(process)), memory(current), layer(execution, memory),
        scratch(&execution.createBareJITDylib("scratch")) {
    layer.addPlugin(std::make_shared<CapturingPlugin>(current));
    reports.listenTo(execution);
  }
  ~Session() { cantFail(execution.endSession()); }

  Error run(JITLinkCapture &capture, MemoryBufferRef bytes);

  Current current;
  Reports reports;
  ExecutionSession execution;
  CapturingMemoryManager memory;
  ObjectLinkingLayer layer;
  JITDylib *scratch; // empty between links
};

// Looking any exported symbol up makes ORC link the object file that defines it, as a whole.
Error JITLinkLinker::Session::run(JITLinkCapture &capture, MemoryBufferRef bytes) {
  auto interface = getObjectFileInterface(execution, bytes);
  if (!interface)
    return interface.takeError();
  auto any = llvm::find_if(interface->SymbolFlags, [](const auto &symbol) { return symbol.second.isExported(); });
  if (any == interface->SymbolFlags.end())
    return fail(ErrorCode::Link, "the object file exports nothing");
  SymbolStringPtr name = any->first;
  current.capture = &capture;
  ResourceTrackerSP tracker = scratch->createResourceTracker();
  if (Error error = layer.add(tracker, MemoryBuffer::getMemBuffer(bytes, false), std::move(*interface)))
    return error;
  auto found = execution.lookup({scratch}, name);
  Error removed = tracker->remove();
  current.capture = nullptr;
  if (found)
    return removed;
  return joinErrors(reports.firstOf(found.takeError()), std::move(removed));
}

JITLinkLinker::JITLinkLinker(std::unique_ptr<Session> session, const LinkEnvironment &environment)
    : session_(std::move(session)), environment_(environment) {}

JITLinkLinker::~JITLinkLinker() = default;

Expected<std::unique_ptr<Linker>> JITLinkLinker::create(const LinkEnvironment &environment) {
  auto process = makeProcessControl();
  if (!process)
    return process.takeError();
  return std::unique_ptr<Linker>(new JITLinkLinker(std::make_unique<Session>(std::move(*process)), environment));
}

Expected<CodeObject> JITLinkLinker::link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) {
  Capture capture(environment_, request, std::move(object.exports), resolver);
  JITLinkCapture passes(capture);
  if (Error error = session_->run(passes, object.bytes->getMemBufferRef())) {
    capture.abandon();
    return withCode(ErrorCode::Link, request.name, std::move(error));
  }
  return capture.take(std::move(object.bytes));
}

Expected<std::vector<CodeObject>> JITLinkLinker::linkParts(ObjectFile object, const LinkRequest &request,
                                                           SymbolResolver &resolver) {
  Capture capture(environment_, request, std::move(object.exports), resolver);
  JITLinkSplitCapture passes(capture, environment_);
  if (Error error = session_->run(passes, object.bytes->getMemBufferRef())) {
    passes.abandon();
    return withCode(ErrorCode::Link, request.name, std::move(error));
  }
  return passes.take();
}

Expected<Emission> JITLinkLinker::emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) {
  Capture capture(environment_, request, kept, bases);
  JITLinkCapture passes(capture);
  if (Error error = session_->run(passes, kept.bytes->getMemBufferRef()))
    return withCode(ErrorCode::Link, request.name, std::move(error));
  return capture.takeEmission();
}

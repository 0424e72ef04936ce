#include "link/jitlink_linker.h"

#include "base/error.h"
#include "link/jitlink_split.h"
#include "link/object_bounds.h"
#include "link/session.h"

#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::orc;
using llvm::jitlink::JITLinkMemoryManager;

namespace {

// Links run one at a time, on the Jit's thread; this is the one that runs.
struct RunningLink {
  JITLinkCapture *capture = nullptr;
};

class CapturingMemoryManager : public JITLinkMemoryManager {
public:
  explicit CapturingMemoryManager(RunningLink &running) : running_(running) {}

  void allocate(const jitlink::JITLinkDylib *, jitlink::LinkGraph &graph, OnAllocatedFunction done) override {
    if (Error error = running_.capture->allocate(graph))
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

  RunningLink &running_;
};

class CapturingPlugin : public LinkGraphLinkingLayer::Plugin {
public:
  explicit CapturingPlugin(RunningLink &running) : running_(running) {}

  void modifyPassConfig(MaterializationResponsibility &claimed, jitlink::LinkGraph &,
                        jitlink::PassConfiguration &passes) override {
    running_.capture->addPasses(passes, claimed);
  }
  Error notifyFailed(MaterializationResponsibility &) override { return Error::success(); }
  Error notifyRemovingResources(JITDylib &, ResourceKey) override { return Error::success(); }
  void notifyTransferringResources(JITDylib &, ResourceKey, ResourceKey) override {}

private:
  RunningLink &running_;
};

class JITLinkLinker final : public Linker {
public:
  explicit JITLinkLinker(const LinkEnvironment &environment)
      : environment_(environment), memory_(running_), sessions_([this](ExecutionSession &execution) {
          auto layer = std::make_unique<ObjectLinkingLayer>(execution, memory_);
          layer->addPlugin(std::make_shared<CapturingPlugin>(running_));
          return layer;
        }) {}

  Expected<CodeObject> link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;
  Expected<std::vector<CodeObject>> linkParts(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;
  Expected<Emission> emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) override;

private:
  Error run(Capture &whole, JITLinkCapture &capture, MemoryBufferRef bytes) {
    const std::string &name = whole.request().name;
    auto common = whole.request().keepsObject ? CommonSymbols::Refused : CommonSymbols::Allowed;
    running_.capture = &capture;
    Error error = sessions_.run(name, [&](Session &session) -> Error {
      if (Error error = checkObjectFile(bytes.getBuffer(), environment_.arena, name, common))
        return error;
      return session.link(bytes, Session::Claims::One);
    });
    running_.capture = nullptr;
    return error;
  }

  LinkEnvironment environment_;
  RunningLink running_;
  CapturingMemoryManager memory_;
  Sessions sessions_; // its layer uses the members above
};

Expected<CodeObject> JITLinkLinker::link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) {
  Capture capture(environment_, request, std::move(object.exports), resolver);
  JITLinkCapture passes(capture);
  if (Error error = run(capture, passes, object.bytes->getMemBufferRef())) {
    capture.abandon();
    return error;
  }
  return capture.take(std::move(object.bytes));
}

Expected<std::vector<CodeObject>> JITLinkLinker::linkParts(ObjectFile object, const LinkRequest &request,
                                                           SymbolResolver &resolver) {
  Capture capture(environment_, request, std::move(object.exports), resolver);
  JITLinkSplitCapture passes(capture, environment_);
  if (Error error = run(capture, passes, object.bytes->getMemBufferRef())) {
    passes.abandon();
    return error;
  }
  return passes.take();
}

Expected<Emission> JITLinkLinker::emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) {
  Capture capture(environment_, request, kept, bases);
  JITLinkCapture passes(capture);
  if (Error error = run(capture, passes, kept.bytes->getMemBufferRef()))
    return error;
  return capture.takeEmission();
}

} // namespace

std::unique_ptr<Linker> nomad::makeJITLinkLinker(const LinkEnvironment &environment) {
  return std::make_unique<JITLinkLinker>(environment);
}

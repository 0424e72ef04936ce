#include "link/runtimedyld_linker.h"

#include "base/error.h"
#include "link/object_bounds.h"
#include "link/runtimedyld_capture.h"
#include "link/session.h"

#include "llvm/ExecutionEngine/Orc/RTDyldObjectLinkingLayer.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::orc;

namespace {

// Links run one at a time, on the Jit's thread; this is the one that runs.
struct RunningLink {
  RuntimeDyldCapture *capture = nullptr;
  RuntimeDyld *linker = nullptr; // from the end of loading on
};

class CapturingMemoryManager : public RuntimeDyld::MemoryManager {
public:
  explicit CapturingMemoryManager(RunningLink &running) : running_(running) {}

  std::uint8_t *allocateCodeSection(uintptr_t size, unsigned alignment, unsigned, StringRef name) override {
    return running_.capture->allocate(size, alignment, name);
  }
  std::uint8_t *allocateDataSection(uintptr_t size, unsigned alignment, unsigned, StringRef name, bool) override {
    return running_.capture->allocate(size, alignment, name);
  }
  void notifyObjectLoaded(RuntimeDyld &linker, const object::ObjectFile &) override { running_.linker = &linker; }
  void registerEHFrames(std::uint8_t *, std::uint64_t, size_t) override {}
  void deregisterEHFrames() override {}
  bool finalizeMemory(std::string *) override { return false; }

private:
  RunningLink &running_;
};

class RuntimeDyldLinker final : public Linker {
public:
  explicit RuntimeDyldLinker(const LinkEnvironment &environment)
      : environment_(environment), sessions_([this](ExecutionSession &execution) { return makeLayer(execution); }) {}

  Expected<CodeObject> link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;
  Expected<std::vector<CodeObject>> linkParts(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;
  Expected<Emission> emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) override;

private:
  std::unique_ptr<ObjectLayer> makeLayer(ExecutionSession &execution);
  Error run(Capture &capture, MemoryBufferRef bytes);
  Error run(Session &session, RuntimeDyldCapture &sections, MemoryBufferRef bytes);
  static Expected<SymbolMap> namesOf(Session &session, RuntimeDyldCapture &capture);

  LinkEnvironment environment_;
  RunningLink running_;
  Sessions sessions_; // its layer uses the members above
};

std::unique_ptr<ObjectLayer> RuntimeDyldLinker::makeLayer(ExecutionSession &execution) {
  auto layer = std::make_unique<RTDyldObjectLinkingLayer>(
      execution, [this](const MemoryBuffer &) { return std::make_unique<CapturingMemoryManager>(running_); });
  layer->setNotifyLoaded(
      [this](MaterializationResponsibility &, const object::ObjectFile &, const RuntimeDyld::LoadedObjectInfo &loaded) {
        running_.capture->layOut(*running_.linker, loaded);
      });
  return layer;
}

Error RuntimeDyldLinker::run(Capture &capture, MemoryBufferRef bytes) {
  const std::string &name = capture.request().name;
  std::unique_ptr<object::ObjectFile> file;
  std::optional<RuntimeDyldCapture> sections;
  Error error = sessions_.run(name, [&](Session &session) -> Error {
    if (Error error = checkObjectFile(bytes.getBuffer(), environment_.arena, name, CommonSymbols::Refused))
      return error;
    if (Error error = object::ObjectFile::createELFObjectFile(bytes).moveInto(file))
      return error;
    sections.emplace(capture, cast<object::ELFObjectFileBase>(*file));
    return run(session, *sections, bytes);
  });
  running_ = {};
  return error;
}

Error RuntimeDyldLinker::run(Session &session, RuntimeDyldCapture &sections, MemoryBufferRef bytes) {
  auto names = namesOf(session, sections);
  if (!names)
    return names.takeError();
  running_.capture = &sections;
  if (Error error = session.link(bytes, Session::Claims::All, std::move(*names)))
    return error;
  return sections.capture();
}

Expected<SymbolMap> RuntimeDyldLinker::namesOf(Session &session, RuntimeDyldCapture &capture) {
  auto addresses = capture.resolveNames();
  if (!addresses)
    return addresses.takeError();
  SymbolMap names;
  for (auto &[name, address] : *addresses)
    names[session.execution().intern(name)] = {ExecutorAddr(address), JITSymbolFlags::Exported};
  return names;
}

Expected<CodeObject> RuntimeDyldLinker::link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) {
  Capture capture(environment_, request, std::move(object.exports), resolver);
  if (Error error = run(capture, object.bytes->getMemBufferRef())) {
    capture.abandon();
    return error;
  }
  return capture.take(std::move(object.bytes));
}

Expected<std::vector<CodeObject>> RuntimeDyldLinker::linkParts(ObjectFile, const LinkRequest &request, SymbolResolver &) {
  return fail(ErrorCode::Unsupported, request.name +
                                          ": granularity 'function' needs linker 'jitlink': RuntimeDyld links sections, "
                                          "not what is in them");
}

Expected<Emission> RuntimeDyldLinker::emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) {
  Capture capture(environment_, request, kept, bases);
  if (Error error = run(capture, kept.bytes->getMemBufferRef()))
    return error;
  return capture.takeEmission();
}

} // namespace

std::unique_ptr<Linker> nomad::makeRuntimeDyldLinker(const LinkEnvironment &environment) {
  return std::make_unique<RuntimeDyldLinker>(environment);
}

#include "link/runtimedyld_linker.h"

#include "base/error.h"
#include "link/runtimedyld_capture.h"
#include "link/session.h"

#include "llvm/ExecutionEngine/Orc/RTDyldObjectLinkingLayer.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::orc;

namespace {

// Links run one at a time, on the Jit's thread; this is the one that runs.
struct Current {
  RuntimeDyldCapture *capture = nullptr;
  RuntimeDyld *linker = nullptr; // from the end of loading on
};

class CapturingMemoryManager : public RuntimeDyld::MemoryManager {
public:
  explicit CapturingMemoryManager(Current &current) : current_(current) {}

  std::uint8_t *allocateCodeSection(uintptr_t size, unsigned alignment, unsigned, StringRef name) override {
    return current_.capture->allocate(size, alignment, name);
  }
  std::uint8_t *allocateDataSection(uintptr_t size, unsigned alignment, unsigned, StringRef name, bool) override {
    return current_.capture->allocate(size, alignment, name);
  }
  void notifyObjectLoaded(RuntimeDyld &linker, const object::ObjectFile &) override { current_.linker = &linker; }
  void registerEHFrames(std::uint8_t *, std::uint64_t, size_t) override {}
  void deregisterEHFrames() override {}
  bool finalizeMemory(std::string *) override { return false; }

private:
  Current &current_;
};

class RuntimeDyldLinker final : public Linker {
public:
  RuntimeDyldLinker(std::unique_ptr<Session> session, const LinkEnvironment &environment);

  Expected<CodeObject> link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;
  Expected<std::vector<CodeObject>> linkParts(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;
  Expected<Emission> emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) override;

private:
  Error run(Capture &capture, MemoryBufferRef bytes);
  Expected<SymbolMap> namesOf(RuntimeDyldCapture &capture);

  LinkEnvironment environment_;
  Current current_;
  std::unique_ptr<Session> session_; // its layer uses the members above
};

RuntimeDyldLinker::RuntimeDyldLinker(std::unique_ptr<Session> session, const LinkEnvironment &environment)
    : environment_(environment), session_(std::move(session)) {
  auto layer = std::make_unique<RTDyldObjectLinkingLayer>(
      session_->execution(), [this](const MemoryBuffer &) { return std::make_unique<CapturingMemoryManager>(current_); });
  layer->setNotifyLoaded(
      [this](MaterializationResponsibility &, const object::ObjectFile &, const RuntimeDyld::LoadedObjectInfo &loaded) {
        current_.capture->layOut(*current_.linker, loaded);
      });
  session_->setLayer(std::move(layer));
}

Error RuntimeDyldLinker::run(Capture &capture, MemoryBufferRef bytes) {
  auto file = object::ObjectFile::createELFObjectFile(bytes);
  if (!file)
    return file.takeError();
  RuntimeDyldCapture sections(capture, cast<object::ELFObjectFileBase>(**file));
  auto names = namesOf(sections);
  if (!names)
    return names.takeError();
  current_.capture = &sections;
  Error error = session_->link(bytes, Session::Claims::All, std::move(*names));
  current_ = {};
  return error ? std::move(error) : sections.capture();
}

Expected<SymbolMap> RuntimeDyldLinker::namesOf(RuntimeDyldCapture &capture) {
  auto addresses = capture.resolveNames();
  if (!addresses)
    return addresses.takeError();
  SymbolMap names;
  for (auto &[name, address] : *addresses)
    names[session_->execution().intern(name)] = {ExecutorAddr(address), JITSymbolFlags::Exported};
  return names;
}

Expected<CodeObject> RuntimeDyldLinker::link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) {
  Capture capture(environment_, request, std::move(object.exports), resolver);
  if (Error error = run(capture, object.bytes->getMemBufferRef())) {
    capture.abandon();
    return withCode(ErrorCode::Link, request.name, std::move(error));
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
    return withCode(ErrorCode::Link, request.name, std::move(error));
  return capture.takeEmission();
}

} // namespace

Expected<std::unique_ptr<Linker>> nomad::makeRuntimeDyldLinker(const LinkEnvironment &environment) {
  auto session = Session::create();
  if (!session)
    return session.takeError();
  return std::make_unique<RuntimeDyldLinker>(std::move(*session), environment);
}

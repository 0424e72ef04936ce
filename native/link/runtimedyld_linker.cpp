#include "link/runtimedyld_linker.h"

#include "base/error.h"
#include "link/runtimedyld_capture.h"
#include "link/session.h"

#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/ObjectFileInterface.h"
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

} // namespace

struct RuntimeDyldLinker::Session {
  explicit Session(std::unique_ptr<ExecutorProcessControl> process)
      : execution(std::move(process)),
        layer(execution, [this](const MemoryBuffer &) { return std::make_unique<CapturingMemoryManager>(current); }),
        scratch(&execution.createBareJITDylib("scratch")) {
    layer.setNotifyLoaded(
        [this](MaterializationResponsibility &, const object::ObjectFile &, const RuntimeDyld::LoadedObjectInfo &loaded) {
          current.capture->layOut(*current.linker, loaded);
        });
    reports.listenTo(execution);
  }
  ~Session() { cantFail(execution.endSession()); }

  Error link(Capture &capture, MemoryBufferRef bytes);
  Error run(const ResourceTrackerSP &tracker, RuntimeDyldCapture &capture, MemoryBufferRef bytes);

  Current current;
  Reports reports;
  ExecutionSession execution;
  RTDyldObjectLinkingLayer layer;
  JITDylib *scratch; // empty between links
};

Error RuntimeDyldLinker::Session::link(Capture &capture, MemoryBufferRef bytes) {
  auto file = object::ObjectFile::createELFObjectFile(bytes);
  if (!file)
    return file.takeError();
  RuntimeDyldCapture sections(capture, cast<object::ELFObjectFileBase>(**file));
  current.capture = &sections;
  ResourceTrackerSP tracker = scratch->createResourceTracker();
  Error error = run(tracker, sections, bytes);
  error = joinErrors(std::move(error), tracker->remove());
  current = {};
  return error ? std::move(error) : sections.capture();
}

// Looking any exported symbol up makes ORC link the object file that defines it, as a whole.
Error RuntimeDyldLinker::Session::run(const ResourceTrackerSP &tracker, RuntimeDyldCapture &capture, MemoryBufferRef bytes) {
  auto interface = getObjectFileInterface(execution, bytes);
  if (!interface)
    return interface.takeError();
  auto any = find_if(interface->SymbolFlags, [](const auto &symbol) { return symbol.second.isExported(); });
  if (any == interface->SymbolFlags.end())
    return fail(ErrorCode::Link, "the object file exports nothing");
  SymbolStringPtr name = any->first;
  auto addresses = capture.resolveNames();
  if (!addresses)
    return addresses.takeError();
  SymbolMap symbols;
  for (auto &[symbol, address] : *addresses)
    symbols[execution.intern(symbol)] = {ExecutorAddr(address), JITSymbolFlags::Exported};
  if (!symbols.empty())
    if (Error error = scratch->define(absoluteSymbols(std::move(symbols)), tracker))
      return error;
  if (Error error = layer.add(tracker, MemoryBuffer::getMemBuffer(bytes, false), std::move(*interface)))
    return error;
  auto found = execution.lookup({scratch}, name);
  return found ? Error::success() : reports.firstOf(found.takeError());
}

RuntimeDyldLinker::RuntimeDyldLinker(std::unique_ptr<Session> session, const LinkEnvironment &environment)
    : session_(std::move(session)), environment_(environment) {}

RuntimeDyldLinker::~RuntimeDyldLinker() = default;

Expected<std::unique_ptr<Linker>> RuntimeDyldLinker::create(const LinkEnvironment &environment) {
  auto process = makeProcessControl();
  if (!process)
    return process.takeError();
  return std::unique_ptr<Linker>(new RuntimeDyldLinker(std::make_unique<Session>(std::move(*process)), environment));
}

Expected<CodeObject> RuntimeDyldLinker::link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) {
  Capture capture(environment_, request, std::move(object.exports), resolver);
  if (Error error = session_->link(capture, object.bytes->getMemBufferRef())) {
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
  if (Error error = session_->link(capture, kept.bytes->getMemBufferRef()))
    return withCode(ErrorCode::Link, request.name, std::move(error));
  return capture.takeEmission();
}

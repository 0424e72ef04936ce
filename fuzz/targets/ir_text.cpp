// IR text through the failure boundary, and what comes out of it through a whole life: link, save, place, move, freeze, thaw,
// free. It is not run: that a program which LLVM accepts may do anything is no defect of ours.
#include "support/ir_mutator.h"
#include "support/jit.h"

using namespace nomad;
using namespace nomad::fuzz;
using namespace llvm;

namespace {

void moveAbout(fuzz::Jit &jit, Handle handle) {
  Engine &engine = jit.engine();
  for (std::int32_t offset : {1 << 17, 1 << 14, 1 << 16}) {
    auto report = engine.relocate(jit.request(handle, offset));
    if (!report)
      expected(report.takeError());
    jit.verify();
  }
}

void freezeAndThaw(fuzz::Jit &jit, Handle handle) {
  auto frozen = jit.engine().freeze(handle, 7);
  if (!frozen)
    return expected(frozen.takeError());
  jit.verify();
  need(jit.engine().thaw(handle, 7, *frozen));
}

void live(fuzz::Jit &jit, Handle handle) {
  Engine &engine = jit.engine();
  jit.verify();
  auto saved = engine.serialize(handle);
  if (!saved)
    expected(saved.takeError());
  if (!jit.runsByItself(handle)) {
    auto report = engine.place(jit.request(handle, 1 << 15));
    if (!report)
      return expected(report.takeError());
    jit.verify();
    moveAbout(jit, handle);
    freezeAndThaw(jit, handle);
    moveAbout(jit, handle);
  }
}

CompileOptions optionsFor(StringRef text) {
  CompileOptions options;
  options.name = "input";
  // Of the text itself, so that an input is the same everywhere.
  std::size_t choice = text.size() / 2;
  options.level = static_cast<OptLevel>(choice % 4);
  options.moves = choice / 4 % 2 ? Moves::All : Moves::Code;
  options.retain = choice / 8 % 4 == 0 ? Retain::Object : Retain::Relocations;
  return options;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  StringRef text(reinterpret_cast<const char *>(data), size);
  if (text.starts_with("BC") || text.starts_with("\xde\xc0\x17\x0b"))
    return 0; // bitcode is read by another process
  fuzz::Jit jit(size % 2 ? LinkerKind::JITLink : LinkerKind::RuntimeDyld);
  auto handle = jit.engine().compile(text, optionsFor(text));
  if (!handle) {
    expected(handle.takeError());
    jit.verify();
    return 0;
  }
  live(jit, *handle);
  if (!jit.runsByItself(*handle))
    need(jit.engine().free(*handle));
  jit.verify();
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t *data, std::size_t size, std::size_t maxSize, unsigned seed) {
  return mutateIR(data, size, maxSize, seed);
}

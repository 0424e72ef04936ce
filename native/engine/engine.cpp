#include "engine/engine.h"

#include "compile/target.h"
#include "link/jitlink_linker.h"
#include "link/runtimedyld_linker.h"

using namespace nomad;
using namespace llvm;

static std::unique_ptr<Linker> makeLinker(LinkerKind kind, const LinkEnvironment &environment) {
  return kind == LinkerKind::RuntimeDyld ? makeRuntimeDyldLinker(environment) : makeJITLinkLinker(environment);
}

Expected<std::unique_ptr<Engine>> Engine::create(const EngineOptions &options) {
  if (Error error = prepareMachine())
    return error;
  auto arena = Arena::create(options.arenaBytes);
  if (!arena)
    return arena.takeError();
  return std::unique_ptr<Engine>(new Engine(std::move(*arena), options));
}

Engine::Engine(std::unique_ptr<Arena> arena, const EngineOptions &options)
    : arena_(std::move(arena)), entries_(*arena_, entryLog_->watch()), process_(options.symbols, options.listedSymbols),
      cache_(options.cacheDirectory.empty() ? nullptr : std::make_shared<CompileCache>(options)),
      linker_(makeLinker(options.linker, {*arena_, entries_, types_})),
      moveVerifier_(options.verifiesMoves ? MoveVerifier::Mode::On : MoveVerifier::Mode::Off, objects_, relinker_),
      freezer_(options.verifiesMoves ? Freezer::ObjectFiles::Kept : Freezer::ObjectFiles::GivenAway, objects_),
      placements_(options.poisonsVacated ? Placements::Vacated::Poisoned : Placements::Vacated::Kept, *arena_, objects_, mover_,
                  space_, thunks_, roots_, moveVerifier_, *entryLog_, refresh_),
      endings_(outside_, objects_, references_, names_, stubs_, hosts_, roots_, thunks_, mover_, placements_, verifier_,
               refresh_),
      saved_(options.linker, *arena_, types_, objects_, relinker_),
      linking_({*arena_, entries_, types_}, *linker_, *machines_, cache_.get(), moveVerifier_, process_, attention_, objects_,
               names_, references_, redirector_, saved_, endings_),
      code_(std::in_place, arena_->segments(SegmentKind::Code), space_.code(), mover_.codeOwners()) {}

void Engine::prepareEntry(bool isOwnThread) {
  if (isOwnThread)
    UnwindRefresh::beforeEntry();
  else
    mover_.unwind().noteOtherThreads();
}

Expected<EntryIndex> Engine::entry(Handle handle, StringRef functionName) {
  auto found = objects_.function(handle, functionName);
  if (!found)
    return found.takeError();
  return stubs_.of(handle, found->place.offset);
}

bool Engine::isRunning() {
  roots_.look();
  return hostCalls_.underWay() > 0 || roots_.mayRun();
}

Size Engine::trim() {
  objects_.records().trim();
  return arena_->trim();
}

Size Engine::retainedBytes(Handle handle) {
  const CodeObject &object = objects_[handle];
  return object.relocations.bytes() + (object.retain == Retain::Object ? objects_.objectFile(handle)->footprint() : 0);
}

Error Engine::verify() {
  if (Error error = verifier_.verify())
    return error;
  if (Error error = names_.checkIntegrity())
    return error;
  return roots_.verify();
}

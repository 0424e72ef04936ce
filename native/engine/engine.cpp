#include "engine/engine.h"

#include "base/error.h"
#include "compile/own_functions.h"
#include "engine/compile_cache.h"
#include "engine/resolver.h"
#include "enter/float_state.h"
#include "link/jitlink_linker.h"
#include "link/runtimedyld_linker.h"
#include "memory/write_scope.h"
#include "runtime/code_handlers.h"
#include "runtime/runtime_support.h"
#include "stack/clear_stack.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace nomad;
using namespace llvm;

Expected<std::unique_ptr<Engine>> Engine::create(const EngineOptions &options) {
  if (Error error = prepareMachine())
    return error;
  auto arena = Arena::create(options.arenaBytes);
  if (!arena)
    return arena.takeError();
  std::unique_ptr<Engine> engine(new Engine(std::move(*arena), options));
  LinkEnvironment environment{*engine->arena_, engine->entries_, engine->types_};
  bool isRuntimeDyld = options.linker == LinkerKind::RuntimeDyld;
  engine->linker_ = isRuntimeDyld ? makeRuntimeDyldLinker(environment) : makeJITLinkLinker(environment);
  if (!options.cacheDirectory.empty())
    engine->cache_ = std::make_shared<CompileCache>(options);
  return engine;
}

Engine::Engine(std::unique_ptr<Arena> arena, const EngineOptions &options)
    : arena_(std::move(arena)), entries_(*arena_, entryLog_->watch()),
      mover_(*arena_, entries_, objects_, *this, entryLog_->moves()), linkerKind_(options.linker),
      verifiesMoves_(options.verifiesMoves), poisonsVacated_(options.poisonsVacated),
      process_(options.symbols, options.listedSymbols), thunkSpace_(thunkSpaceIn(*arena_)),
      nextThunk_{thunkSpace_[0].base, thunkSpace_[1].base, thunkSpace_[2].base}, placeable_(placeableIn(*arena_, thunkSpace_)),
      stackWalk_(arena_->range(), thunkSpace_[0], mover_.codeOwners(), mover_.dataOwners()),
      code_(std::in_place, arena_->segments(SegmentKind::Code), thunkSpace_[indexOf(SegmentKind::Code)], mover_.codeOwners()) {}

// ---- compile ----

Expected<Handle> Engine::link(ObjectFile object, const CompileOptions &options, StringRef cacheKey) {
  cacheStats_.misses += !cacheKey.empty();
  if (options.alike != noHandle && !names_.contains(options.alike))
    return fail(ErrorCode::State, options.name + ": what it was to be linked like is gone");
  Resolver resolver(*this, options, process_);
  if (Error error = resolver.checkTypes(object.exports.declared, options.name))
    return error;
  LinkRequest request{options.name, options.moves, options.retain, options.retain == Retain::Object || verifiesMoves_};
  auto linked = linker_->link(std::move(object), request, resolver);
  if (!linked)
    return linked.takeError();
  Handle handle = adopt(std::move(*linked));
  enterDependents(handle, options.alike);
  if (!cacheKey.empty())
    cache_->store(cacheKey, cantFail(serialize(handle)));
  return handle;
}

// What others need of it outlives its image, which goes with the first placement.
Handle Engine::adopt(CodeObject linked) {
  Handle handle = objects_.add(std::move(linked));
  Image &image = *objects_[handle].image;
  givesAddresses_ = givesAddresses_ || any_of(image.imports, [](const ImportedName &name) {
                      return name.kind == ImportedName::Kind::OwnEntry || name.kind == ImportedName::Kind::FunctionEntry;
                    });
  size_t code = indexOf(SegmentKind::Code);
  if (mayLoadFloatState({reinterpret_cast<const std::uint8_t *>(image.bytes[code].get()), image.storedBytes[code]}))
    attention_ |= Floats;
  if (image.kept)
    kept_[handle] = std::move(image.kept);
  if (!image.returnsTwice.empty())
    returnsTwice_[handle] = image.returnsTwice;
  if (objects_[handle].storesLabels)
    immovable_.insert(handle);
  if (!image.jumpTargets.empty())
    stackWalk_.setJumpTargets(objects_[handle], image.jumpTargets);
  if (objects_[handle].hasOddFrames)
    stackWalk_.setFrames(objects_[handle], image.frames);
  if (image.frames.switchesStacks)
    stackSwitchers_.insert(handle);
  if (Teardown *teardown = objects_[handle].teardown.get())
    announceTeardown(*teardown);
  return handle;
}

Expected<Handle> Engine::compile(StringRef source, const CompileOptions &options) {
  CompileRequest request = requestOf(options);
  std::string key = cache_ ? cache_->key(source, request, options) : "";
  if (cache_) {
    auto found = compileFromCache(key, options);
    if (!found)
      return found.takeError();
    if (*found)
      return **found;
  }
  auto object = compileSource(source, request, *machines_);
  if (!object)
    return object.takeError();
  return link(std::move(*object), options, key);
}

Expected<std::vector<Handle>> Engine::compileParts(StringRef source, const CompileOptions &options) {
  if (options.retain == Retain::Object)
    return fail(ErrorCode::Unsupported,
                options.name + ": retain 'object' and granularity 'function': an object file is emitted whole");
  auto object = compileSource(source, requestOf(options, Granularity::Function), *machines_);
  if (!object)
    return object.takeError();
  Resolver resolver(*this, options, process_);
  if (Error error = resolver.checkTypes(object->exports.declared, options.name))
    return error;
  auto parts = linker_->linkParts(std::move(*object), {options.name, options.moves, options.retain}, resolver);
  if (!parts)
    return parts.takeError();
  std::vector<Handle> handles;
  for (CodeObject &part : *parts)
    handles.push_back(adopt(std::move(part)));
  for (Handle handle : handles)
    if (const auto &links = objects_[handle].links)
      for (Handle &reference : links->references)
        if (isPartHandle(reference))
          reference = handles[partOfHandle(reference)];
  for (Handle handle : handles)
    enterDependents(handle);
  return handles;
}

void Engine::enterDependents(Handle handle, Handle alike) {
  const auto &links = objects_[handle].links;
  if (!links)
    return;
  for (std::uint32_t i = 0; i < links->references.size(); ++i)
    objects_[links->references[i]].ensureLinks().dependents[handle] = i;
  const Image &image = *objects_[handle].image;
  for (const ImportSite &site : image.importSites)
    if (const ImportedName &import = image.imports[site.import]; !site.isCall && refersToFunction(import))
      links->hold(import.reference);
  if (image.isPart) // data of the others, whose sites are not among those
    links->held.resize(static_cast<unsigned>(links->references.size()), true);
  followForwards(handle, alike);
}

Error Engine::define(Import definition) {
  if (definition.object != noHandle)
    if (auto found = function(definition.object, definition.symbol); !found)
      return found.takeError();
  if (definition.object != noHandle)
    objects_[definition.object].isDefinition = true;
  if (isLibraryFunction(definition.name))
    definedLibraryFunctions_.insert(definition.name);
  definitions_.insert_or_assign(definition.name, definition);
  return Error::success();
}

std::string Engine::typeOf(const Import &import) {
  if (!objects_.isLive(import.object))
    return "";
  auto found = objects_[import.object].symbols.function(import.symbol);
  return found ? types_.signature(found->signature).text : "";
}

Expected<Resolution> Engine::resolveImport(const Import &import) {
  if (import.object == noHandle)
    return Resolution::fixed(import.address);
  auto found = function(import.object, import.symbol);
  if (!found)
    return found.takeError();
  if (objects_[import.object].isEnding)
    return fail(ErrorCode::State, "code object " + Twine(quoted(objects_[import.object])) + " is being freed");
  return resolveFunction({import.object, found->place.offset});
}

Expected<Resolution> Engine::resolveFunction(const CodePlace &place) {
  auto stub = entry(place.object, place.offset);
  if (!stub)
    return stub.takeError();
  Address code = objects_[place.object].segment(SegmentKind::Code).base + place.offset;
  return Resolution{Resolution::Kind::Function, code, entries_.stub(*stub), place.object, place.offset};
}

// ---- place ----

Expected<MoveReport> Engine::place(ArrayRef<MoveRequest> requests) {
  SmallVector<std::pair<Handle, Offset>, 1> initializers;
  for (const MoveRequest &request : requests)
    if (objects_.isLive(request.object) && objects_[request.object].image)
      if (Offset initializer = objects_[request.object].image->initializer; initializer != noOffset)
        initializers.push_back({request.object, initializer});
  if (!initializers.empty())
    if (auto thunk = directThunk(); !thunk)
      return thunk.takeError();
  auto report = mover_.place(requests, placeable_);
  afterChange();
  if (report)
    for (auto &[handle, initializer] : initializers)
      callCode(objects_[handle].segment(SegmentKind::Code).base + initializer);
  return report;
}

// The unwind tables, if code may run before it is entered: because it waits, and JS can return to it past thunks and host exits,
// which it called past host functions; or because it handles signals, and a handler can't make them.
void Engine::afterChange() {
  if (!(returnsUnseen() || codeHandlesSignals) || !*staleUnwindTables())
    return;
  refreshUnwindTables();
  clearStackBelow(longReach); // the next code's frames will be here
}

// Code with constructors has made the thunk. Without one (no room is left) what ends can only be called as C would.
void Engine::callCode(Address function, void *argument) {
  auto thunk = directThunk();
  if (thunk)
    thunk->pointer<void *(void *, void *)>()(function.pointer<void>(), argument), resetFloatState();
  else
    consumeError(thunk.takeError());
}

// ---- look up ----

Expected<CodeObject &> Engine::object(Handle handle) {
  if (!objects_.isLive(handle))
    return fail(ErrorCode::State, "the code object is freed");
  return objects_[handle];
}

Expected<FunctionSymbol> Engine::function(Handle handle, StringRef name) {
  auto found = object(handle);
  if (!found)
    return found.takeError();
  if (auto function = found->symbols.function(name))
    return *function;
  ErrorDetails details;
  details.symbols = {name.str()};
  return fail(ErrorCode::UnresolvedSymbol, "code object " + Twine(quoted(*found)) + " exports no function '" + name + "'",
              std::move(details));
}

Expected<GlobalSymbol> Engine::global(Handle handle, StringRef name) {
  auto found = object(handle);
  if (!found)
    return found.takeError();
  if (auto global = found->symbols.global(name))
    return *global;
  ErrorDetails details;
  details.symbols = {name.str()};
  return fail(ErrorCode::UnresolvedSymbol, "code object " + Twine(quoted(*found)) + " exports no global '" + name + "'",
              std::move(details));
}

Expected<Address> Engine::addressOf(Handle handle, const SymbolPlace &place) {
  auto found = object(handle);
  if (!found)
    return found.takeError();
  if (found->state != State::Placed)
    return fail(ErrorCode::State, "code object " + Twine(quoted(*found)) + " is not placed");
  return found->addressOf(place);
}

Expected<Address> Engine::addressOf(Handle handle, StringRef symbol) {
  auto asFunction = function(handle, symbol);
  if (asFunction)
    return addressOf(handle, asFunction->place);
  if (!objects_.isLive(handle))
    return asFunction.takeError();
  consumeError(asFunction.takeError());
  auto asGlobal = global(handle, symbol);
  if (!asGlobal)
    return asGlobal.takeError();
  return addressOf(handle, asGlobal->place);
}

Expected<EntryIndex> Engine::entry(Handle handle, StringRef functionName) {
  auto found = function(handle, functionName);
  if (!found)
    return found.takeError();
  return entry(handle, found->place.offset);
}

Expected<EntryIndex> Engine::entry(Handle handle, Offset offset) {
  CodeObject &object = objects_[handle];
  for (const EntryUse &entry : llvm::reverse(object.entries)) // setjmp asks again and again for what came late
    if (entry.offset == offset)
      return entry.index;
  if (const Forward *forward = forwardOf(handle, offset))
    return forwardedEntry(handle, offset, *forward);
  auto index = entries_.take();
  if (!index)
    return index;
  object.entries.push_back({*index, offset});
  if (object.state == State::Placed)
    entries_.redirect(*index, object.segment(SegmentKind::Code).base + offset);
  return index;
}

Expected<EntryIndex> Engine::forwardedEntry(Handle handle, Offset offset, const Forward &forward) {
  std::vector<EntryUse> &forwarded = redirections_[handle].entries;
  for (const EntryUse &entry : forwarded)
    if (entry.offset == offset)
      return entry.index;
  auto target = entry(forward.object, forward.to);
  if (!target)
    return target;
  auto index = entries_.take();
  if (!index)
    return index;
  forwarded.push_back({*index, offset});
  entries_.redirect(*index, entries_.stub(*target));
  return index;
}

std::vector<Handle> Engine::objectsIn(const std::array<Range, 3> &ranges) const {
  std::vector<std::pair<Address, Handle>> found;
  for (Handle handle = 0; handle < objects_.limit(); ++handle) {
    const CodeObject &object = objects_[handle];
    for (size_t kind = 0; object.state == State::Placed && kind < segmentKinds.size(); ++kind) {
      const Segment &segment = object.segments[kind];
      if (!segment.exists() || !ranges[kind].overlaps(segment.range()))
        continue;
      found.push_back({segment.base, handle});
      break;
    }
  }
  llvm::sort(found);
  std::vector<Handle> handles;
  for (auto &[address, handle] : found)
    handles.push_back(handle);
  return handles;
}

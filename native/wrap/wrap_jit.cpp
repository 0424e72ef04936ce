#include "wrap/wrap_jit.h"

#include "wrap/call.h"
#include "wrap/wrap_interrupt.h"

#include <unistd.h>

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

EngineOptions readOptions(const Js &js, napi_value options) {
  EngineOptions result;
  result.arenaBytes = static_cast<Size>(js.number(js.get(options, "arenaBytes")));
  result.linker = js.text(js.get(options, "linker")) == "runtimedyld" ? LinkerKind::RuntimeDyld : LinkerKind::JITLink;
  result.verifiesMoves = js.boolean(js.get(options, "verifyMoves"));
  result.poisonsVacated = js.boolean(js.get(options, "poisonVacated"));
  result.cacheDirectory = js.text(js.get(options, "cacheDirectory"));
  result.cacheBytes = static_cast<Size>(js.number(js.get(options, "cacheBytes")));
  napi_value symbols = js.get(options, "symbols");
  if (js.typeOf(symbols) == napi_string) {
    bool all = js.text(symbols) == "process";
    result.symbols = all ? ProcessSymbols::Policy::All : ProcessSymbols::Policy::None;
    return result;
  }
  result.symbols = ProcessSymbols::Policy::Listed;
  for (size_t i = 0, count = js.length(symbols); i < count; ++i)
    result.listedSymbols.push_back(js.text(js.element(symbols, i)));
  return result;
}

Environment *environmentOf(napi_env env) {
  void *data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<Environment *>(data);
}

void retireCompiler(Jit &jit) {
  Environment *environment = environmentOf(jit.env);
  if (jit.asyncCompiler)
    jit.asyncCompiler->cancel();
  if (environment) {
    std::erase_if(environment->retired, [](auto &compiler) { return compiler->isIdle(); });
    if (jit.asyncCompiler && !jit.asyncCompiler->isIdle())
      environment->retired.push_back(std::move(jit.asyncCompiler));
  }
  jit.asyncCompiler.reset();
}

void endEngine(Jit &jit, Engine::Leftovers leftovers) {
  if (jit.engine)
    Engine::end(std::move(jit.engine), leftovers);
}

void releaseJit(Jit &jit) {
  retireCompiler(jit);
  jit.host.end();
  Environment *environment = environmentOf(jit.env);
  endEngine(jit, environment && environment->endsWithProcess ? Engine::Leftovers::Kept : Engine::Leftovers::Freed);
  jit.objects.clear();
  if (jit.errorFactory)
    napi_delete_reference(jit.env, std::exchange(jit.errorFactory, nullptr));
  if (jit.block)
    napi_delete_reference(jit.env, std::exchange(jit.block, nullptr));
  if (jit.ledgerBuffer)
    napi_delete_reference(jit.env, std::exchange(jit.ledgerBuffer, nullptr));
}

// The object is collected, or its environment ends.
void finalizeJit(napi_env env, void *data, void *) {
  auto *jit = static_cast<Jit *>(data);
  releaseJit(*jit);
  if (Environment *environment = environmentOf(env))
    std::erase_if(environment->jits, [=](const std::shared_ptr<Jit> &each) { return each.get() == jit; });
}

Result dispose(Call &call) {
  if (call.engine().isRunning())
    return fail(ErrorCode::State, "dispose: code of the Jit is running");
  retireCompiler(call.jit());
  endEngine(call.jit(), Engine::Leftovers::Freed);
  return call.js.undefined();
}

Result trim(Call &call) { return call.js.number(static_cast<double>(call.engine().trim())); }

napi_value sizes(const Js &js, const std::array<Size, 3> &values) {
  napi_value result = js.array(values.size());
  for (size_t i = 0; i < values.size(); ++i)
    js.setElement(result, i, js.number(static_cast<double>(values[i])));
  return result;
}

Result stats(Call &call) {
  const Js &js = call.js;
  EngineStats stats = call.engine().stats();
  auto set = [&](napi_value target, const char *name, Size value) {
    js.set(target, name, js.number(static_cast<double>(value)));
  };
  napi_value objects = js.object();
  set(objects, "live", stats.liveObjects);
  set(objects, "placed", stats.placedObjects);
  napi_value result = js.object();
  js.set(result, "objects", objects);
  js.set(result, "liveBytes", sizes(js, stats.liveBytes));
  js.set(result, "reservedBytes", sizes(js, stats.reservedBytes));
  set(result, "entryStubs", stats.entryStubs);
  set(result, "relocationBytes", stats.relocationBytes);
  set(result, "bookkeepingBytes", stats.bookkeepingBytes);
  set(result, "mappings", stats.mappings);
  if (stats.cache) {
    napi_value cache = js.object();
    set(cache, "hits", stats.cache->hits);
    set(cache, "misses", stats.cache->misses);
    js.set(result, "cache", cache);
  }
  return result;
}

void addBlock(const Js &js, napi_value target, Jit &jit) {
  void *data = nullptr;
  napi_value block = nullptr;
  js.check(napi_create_arraybuffer(js.env, Engine::blockBytes, &data, &block));
  js.check(napi_create_reference(js.env, block, 1, &jit.block));
  jit.blockData = data;
  jit.engine->setArgumentBlock(Address::of(data));
  js.set(target, "block", block);
  js.set(target, "blockParameterBytes", js.number(static_cast<double>(Engine::blockParameterBytes)));
  js.set(target, "blockEntryOffset", js.number(static_cast<double>(Engine::blockParameterBytes)));
}

void addLedger(const Js &js, napi_value target, Jit &jit) {
  void *data = nullptr;
  napi_value buffer = nullptr;
  if (!js.check(napi_create_arraybuffer(js.env, sizeof(Ledger), &data, &buffer)))
    return;
  js.check(napi_create_reference(js.env, buffer, 1, &jit.ledgerBuffer));
  jit.ledger = new (data) Ledger;
  js.set(target, "ledger", buffer);
}

void addRanges(const Js &js, napi_value target, const Engine &engine) {
  napi_value bases = js.array(segmentKinds.size());
  std::array<Size, 3> bytes{};
  for (SegmentKind kind : segmentKinds) {
    js.setElement(bases, indexOf(kind), js.bigint(engine.placeable(kind).base.value()));
    bytes[indexOf(kind)] = engine.placeable(kind).size();
  }
  js.set(target, "rangeBases", bases);
  js.set(target, "rangeBytes", sizes(js, bytes));
  js.set(target, "entriesBase", js.bigint(engine.entries().stub(0).value()));
  js.set(target, "entryStubBytes", js.number(static_cast<double>(EntryTable::stubBytes)));
}

napi_value makeJitObject(const Js &js, Jit &jit) {
  napi_value target = js.object();
  addBlock(js, target, jit);
  addLedger(js, target, jit);
  jit.engine->setHost(&jit.host);
  addRanges(js, target, *jit.engine);
  addCompile(js, target, jit);
  addMove(js, target, jit);
  addLookup(js, target, jit);
  addCall(js, target, jit);
  addHostFunctions(js, target, jit);
  addObjectRefs(js, target, jit);
  addInterrupts(js, target, jit);
  bind<stats>(js, target, "stats", jit);
  bind<trim>(js, target, "trim", jit);
  bind<dispose>(js, target, "dispose", jit);
  return target;
}

// null if it can't be made; then there is an error to be thrown, or the environment ends.
napi_value makeJit(const Js &js, Jit &jit, EngineOptions options) {
  auto engine = Engine::create(std::move(options));
  if (!engine) {
    throwError(js, jit, engine.takeError());
    return nullptr;
  }
  if (Error error = stopCodeWith(js.env)) {
    throwError(js, jit, std::move(error));
    return nullptr;
  }
  jit.engine = std::move(*engine);
  napi_value target = makeJitObject(js, jit);
  return js.hasFailed ? nullptr : target;
}

} // namespace

void nomad::wrap::keepCodeToTheEnd(napi_env env, Environment &environment) {
  auto note = [](void *data) { static_cast<Environment *>(data)->endsWithProcess = true; };
  if (getpid() == gettid())
    napi_add_env_cleanup_hook(env, note, &environment);
}

// Of an environment that ends (worker.terminate) nothing can be read, and no result is waited for: null, with whatever is
// pending.
napi_value nomad::wrap::createJit(napi_env env, napi_callback_info info) {
  Js js{env};
  size_t count = 2;
  napi_value arguments[2] = {};
  js.check(napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr));
  auto jit = std::make_shared<Jit>(env);
  jit->compileThreads = js.uint32(js.get(arguments[0], "compileThreads"));
  js.check(napi_create_reference(env, arguments[1], 1, &jit->errorFactory));
  EngineOptions options = readOptions(js, arguments[0]);
  napi_value target = js.hasFailed ? nullptr : makeJit(js, *jit, std::move(options));
  Environment *environment = environmentOf(env);
  if (!target || !environment || !js.check(napi_add_finalizer(env, target, jit.get(), finalizeJit, nullptr, nullptr))) {
    releaseJit(*jit);
    return nullptr;
  }
  environment->jits.insert(jit);
  return target;
}

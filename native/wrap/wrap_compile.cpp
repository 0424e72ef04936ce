// compile, compileAsync, deserialize, define, redirect, redirectHost.
#include "run/compile_cache.h"
#include "wrap/call.h"

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

// [name, 'address', bigint] or [name, 'function', handle, symbol]
Import readImport(const Js &js, napi_value value) {
  Import import;
  import.name = js.text(js.element(value, 0));
  if (js.text(js.element(value, 1)) == "address") {
    import.address = Address::of(js.bigint(js.element(value, 2)));
    return import;
  }
  import.object = js.uint32(js.element(value, 2));
  import.symbol = js.text(js.element(value, 3));
  return import;
}

Retain readRetain(StringRef text) {
  if (text == "none")
    return Retain::None;
  return text == "object" ? Retain::Object : Retain::Relocations;
}

StringRef retainName(Retain retain) {
  if (retain == Retain::None)
    return "none";
  return retain == Retain::Object ? "object" : "relocations";
}

CompileOptions readOptions(const Js &js, napi_value options) {
  CompileOptions result;
  result.name = js.text(js.get(options, "name"));
  result.level = static_cast<OptLevel>(js.uint32(js.get(options, "optLevel")) & 3);
  result.moves = js.text(js.get(options, "moves")) == "all" ? Moves::All : Moves::Code;
  result.retain = readRetain(js.text(js.get(options, "retain")));
  napi_value imports = js.get(options, "imports");
  for (size_t i = 0, count = js.length(imports); i < count; ++i)
    result.imports.push_back(readImport(js, js.element(imports, i)));
  return result;
}

std::string readSource(const Js &js, napi_value source) {
  if (auto bytes = js.bytes(source))
    return std::string(static_cast<const char *>(bytes->data), bytes->size);
  return js.text(source);
}

Result compile(Call &call) {
  auto handle = call.engine().compile(readSource(call.js, call.argument(0)), readOptions(call.js, call.argument(1)));
  if (!handle)
    return handle.takeError();
  return call.js.number(*handle);
}

// deserialize(bytes, options): [handle, moves, retain].
Result deserialize(Call &call) {
  const Js &js = call.js;
  auto bytes = js.bytes(call.argument(0));
  if (!bytes)
    return nullptr;
  CompileOptions options = readOptions(js, call.argument(1));
  auto handle = call.engine().deserialize(ArrayRef(static_cast<const std::uint8_t *>(bytes->data), bytes->size), options);
  if (!handle)
    return handle.takeError();
  const CodeObject &object = cantFail(call.engine().object(*handle));
  napi_value result = js.array(3);
  js.setElement(result, 0, js.number(*handle));
  js.setElement(result, 1, js.text(object.moves == Moves::All ? "all" : "code"));
  js.setElement(result, 2, js.text(retainName(object.retain)));
  return result;
}

Result define(Call &call) {
  if (Error error = call.engine().define(readImport(call.js, call.argument(0))))
    return error;
  return call.js.undefined();
}

// redirect(from, symbol, to, symbol): handles of the code objects whose references have changed.
Result redirect(Call &call) {
  auto changed = call.engine().redirect({call.uint32(0), call.text(1)}, {call.uint32(2), call.text(3)});
  if (!changed)
    return changed.takeError();
  napi_value result = call.js.array(changed->size());
  for (size_t i = 0; i < changed->size(); ++i)
    call.js.setElement(result, i, call.js.number((*changed)[i]));
  return result;
}

Result redirectHost(Call &call) {
  if (Error error = call.engine().redirectHost(call.uint32(0), Address::of(call.js.bigint(call.argument(1)))))
    return error;
  return call.js.undefined();
}

// ---- compileAsync ----

// One compilation: code generation on a pool thread, which touches nothing of the Jit but its target machines; the rest here.
struct Work {
  std::shared_ptr<Jit> jit;
  std::shared_ptr<TargetMachinePool> machines;
  std::string source;
  CompileOptions options;
  std::shared_ptr<CompileCache> cache; // or null
  std::string cacheKey;
  bool isCached = false;
  std::optional<Expected<ObjectFile>> object;
  napi_ref done = nullptr;
  napi_async_work handle = nullptr;
};

void generate(napi_env, void *data) {
  auto &work = *static_cast<Work *>(data);
  if (work.cache) {
    work.cacheKey = work.cache->key(work.source, work.options);
    work.isCached = work.cache->find(work.cacheKey) != nullptr;
  }
  if (work.isCached)
    return;
  work.object.emplace(compileSource(work.source, {work.options.name, work.options.level, work.options.moves}, *work.machines));
}

Expected<Handle> linkResult(Work &work) {
  if (!work.object && !work.isCached) // cancelled before it began: the environment ends
    return fail(ErrorCode::State, "the compilation was cancelled");
  if (work.object && !*work.object)
    return work.object->takeError();
  if (!work.jit->engine) {
    return fail(ErrorCode::State, "the Jit is disposed");
  }
  if (work.isCached)
    return work.jit->engine->compile(work.source, work.options);
  return work.jit->engine->link(std::move(**work.object), work.options, work.cacheKey);
}

void callDone(const Js &js, Work &work) {
  napi_value done = nullptr, ignored = nullptr;
  js.check(napi_get_reference_value(js.env, work.done, &done));
  auto handle = linkResult(work);
  napi_value error = handle ? js.undefined() : makeError(js, *work.jit, handle.takeError());
  napi_value arguments[] = {error ? error : js.undefined(), js.number(handle ? *handle : 0)};
  js.check(napi_call_function(js.env, js.undefined(), done, 2, arguments, &ignored));
}

void complete(napi_env env, napi_status status, void *data) {
  std::unique_ptr<Work> work(static_cast<Work *>(data));
  if (status == napi_ok)
    callDone(Js{env}, *work);
  else if (work->object && !*work->object)
    consumeError(work->object->takeError());
  napi_delete_reference(env, work->done);
  napi_delete_async_work(env, work->handle);
}

std::shared_ptr<Jit> share(napi_env env, Jit &jit) {
  void *environment = nullptr;
  napi_get_instance_data(env, &environment);
  for (const std::shared_ptr<Jit> &each : static_cast<Environment *>(environment)->jits)
    if (each.get() == &jit)
      return each;
  return nullptr;
}

Result compileAsync(Call &call) {
  const Js &js = call.js;
  auto work = std::make_unique<Work>();
  work->jit = share(js.env, call.jit());
  work->machines = call.engine().machines();
  work->cache = call.engine().cache();
  work->source = readSource(js, call.argument(0));
  work->options = readOptions(js, call.argument(1));
  js.check(napi_create_reference(js.env, call.argument(2), 1, &work->done));
  napi_value name = js.text("nomad-jit compile");
  js.check(napi_create_async_work(js.env, nullptr, name, generate, complete, work.get(), &work->handle));
  js.check(napi_queue_async_work(js.env, work->handle));
  (void)work.release(); // complete() takes it back
  return js.undefined();
}

} // namespace

void nomad::wrap::addCompile(const Js &js, napi_value target, Jit &jit) {
  bind<compile>(js, target, "compile", jit);
  bind<compileAsync>(js, target, "compileAsync", jit);
  bind<deserialize>(js, target, "deserialize", jit);
  bind<define>(js, target, "define", jit);
  bind<redirect>(js, target, "redirect", jit);
  bind<redirectHost>(js, target, "redirectHost", jit);
}

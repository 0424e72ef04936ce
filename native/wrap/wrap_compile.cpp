// compile, compileParts, compileAsync, deserialize, define, redirect, keepNames, obstacle, replace, redirectHost.
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
  result.isIsolated = js.boolean(js.get(options, "isolated"));
  result.limits.milliseconds = static_cast<std::uint64_t>(js.number(js.get(options, "limitMilliseconds")));
  result.limits.bytes = static_cast<std::uint64_t>(js.number(js.get(options, "limitBytes")));
  result.alike = js.uint32(js.get(options, "alike"));
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

napi_value exportedNames(const Js &js, const SymbolTable &symbols) {
  napi_value names = js.array();
  size_t count = 0;
  symbols.everyFunction([&](const FunctionSymbol &function) { js.setElement(names, count++, js.text(function.name)); });
  symbols.everyGlobal([&](const GlobalSymbol &global) { js.setElement(names, count++, js.text(global.name)); });
  return names;
}

// compileParts(source, options): [handle, name, exported names] of each.
Result compileParts(Call &call) {
  const Js &js = call.js;
  auto handles = call.engine().compileParts(readSource(js, call.argument(0)), readOptions(js, call.argument(1)));
  if (!handles)
    return handles.takeError();
  napi_value result = js.array(handles->size());
  for (size_t i = 0; i < handles->size(); ++i) {
    Handle handle = (*handles)[i];
    const SymbolTable &symbols = call.engine().object(handle)->symbols;
    napi_value part = js.array(3);
    js.setElement(part, 0, js.number(handle));
    js.setElement(part, 1, js.text(symbols.objectName()));
    js.setElement(part, 2, exportedNames(js, symbols));
    js.setElement(result, i, part);
  }
  return result;
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
  return call.js.numbers(*changed);
}

// keepNames(handle): the names.
Result keepNames(Call &call) {
  napi_value names = call.js.array();
  size_t count = 0;
  for (const std::string &name : call.engine().keepNames(call.uint32(0)))
    call.js.setElement(names, count++, call.js.text(name));
  return names;
}

// Why it can't be replaced, or undefined.
Result obstacle(Call &call) {
  Error error = call.engine().checkReplaceable(call.uint32(0));
  return error ? call.js.text(toString(std::move(error))) : call.js.undefined();
}

// replace(from, to): handles of the code objects whose references have changed.
Result replace(Call &call) {
  auto changed = call.engine().replace(call.uint32(0), call.uint32(1));
  if (!changed)
    return changed.takeError();
  if (auto &compiler = call.jit().asyncCompiler)
    compiler->replace(call.uint32(0), call.uint32(1));
  return call.js.numbers(*changed);
}

Result redirectHost(Call &call) {
  if (Error error = call.engine().redirectHost(call.uint32(0), Address::of(call.js.bigint(call.argument(1)))))
    return error;
  return call.js.undefined();
}

// compileAsync(source, options, urgency, done)
Result compileAsync(Call &call) {
  auto &compiler = call.jit().asyncCompiler;
  if (!compiler)
    compiler = std::make_unique<AsyncCompiler>(call.jit(), call.jit().compileThreads);
  auto urgency = call.text(2) == "background" ? AsyncCompiler::Urgency::Background : AsyncCompiler::Urgency::Awaited;
  compiler->add(readSource(call.js, call.argument(0)), readOptions(call.js, call.argument(1)), call.argument(3), urgency);
  return call.js.undefined();
}

} // namespace

void nomad::wrap::addCompile(const Js &js, napi_value target, Jit &jit) {
  bind<compile>(js, target, "compile", jit);
  bind<compileParts>(js, target, "compileParts", jit);
  bind<compileAsync>(js, target, "compileAsync", jit);
  bind<deserialize>(js, target, "deserialize", jit);
  bind<define>(js, target, "define", jit);
  bind<redirect>(js, target, "redirect", jit);
  bind<keepNames>(js, target, "keepNames", jit);
  bind<obstacle>(js, target, "obstacle", jit);
  bind<replace>(js, target, "replace", jit);
  bind<redirectHost>(js, target, "redirectHost", jit);
}

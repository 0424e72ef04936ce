// describe, plainCodeBytes, hasEnding, functions, signatureOf, globals, references, signature, addressOf, objectsIn, readGlobal,
// writeGlobal.
#include "wrap/call.h"

#include "llvm/ADT/SetVector.h"

#include <cstring>

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

napi_value kindName(const Js &js, ValueKind kind) { return js.text(valueKindName(kind)); }

double offsetOf(const Engine &engine, const CodeObject &object, SegmentKind kind) {
  const Segment &segment = object.segment(kind);
  bool isPlaced = object.state == State::Placed && segment.exists();
  return isPlaced ? static_cast<double>(segment.base - engine.placeable(kind).base) : -1;
}

Result describe(Call &call) {
  const Js &js = call.js;
  auto object = call.engine().object(call.uint32(0));
  if (!object)
    return object.takeError();
  napi_value sizes = js.array(3), alignments = js.array(3), offsets = js.array(3);
  for (SegmentKind kind : segmentKinds) {
    js.setElement(sizes, indexOf(kind), js.number(object->segment(kind).size));
    js.setElement(alignments, indexOf(kind), js.number(static_cast<double>(object->segment(kind).alignment())));
    js.setElement(offsets, indexOf(kind), js.number(offsetOf(call.engine(), *object, kind)));
  }
  napi_value result = js.object();
  js.set(result, "sizes", sizes);
  js.set(result, "alignments", alignments);
  js.set(result, "offsets", offsets);
  js.set(result, "relocationCount", js.number(object->relocations.count()));
  js.set(result, "relocationBytes", js.number(static_cast<double>(call.engine().retainedBytes(call.uint32(0)))));
  return result;
}

// What most code objects are, for much less than `describe`.
Result plainCodeBytes(Call &call) {
  auto object = call.engine().object(call.uint32(0));
  if (!object)
    return object.takeError();
  const Segment &code = object->segment(SegmentKind::Code);
  bool isPlain = !object->segment(SegmentKind::Constants).exists() && !object->segment(SegmentKind::Data).exists();
  return call.js.number(isPlain && code.alignment() <= call.uint32(1) ? static_cast<double>(code.size) : -1);
}

Result hasEnding(Call &call) {
  auto object = call.engine().object(call.uint32(0));
  if (!object)
    return object.takeError();
  return call.js.boolean(object->teardown != nullptr);
}

Result functions(Call &call) {
  const Js &js = call.js;
  auto object = call.engine().object(call.uint32(0));
  if (!object)
    return object.takeError();
  napi_value result = js.array();
  size_t count = 0;
  object->symbols.everyFunction([&](const FunctionSymbol &function) {
    napi_value names = js.array(function.parameterNames.size());
    for (size_t i = 0; i < function.parameterNames.size(); ++i)
      js.setElement(names, i, js.text(function.parameterNames[i]));
    napi_value entry = js.array(3);
    js.setElement(entry, 0, js.text(function.name));
    js.setElement(entry, 1, js.number(function.signature));
    js.setElement(entry, 2, names);
    js.setElement(result, count++, entry);
  });
  return result;
}

// signatureOf(handle, name): of an exported function; undefined if there is none.
Result exportedSignature(Call &call) {
  auto object = call.engine().object(call.uint32(0));
  if (!object)
    return object.takeError();
  auto function = object->symbols.function(call.text(1));
  return function ? call.js.number(function->signature) : nullptr;
}

Result globals(Call &call) {
  const Js &js = call.js;
  auto object = call.engine().object(call.uint32(0));
  if (!object)
    return object.takeError();
  napi_value result = js.array();
  size_t count = 0;
  object->symbols.everyGlobal([&](const GlobalSymbol &global) {
    napi_value entry = js.object();
    js.set(entry, "name", js.text(global.name));
    js.set(entry, "type", js.text(call.engine().types().text(global.type)));
    js.set(entry, "kind", global.kind ? kindName(js, *global.kind) : js.undefined());
    js.set(entry, "constant", js.boolean(global.isConstant));
    js.set(entry, "sizeBytes", js.number(static_cast<double>(global.size)));
    js.setElement(result, count++, entry);
  });
  return result;
}

Result references(Call &call) {
  Handle handle = call.uint32(0);
  auto object = call.engine().object(handle);
  if (!object)
    return object.takeError();
  SetVector<Handle> references;
  if (const auto &links = object->links)
    for (const CodePlace &reference : links->references)
      if (reference.object != handle)
        references.insert(reference.object);
  return call.js.numbers(references.takeVector());
}

Range readRange(const Js &js, const Engine &engine, SegmentKind kind, napi_value pair) {
  Address base = engine.placeable(kind).base;
  return {base + static_cast<Size>(js.number(js.element(pair, 0))), base + static_cast<Size>(js.number(js.element(pair, 1)))};
}

Result objectsIn(Call &call) {
  std::array<Range, 3> ranges;
  for (SegmentKind kind : segmentKinds)
    ranges[indexOf(kind)] = readRange(call.js, call.engine(), kind, call.argument(indexOf(kind)));
  return call.js.numbers(call.engine().objectsIn(ranges));
}

Result signature(Call &call) {
  std::uint32_t index = call.uint32(0);
  if (index >= call.engine().types().signatureCount())
    return fail(ErrorCode::Signature, "there is no signature " + Twine(index));
  return signatureObject(call.js, call.engine().types().signature(index));
}

Result addressOf(Call &call) {
  auto address = call.engine().addressOf(call.uint32(0), call.text(1));
  if (!address)
    return address.takeError();
  return call.js.bigint(address->value());
}

// ---- globals' values ----

template <typename Value>
Value load(Address address) {
  Value value;
  std::memcpy(&value, address.pointer(), sizeof value);
  return value;
}

template <typename Value>
void store(Address address, Value value) {
  std::memcpy(address.pointer(), &value, sizeof value);
}

napi_value readValue(const Js &js, ValueKind kind, Address address) {
  switch (kind) {
  case ValueKind::Void:
    return js.undefined();
  case ValueKind::I1:
    return js.boolean((load<std::uint8_t>(address) & 1) != 0);
  case ValueKind::I8:
    return js.number(load<std::int8_t>(address));
  case ValueKind::I16:
    return js.number(load<std::int16_t>(address));
  case ValueKind::I32:
    return js.number(load<std::int32_t>(address));
  case ValueKind::I64:
    return js.signedBigint(load<std::int64_t>(address));
  case ValueKind::Float:
    return js.number(static_cast<double>(load<float>(address)));
  case ValueKind::Double:
    return js.number(load<double>(address));
  case ValueKind::Ptr:
    return js.bigint(load<std::uint64_t>(address));
  }
  return js.undefined();
}

void writeValue(const Js &js, ValueKind kind, Address address, napi_value value) {
  switch (kind) {
  case ValueKind::Void:
    return;
  case ValueKind::I1:
    return store<std::uint8_t>(address, js.boolean(value));
  case ValueKind::I8:
    return store(address, static_cast<std::int8_t>(js.int32(value)));
  case ValueKind::I16:
    return store(address, static_cast<std::int16_t>(js.int32(value)));
  case ValueKind::I32:
    return store(address, js.int32(value));
  case ValueKind::Float:
    return store(address, static_cast<float>(js.number(value)));
  case ValueKind::Double:
    return store(address, js.number(value));
  case ValueKind::I64:
  case ValueKind::Ptr:
    return store(address, js.bigint(value));
  }
}

struct GlobalPlace {
  GlobalSymbol symbol;
  Address address;
};

Expected<GlobalPlace> findGlobal(Call &call) {
  auto symbol = call.engine().global(call.uint32(0), call.text(1));
  if (!symbol)
    return symbol.takeError();
  if (!symbol->kind)
    return fail(ErrorCode::Signature, "global '" + symbol->name + "' of type " + call.engine().types().text(symbol->type) +
                                          " can't be read or written as one value");
  auto address = call.engine().addressOf(call.uint32(0), symbol->place);
  if (!address)
    return address.takeError();
  return GlobalPlace{*symbol, *address};
}

Result readGlobal(Call &call) {
  auto global = findGlobal(call);
  if (!global)
    return global.takeError();
  return readValue(call.js, *global->symbol.kind, global->address);
}

Result writeGlobal(Call &call) {
  auto global = findGlobal(call);
  if (!global)
    return global.takeError();
  if (global->symbol.place.segment != SegmentKind::Data)
    return fail(ErrorCode::State, "global '" + global->symbol.name + "' is constant");
  writeValue(call.js, *global->symbol.kind, global->address, call.argument(2));
  return call.js.undefined();
}

} // namespace

napi_value nomad::wrap::signatureObject(const Js &js, const Signature &signature) {
  napi_value parameters = js.array(signature.parameters.size());
  for (size_t i = 0; i < signature.parameters.size(); ++i)
    js.setElement(parameters, i, kindName(js, signature.parameters[i].kind));
  napi_value result = js.object();
  js.set(result, "text", js.text(signature.text));
  js.set(result, "result", kindName(js, signature.result));
  js.set(result, "parameters", parameters);
  if (!signature.refusal.empty())
    js.set(result, "refusal", js.text(signature.refusal));
  return result;
}

void nomad::wrap::addLookup(const Js &js, napi_value target, Jit &jit) {
  bind<describe>(js, target, "describe", jit);
  bind<plainCodeBytes>(js, target, "plainCodeBytes", jit);
  bind<functions>(js, target, "functions", jit);
  bind<exportedSignature>(js, target, "signatureOf", jit);
  bind<globals>(js, target, "globals", jit);
  bind<references>(js, target, "references", jit);
  bind<objectsIn>(js, target, "objectsIn", jit);
  bind<hasEnding>(js, target, "hasEnding", jit);
  bind<signature>(js, target, "signature", jit);
  bind<addressOf>(js, target, "addressOf", jit);
  bind<readGlobal>(js, target, "readGlobal", jit);
  bind<writeGlobal>(js, target, "writeGlobal", jit);
}

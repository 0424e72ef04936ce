// addHost, stackRoots, pins, poison, verify, isRunning.
#include "wrap/call.h"

#include "llvm/ADT/DenseSet.h"

#include <map>

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

Result addHost(Call &call) {
  auto signature = parseSignature(call.text(1));
  if (!signature)
    return signature.takeError();
  if (!signature->refusal.empty())
    return fail(ErrorCode::Signature, "no host function can be of type " + signature->text + ": " + signature->refusal);
  auto handle = call.engine().addHost(call.text(0), *signature);
  if (!handle)
    return handle.takeError();
  call.jit().host.add(*call.engine().hostIndex(*handle), call.argument(2));
  return call.js.number(*handle);
}

// The exported function that a root leads into. A return address may lie past its function's end.
napi_value symbolOf(const Js &js, const StackRoot &root, std::map<const CodeObject *, FunctionFinder> &finders) {
  if (root.segment != SegmentKind::Code)
    return js.undefined();
  const FunctionFinder &finder = finders.try_emplace(root.object, root.object->symbols).first->second;
  StringRef name = finder.at(root.kind == StackRoot::Kind::Return ? root.offset - 1 : root.offset);
  return name.empty() ? js.undefined() : js.text(name);
}

// [kind, handle, address, value, symbol, ...]
napi_value flatten(Call &call, ArrayRef<StackRoot> roots, bool withSymbols) {
  const Js &js = call.js;
  std::map<const CodeObject *, FunctionFinder> finders;
  napi_value result = js.array(5 * roots.size());
  size_t at = 0;
  for (const StackRoot &root : roots) {
    Address value = root.object->segment(root.segment).base + root.offset;
    js.setElement(result, at++, js.number(static_cast<double>(root.kind)));
    js.setElement(result, at++, js.number(call.engine().handleOf(*root.object)));
    js.setElement(result, at++, js.bigint(root.slot.value()));
    js.setElement(result, at++, js.bigint(value.value()));
    js.setElement(result, at++, withSymbols ? symbolOf(js, root, finders) : js.undefined());
  }
  return result;
}

// stackRoots(withSymbols): names cost a walk through all symbols of each code object.
Result stackRoots(Call &call) {
  bool withSymbols = call.js.boolean(call.argument(0));
  const StackRoots &roots = call.engine().stackRoots();
  napi_value result = call.js.array(2);
  call.js.setElement(result, 0, flatten(call, roots.exact, withSymbols));
  call.js.setElement(result, 1, flatten(call, roots.ambiguous, withSymbols));
  return result;
}

// Handles of code objects that some segment of can't move now.
Result pins(Call &call) {
  DenseSet<Handle> pinned = call.engine().pinned();
  napi_value result = call.js.array(pinned.size());
  size_t at = 0;
  for (Handle handle : pinned)
    call.js.setElement(result, at++, call.js.number(handle));
  return result;
}

// poison(base, limit): offsets in the code range.
Result poison(Call &call) {
  Address code = call.engine().placeable(SegmentKind::Code).base;
  call.engine().poison({code + call.uint32(0), code + call.uint32(1)});
  return nullptr;
}

Result verify(Call &call) {
  if (Error error = call.engine().verify())
    return error;
  return nullptr;
}

Result isRunning(Call &call) { return call.js.boolean(call.engine().isRunning()); }

Result isWaiting(Call &call) {
  const ActivationChain &chain = threadActivations();
  return call.js.boolean(chain.innermost || chain.entryFrame != Address());
}

} // namespace

void nomad::wrap::addHostFunctions(const Js &js, napi_value target, Jit &jit) {
  bind<addHost>(js, target, "addHost", jit);
  bind<stackRoots>(js, target, "stackRoots", jit);
  bind<pins>(js, target, "pins", jit);
  bind<poison>(js, target, "poison", jit);
  bind<verify>(js, target, "verify", jit);
  bind<isRunning>(js, target, "isRunning", jit);
  bind<isWaiting>(js, target, "isWaiting", jit);
}

napi_value nomad::wrap::functionType(napi_env env, napi_callback_info info) {
  Js js{env};
  size_t count = 1;
  napi_value argument = nullptr;
  js.check(napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr));
  auto signature = parseSignature(js.text(argument));
  if (signature)
    return signatureObject(js, *signature);
  return js.text(messageOf(signature.takeError()));
}

// entry, thunk, bufferAddress: what lib/call/ makes callables of.
#include "wrap/call.h"

using namespace nomad;
using namespace nomad::wrap;
using namespace llvm;

namespace {

Result entry(Call &call) {
  auto index = call.engine().entry(call.uint32(0), call.text(1));
  if (!index)
    return index.takeError();
  return call.js.number(*index);
}

// The thunk is the callback itself: Node calls generated code without a function of ours in between.
Result thunk(Call &call) {
  ThunkStyle style = call.text(1) == "values" ? ThunkStyle::Values : ThunkStyle::Block;
  std::uint32_t index = call.uint32(0);
  if (index >= call.engine().types().signatureCount())
    return fail(ErrorCode::Signature, "there is no signature " + Twine(index));
  const Signature &signature = call.engine().types().signature(index);
  if (!signature.refusal.empty())
    return fail(ErrorCode::Signature, "JS can't call a function of type " + signature.text + ": " + signature.refusal);
  auto address = call.engine().thunk(index, style);
  if (!address)
    return address.takeError();
  auto callback = reinterpret_cast<napi_callback>(address->value());
  napi_value function = nullptr;
  call.js.check(napi_create_function(call.js.env, "thunk", NAPI_AUTO_LENGTH, callback, nullptr, &function));
  return function;
}

Result bufferAddress(Call &call) {
  auto bytes = call.js.bytes(call.argument(0));
  return call.js.bigint(bytes ? reinterpret_cast<std::uint64_t>(bytes->data) : 0);
}

} // namespace

void nomad::wrap::addCall(const Js &js, napi_value target, Jit &jit) {
  bind<entry>(js, target, "entry", jit);
  bind<thunk>(js, target, "thunk", jit);
  bind<bufferAddress>(js, target, "bufferAddress", jit);
}

#include "wrap/call.h"

#include <exception>
#include <new>

using namespace nomad;
using namespace nomad::wrap;

Call::Call(napi_env env, napi_callback_info info) : js{env} {
  size_t count = maxArguments;
  void *data = nullptr;
  js.check(napi_get_cb_info(env, info, &count, arguments_.data(), nullptr, &data));
  jit_ = static_cast<Jit *>(data);
}

namespace {

// A name in an error may be longer than a JS string can be.
napi_value errorText(const Js &js, llvm::StringRef text) {
  constexpr size_t longest = 1 << 20;
  return js.text(text.take_front(longest));
}

// { symbol, offset, codeObject }
napi_value frameObject(const Js &js, const TrapFrame &frame) {
  napi_value result = js.object();
  js.set(result, "symbol", errorText(js, frame.symbol));
  js.set(result, "offset", js.number(frame.offset));
  js.set(result, "codeObject", errorText(js, frame.object));
  return result;
}

void addTrap(const Js &js, napi_value result, const ErrorDetails &details) {
  if (details.address)
    js.set(result, "address", js.bigint(*details.address));
  napi_value frames = js.array(details.frames.size());
  for (size_t i = 0; i < details.frames.size(); ++i)
    js.setElement(frames, i, frameObject(js, details.frames[i]));
  js.set(result, "frames", frames);
  js.set(result, "frameCount", js.number(static_cast<double>(details.frameCount)));
}

napi_value detailsObject(const Js &js, const ErrorDetails &details) {
  napi_value result = js.object();
  if (details.line)
    js.set(result, "line", js.number(*details.line));
  if (details.column)
    js.set(result, "column", js.number(*details.column));
  if (details.sourceLine)
    js.set(result, "sourceLine", errorText(js, *details.sourceLine));
  if (details.kind)
    js.set(result, "kind", errorText(js, *details.kind));
  if (details.kind)
    addTrap(js, result, details);
  if (details.object)
    js.set(result, "object", js.number(*details.object));
  napi_value symbols = js.array(details.symbols.size());
  for (size_t i = 0; i < details.symbols.size(); ++i)
    js.setElement(symbols, i, errorText(js, details.symbols[i]));
  if (!details.symbols.empty())
    js.set(result, "symbols", symbols);
  return result;
}

napi_value callFactory(const Js &js, const Jit &jit, const CodedError &error) {
  napi_value factory = nullptr, made = nullptr;
  js.check(napi_get_reference_value(js.env, jit.errorFactory, &factory));
  napi_value arguments[] = {js.text(codeName(error.code)), errorText(js, error.message), detailsObject(js, error.details)};
  js.check(napi_call_function(js.env, js.undefined(), factory, 3, arguments, &made));
  return made;
}

} // namespace

Result nomad::wrap::guarded(Result (*function)(Call &), Call &call) {
  try {
    return function(call);
  } catch (const std::bad_alloc &) {
    return fail(ErrorCode::Arena, "the system has no memory for this");
  } catch (const std::exception &exception) {
    return fail(ErrorCode::State, llvm::Twine("the request can't be carried out: ") + exception.what());
  }
}

napi_value nomad::wrap::makeError(const Js &js, const Jit &jit, llvm::Error error) {
  napi_value made = nullptr;
  llvm::handleAllErrors(
      withCode(ErrorCode::Link, "LLVM", std::move(error)), [&](const CodedError &coded) { made = callFactory(js, jit, coded); },
      [&](const llvm::ErrorInfoBase &other) { made = callFactory(js, jit, CodedError(ErrorCode::Link, other.message(), {})); });
  return made;
}

void nomad::wrap::throwError(const Js &js, const Jit &jit, llvm::Error error) {
  if (napi_value made = makeError(js, jit, std::move(error)))
    napi_throw(js.env, made);
}

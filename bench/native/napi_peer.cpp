// The functions of the call figures as somebody would write them by hand on Node-API, and memcpy.
//
// In: JS values. Out: JS values. Always true: the three functions are exported by name too, so that koffi calls the same code.
#include <node_api.h>

#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#include <utility>

#define EXPORTED extern "C" __attribute__((visibility("default"), noinline))

EXPORTED std::int32_t add_i32(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}
EXPORTED double add_f64(double a, double b) { return a + b; }
EXPORTED std::int64_t add_i64(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

namespace {

napi_value refuse(napi_env env) {
  napi_throw_type_error(env, nullptr, "two arguments of the right type expected");
  return nullptr;
}

bool isPair(napi_env env, napi_callback_info info, napi_value (&values)[2]) {
  std::size_t count = 2;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count == 2;
}

napi_value addI32(napi_env env, napi_callback_info info) {
  napi_value values[2], result = nullptr;
  std::int32_t a = 0, b = 0;
  if (!isPair(env, info, values) || napi_get_value_int32(env, values[0], &a) != napi_ok ||
      napi_get_value_int32(env, values[1], &b) != napi_ok)
    return refuse(env);
  napi_create_int32(env, add_i32(a, b), &result);
  return result;
}

napi_value addF64(napi_env env, napi_callback_info info) {
  napi_value values[2], result = nullptr;
  double a = 0, b = 0;
  if (!isPair(env, info, values) || napi_get_value_double(env, values[0], &a) != napi_ok ||
      napi_get_value_double(env, values[1], &b) != napi_ok)
    return refuse(env);
  napi_create_double(env, add_f64(a, b), &result);
  return result;
}

napi_value addI64(napi_env env, napi_callback_info info) {
  napi_value values[2], result = nullptr;
  std::int64_t a = 0, b = 0;
  bool lossless = false;
  if (!isPair(env, info, values) || napi_get_value_bigint_int64(env, values[0], &a, &lossless) != napi_ok ||
      napi_get_value_bigint_int64(env, values[1], &b, &lossless) != napi_ok)
    return refuse(env);
  napi_create_bigint_int64(env, add_i64(a, b), &result);
  return result;
}

// What V8 and Node need to call any native function.
napi_value nothing(napi_env, napi_callback_info) { return nullptr; }

void *map(std::size_t bytes) {
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return nullptr;
  std::memset(memory, 1, bytes);
  return memory;
}

// copy(bytes): from one area to another, the next time back.
napi_value copy(napi_env env, napi_callback_info info) {
  constexpr std::size_t limit = std::size_t{16} << 20;
  static void *from = map(limit), *to = map(limit);
  std::size_t count = 1;
  napi_value value = nullptr;
  std::uint32_t bytes = 0;
  if (napi_get_cb_info(env, info, &count, &value, nullptr, nullptr) != napi_ok || count != 1 ||
      napi_get_value_uint32(env, value, &bytes) != napi_ok || bytes > limit || !from || !to)
    return refuse(env);
  std::memcpy(to, from, bytes);
  std::swap(from, to);
  return nullptr;
}

// callJs(f, count): the sum of f(i, 3) over i below count, as native code calls JS by hand.
napi_value callJs(napi_env env, napi_callback_info info) {
  napi_value values[2], receiver = nullptr, result = nullptr;
  std::uint32_t count = 0, sum = 0;
  if (!isPair(env, info, values) || napi_get_value_uint32(env, values[1], &count) != napi_ok ||
      napi_get_undefined(env, &receiver) != napi_ok)
    return refuse(env);
  for (std::uint32_t i = 0; i < count; ++i) {
    napi_handle_scope scope = nullptr;
    napi_value arguments[2], returned = nullptr;
    std::int32_t value = 0;
    if (napi_open_handle_scope(env, &scope) != napi_ok ||
        napi_create_int32(env, static_cast<std::int32_t>(i), &arguments[0]) != napi_ok ||
        napi_create_int32(env, 3, &arguments[1]) != napi_ok ||
        napi_call_function(env, receiver, values[0], 2, arguments, &returned) != napi_ok ||
        napi_get_value_int32(env, returned, &value) != napi_ok)
      return nullptr; // JS has thrown
    napi_close_handle_scope(env, scope);
    sum += static_cast<std::uint32_t>(value);
  }
  napi_create_int32(env, static_cast<std::int32_t>(sum), &result);
  return result;
}

napi_value initialise(napi_env env, napi_value exports) {
  const std::pair<const char *, napi_callback> functions[] = {{"addI32", addI32},   {"addF64", addF64}, {"addI64", addI64},
                                                              {"nothing", nothing}, {"copy", copy},     {"callJs", callJs}};
  for (auto [name, callback] : functions) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}

} // namespace

NAPI_MODULE(napi_peer, initialise)

#include "wrap/js.h"

using namespace nomad::wrap;

napi_value Js::undefined() const {
  napi_value value = nullptr;
  check(napi_get_undefined(env, &value));
  return value;
}

napi_value Js::boolean(bool value) const {
  napi_value result = nullptr;
  check(napi_get_boolean(env, value, &result));
  return result;
}

napi_value Js::number(double value) const {
  napi_value result = nullptr;
  check(napi_create_double(env, value, &result));
  return result;
}

napi_value Js::signedBigint(std::int64_t value) const {
  napi_value result = nullptr;
  check(napi_create_bigint_int64(env, value, &result));
  return result;
}

napi_value Js::bigint(std::uint64_t value) const {
  napi_value result = nullptr;
  check(napi_create_bigint_uint64(env, value, &result));
  return result;
}

napi_value Js::text(llvm::StringRef value) const {
  napi_value result = nullptr;
  check(napi_create_string_utf8(env, value.data() ? value.data() : "", value.size(), &result));
  return result;
}

napi_value Js::buffer(llvm::ArrayRef<std::uint8_t> bytes) const {
  napi_value result = nullptr;
  check(napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &result));
  return result;
}

napi_value Js::object() const {
  napi_value result = nullptr;
  check(napi_create_object(env, &result));
  return result;
}

napi_value Js::array(size_t length) const {
  napi_value result = nullptr;
  check(napi_create_array_with_length(env, length, &result));
  return result;
}

void Js::set(napi_value object, const char *name, napi_value value) const {
  check(napi_set_named_property(env, object, name, value));
}

void Js::setElement(napi_value array, size_t index, napi_value value) const {
  check(napi_set_element(env, array, static_cast<std::uint32_t>(index), value));
}

napi_value Js::numbers(llvm::ArrayRef<std::uint32_t> values) const {
  napi_value result = array(values.size());
  for (size_t i = 0; i < values.size(); ++i)
    setElement(result, i, number(values[i]));
  return result;
}

napi_value Js::get(napi_value object, const char *name) const {
  napi_value result = nullptr;
  check(napi_get_named_property(env, object, name, &result));
  return result;
}

napi_value Js::element(napi_value array, size_t index) const {
  napi_value result = nullptr;
  check(napi_get_element(env, array, static_cast<std::uint32_t>(index), &result));
  return result;
}

size_t Js::length(napi_value array) const {
  std::uint32_t length = 0;
  check(napi_get_array_length(env, array, &length));
  return length;
}

napi_valuetype Js::typeOf(napi_value value) const {
  napi_valuetype type = napi_undefined;
  check(napi_typeof(env, value, &type));
  return type;
}

std::uint32_t Js::uint32(napi_value value) const {
  std::uint32_t result = 0;
  check(napi_get_value_uint32(env, value, &result));
  return result;
}

std::int32_t Js::int32(napi_value value) const {
  std::int32_t result = 0;
  check(napi_get_value_int32(env, value, &result));
  return result;
}

double Js::number(napi_value value) const {
  double result = 0;
  check(napi_get_value_double(env, value, &result));
  return result;
}

bool Js::boolean(napi_value value) const {
  bool result = false;
  check(napi_get_value_bool(env, value, &result));
  return result;
}

std::uint64_t Js::bigint(napi_value value) const {
  if (typeOf(value) == napi_number)
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(number(value)));
  std::uint64_t result = 0;
  bool lossless = false;
  check(napi_get_value_bigint_uint64(env, value, &result, &lossless));
  return result;
}

std::string Js::text(napi_value value) const {
  size_t length = 0;
  if (!check(napi_get_value_string_utf8(env, value, nullptr, 0, &length)))
    return "";
  std::string result(length, '\0');
  check(napi_get_value_string_utf8(env, value, result.data(), length + 1, &length));
  return result;
}

std::optional<Js::Bytes> Js::bytes(napi_value value) const {
  Bytes bytes{nullptr, 0};
  bool is = false;
  if (check(napi_is_typedarray(env, value, &is)) && is) {
    size_t elements = 0;
    napi_typedarray_type type;
    check(napi_get_typedarray_info(env, value, &type, &elements, &bytes.data, nullptr, nullptr));
    bytes.size = elements; // of Uint8Array, the only one whose size anybody asks for
    return bytes;
  }
  if (check(napi_is_dataview(env, value, &is)) && is) {
    check(napi_get_dataview_info(env, value, &bytes.size, &bytes.data, nullptr, nullptr));
    return bytes;
  }
  if (check(napi_is_arraybuffer(env, value, &is)) && is) {
    check(napi_get_arraybuffer_info(env, value, &bytes.data, &bytes.size));
    return bytes;
  }
  return std::nullopt;
}

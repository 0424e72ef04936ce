// Node-API in words: values to and from JS. Every call's status is looked at; one that fails on our own well-formed arguments
// means that the environment can't run JS any more (it is shutting down), and its result is then null.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <node_api.h>

#include <cstdint>
#include <optional>
#include <string>

namespace nomad::wrap {

struct Js {
  napi_env env;
  /// Whether a call has failed: then what was read since may be 0, "" or null, and must not be used.
  mutable bool hasFailed = false;

  bool check(napi_status status) const {
    hasFailed |= status != napi_ok;
    return status == napi_ok;
  }

  napi_value undefined() const;
  napi_value boolean(bool value) const;
  napi_value number(double value) const;
  napi_value signedBigint(std::int64_t value) const;
  napi_value bigint(std::uint64_t value) const;
  napi_value text(llvm::StringRef value) const;
  /// A Buffer with a copy of `bytes`.
  napi_value buffer(llvm::ArrayRef<std::uint8_t> bytes) const;
  napi_value object() const;
  napi_value array(size_t length = 0) const;
  napi_value numbers(llvm::ArrayRef<std::uint32_t> values) const;

  void set(napi_value object, const char *name, napi_value value) const;
  void setElement(napi_value array, size_t index, napi_value value) const;
  napi_value get(napi_value object, const char *name) const;
  napi_value element(napi_value array, size_t index) const;
  size_t length(napi_value array) const;

  napi_valuetype typeOf(napi_value value) const;
  std::uint32_t uint32(napi_value value) const;
  std::int32_t int32(napi_value value) const;
  double number(napi_value value) const;
  bool boolean(napi_value value) const;
  std::uint64_t bigint(napi_value value) const; // also from a number; wraps at 64 bits
  std::string text(napi_value value) const;

  /// The bytes of a typed array, Buffer, DataView or ArrayBuffer.
  struct Bytes {
    void *data;
    size_t size;
  };
  std::optional<Bytes> bytes(napi_value value) const;
};

} // namespace nomad::wrap

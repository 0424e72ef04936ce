// What the fuzz targets share. A target never returns from what must not happen: it says what and aborts, which libFuzzer reports
// with the input.
#pragma once

#include "base/error.h"

#include "llvm/ADT/Twine.h"

#include <cstddef>
#include <cstdint>

namespace nomad::fuzz {

/// The input has shown a defect.
[[noreturn]] void defect(const llvm::Twine &what);

inline void require(bool holds, const llvm::Twine &what) {
  if (!holds)
    defect(what);
}

/// An error that the input may cause; one without a code of ours is a defect.
void expected(llvm::Error error);
/// An error here is a defect.
void need(llvm::Error error);
template <typename T>
T need(llvm::Expected<T> value) {
  if (!value)
    need(value.takeError());
  return std::move(*value);
}

} // namespace nomad::fuzz

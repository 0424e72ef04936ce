#include "base/integrity.h"

#include "base/error.h"

using namespace nomad;

namespace {
constexpr llvm::StringLiteral prefix = "damage: ";
}

llvm::Error nomad::broken(const char *structure, int invariant, const llvm::Twine &what) {
  return fail(ErrorCode::State, prefix + what + " [" + structure + " " + llvm::Twine(invariant) + "]");
}

llvm::Error nomad::brokenIn(const llvm::Twine &whose, llvm::Error error) {
  if (!error)
    return error;
  std::string text;
  handleAllErrors(
      std::move(error), [&](const CodedError &coded) { text = coded.message; },
      [&](const llvm::ErrorInfoBase &other) { text = other.message(); });
  llvm::StringRef what = text;
  what.consume_front(prefix);
  return fail(ErrorCode::State, prefix + whose + ": " + what);
}

#include "base/error.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace nomad;

char CodedError::ID = 0;

const char *nomad::codeName(ErrorCode code) {
  switch (code) {
  case ErrorCode::IRParse:
    return "ERR_IR_PARSE";
  case ErrorCode::IRVerify:
    return "ERR_IR_VERIFY";
  case ErrorCode::Codegen:
    return "ERR_CODEGEN";
  case ErrorCode::Link:
    return "ERR_LINK";
  case ErrorCode::UnresolvedSymbol:
    return "ERR_UNRESOLVED_SYMBOL";
  case ErrorCode::Unsupported:
    return "ERR_UNSUPPORTED";
  case ErrorCode::Signature:
    return "ERR_SIGNATURE";
  case ErrorCode::Placement:
    return "ERR_PLACEMENT";
  case ErrorCode::SpaceFull:
    return "ERR_SPACE_FULL";
  case ErrorCode::Pinned:
    return "ERR_PINNED";
  case ErrorCode::State:
    return "ERR_STATE";
  case ErrorCode::Trap:
    return "ERR_TRAP";
  case ErrorCode::Arena:
    return "ERR_ARENA";
  }
  return "ERR_UNKNOWN";
}

void CodedError::log(llvm::raw_ostream &stream) const { stream << codeName(code) << ": " << message; }

std::error_code CodedError::convertToErrorCode() const { return llvm::inconvertibleErrorCode(); }

llvm::Error nomad::fail(ErrorCode code, const llvm::Twine &message, ErrorDetails details) {
  return llvm::make_error<CodedError>(code, message.str(), std::move(details));
}

llvm::Error nomad::withCode(ErrorCode code, const llvm::Twine &context, llvm::Error error) {
  if (!error || error.isA<CodedError>())
    return error;
  std::string text = llvm::toString(std::move(error));
  return fail(code, context + ": " + text);
}

std::string nomad::messageOf(llvm::Error error) {
  std::string message;
  llvm::handleAllErrors(
      std::move(error), [&](const CodedError &coded) { message = coded.message; },
      [&](const llvm::ErrorInfoBase &other) { message = other.message(); });
  return message;
}

std::string nomad::hex(std::uint64_t value) { return "0x" + llvm::utohexstr(value, /*LowerCase=*/true); }

// Failures that a user or the system can cause: a code, a message and what a program may want to read of it.
//
// They travel as llvm::Error; nothing in native/ throws. wrap/ turns them into the error classes of lib/jit/error-factory.ts.
#pragma once

#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nomad {

enum class ErrorCode {
  IRParse,
  IRVerify,
  Codegen,
  Link,
  UnresolvedSymbol,
  Unsupported,
  Signature,
  Placement,
  SpaceFull,
  Pinned,
  State,
  Trap,
  Arena,
};

/// The `code` of the JS error, such as "ERR_IR_PARSE".
const char *codeName(ErrorCode code);

/// A function of code on the stack.
struct TrapFrame {
  std::string symbol;   // empty: none of the exported ones
  std::uint32_t offset; // in the function; in its code object's code, if there is no symbol
  std::string object;   // the code object's name
};

/// Machine-readable parts of an error. Lines and columns count from 1.
struct ErrorDetails {
  std::optional<unsigned> line;
  std::optional<unsigned> column;
  std::optional<std::string> sourceLine;
  std::vector<std::string> symbols;
  std::optional<std::string> kind;      // of a trap
  std::optional<std::uint32_t> object;  // handle of the code object that is pinned
  std::optional<std::uint64_t> address; // that a trap is about
  std::vector<TrapFrame> frames;        // of a trap, the innermost first; not all of very many
  std::uint64_t frameCount = 0;         // all
};

class CodedError : public llvm::ErrorInfo<CodedError> {
public:
  static char ID;
  CodedError(ErrorCode code, std::string message, ErrorDetails details)
      : code(code), message(std::move(message)), details(std::move(details)) {}

  void log(llvm::raw_ostream &stream) const override;
  std::error_code convertToErrorCode() const override;

  const ErrorCode code;
  const std::string message;
  const ErrorDetails details;
};

llvm::Error fail(ErrorCode code, const llvm::Twine &message, ErrorDetails details = {});

/// Gives an error that has no code of ours (LLVM's own) this one; leaves ours as they are.
llvm::Error withCode(ErrorCode code, const llvm::Twine &context, llvm::Error error);

/// What it says, without its code.
std::string messageOf(llvm::Error error);

/// "0x7f00": how messages show addresses and offsets.
std::string hex(std::uint64_t value);

} // namespace nomad

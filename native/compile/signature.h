// IR function types as JS sees them: how each value crosses, and whether JS can call such a function at all.
#pragma once

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llvm {
class Function;
class FunctionType;
class LLVMContext;
class Type;
} // namespace llvm

namespace nomad {

enum class ValueKind : std::uint8_t { Void, I1, I8, I16, I32, I64, Float, Double, Ptr };

/// "i32": the IR text of a kind's type, and its name in lib/.
llvm::StringRef valueKindName(ValueKind kind);
llvm::Type *valueKindType(ValueKind kind, llvm::LLVMContext &context);

/// How the ABI wants an integer narrower than a register.
enum class Extension : std::uint8_t { None, Sign, Zero };

struct Parameter {
  ValueKind kind;
  Extension extension;
  bool operator==(const Parameter &) const = default;
};

struct Signature {
  std::string text; // IR type, "i32 (ptr, i32)"
  ValueKind result = ValueKind::Void;
  std::vector<Parameter> parameters;
  std::string refusal; // why JS can't call it; empty if it can

  /// Equal keys: one call thunk serves both.
  std::string key() const;
};

/// The kind of a type that crosses as one value; false if it is none of them.
bool valueKindOf(const llvm::Type *type, ValueKind &kind);

Signature signatureOf(const llvm::Function &function);

/// A function type in IR syntax. Errors: Signature if it is not one.
llvm::Expected<Signature> parseSignature(llvm::StringRef text);

std::string typeText(const llvm::Type *type);

} // namespace nomad

#include "compile/signature.h"

#include "base/error.h"
#include "base/recovery.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/DerivedTypes.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/SourceMgr.h"

#include <array>

using namespace nomad;
using namespace llvm;

namespace {

constexpr std::array kindNames{"void", "i1", "i8", "i16", "i32", "i64", "float", "double", "ptr"};

// The argument block has room for this many, and V8 for more: a limit that no signature written by a person meets.
constexpr size_t parameterLimit = 1000;

bool integerKind(unsigned bits, ValueKind &kind) {
  switch (bits) {
  case 1:
    kind = ValueKind::I1;
    return true;
  case 8:
    kind = ValueKind::I8;
    return true;
  case 16:
    kind = ValueKind::I16;
    return true;
  case 32:
    kind = ValueKind::I32;
    return true;
  case 64:
    kind = ValueKind::I64;
    return true;
  default:
    return false;
  }
}

// Attributes that change where a parameter travels, so that its IR type alone does not say how to pass it.
const char *unusualPassing(const Argument &argument) {
  if (argument.hasByValAttr())
    return "byval";
  if (argument.hasAttribute(Attribute::InAlloca))
    return "inalloca";
  if (argument.hasAttribute(Attribute::Nest))
    return "nest";
  if (argument.hasAttribute(Attribute::SwiftAsync))
    return "swiftasync";
  if (argument.hasSwiftSelfAttr())
    return "swiftself";
  if (argument.hasSwiftErrorAttr())
    return "swifterror";
  return nullptr;
}

Extension extensionOf(const Argument &argument) {
  if (argument.hasSExtAttr())
    return Extension::Sign;
  return argument.hasZExtAttr() ? Extension::Zero : Extension::None;
}

std::string parameterRefusal(const Argument &argument) {
  ValueKind kind;
  std::string which = "parameter " + std::to_string(argument.getArgNo()) + " is ";
  if (!valueKindOf(argument.getType(), kind))
    return which + "of type " + typeText(argument.getType()) + ", which JS can't pass by value";
  if (const char *passing = unusualPassing(argument))
    return which + "passed " + passing;
  return "";
}

std::string refusalOf(const Function &function) {
  ValueKind kind;
  if (function.isVarArg())
    return "it takes variable arguments";
  if (function.getCallingConv() != CallingConv::C)
    return "its calling convention is not C's";
  if (!function.getReturnType()->isVoidTy() && !valueKindOf(function.getReturnType(), kind))
    return "it returns " + typeText(function.getReturnType()) + ", which JS can't take by value";
  if (function.arg_size() > parameterLimit)
    return "it has more than " + std::to_string(parameterLimit) + " parameters";
  for (const Argument &argument : function.args())
    if (std::string refusal = parameterRefusal(argument); !refusal.empty())
      return refusal;
  return "";
}

} // namespace

StringRef nomad::valueKindName(ValueKind kind) { return kindNames[static_cast<size_t>(kind)]; }

Type *nomad::valueKindType(ValueKind kind, LLVMContext &context) {
  switch (kind) {
  case ValueKind::Void:
    return Type::getVoidTy(context);
  case ValueKind::I1:
    return Type::getInt1Ty(context);
  case ValueKind::I8:
    return Type::getInt8Ty(context);
  case ValueKind::I16:
    return Type::getInt16Ty(context);
  case ValueKind::I32:
    return Type::getInt32Ty(context);
  case ValueKind::I64:
    return Type::getInt64Ty(context);
  case ValueKind::Float:
    return Type::getFloatTy(context);
  case ValueKind::Double:
    return Type::getDoubleTy(context);
  case ValueKind::Ptr:
    return PointerType::get(context, 0);
  }
  return nullptr;
}

bool nomad::valueKindOf(const Type *type, ValueKind &kind) {
  if (const auto *integer = dyn_cast<IntegerType>(type))
    return integerKind(integer->getBitWidth(), kind);
  if (type->isFloatTy())
    return kind = ValueKind::Float, true;
  if (type->isDoubleTy())
    return kind = ValueKind::Double, true;
  if (type->isPointerTy() && type->getPointerAddressSpace() == 0)
    return kind = ValueKind::Ptr, true;
  return false;
}

std::string nomad::typeText(const Type *type) {
  std::string text;
  raw_string_ostream(text) << *type;
  return text;
}

Signature nomad::signatureOf(const Function &function) {
  Signature signature;
  signature.text = typeText(function.getFunctionType());
  signature.refusal = refusalOf(function);
  if (!signature.refusal.empty())
    return signature;
  if (!function.getReturnType()->isVoidTy())
    valueKindOf(function.getReturnType(), signature.result);
  for (const Argument &argument : function.args()) {
    Parameter parameter{ValueKind::Void, extensionOf(argument)};
    valueKindOf(argument.getType(), parameter.kind);
    signature.parameters.push_back(parameter);
  }
  return signature;
}

namespace {

Expected<Signature> parseIn(llvm::Module &ir, StringRef text) {
  SMDiagnostic diagnostic;
  // The parser wants a null after the text.
  Type *type = parseType(text.str(), diagnostic, ir);
  if (!type)
    return fail(ErrorCode::Signature, "'" + text + "' is not a type in IR syntax: " + diagnostic.getMessage());
  auto *functionType = dyn_cast<FunctionType>(type);
  if (!functionType)
    return fail(ErrorCode::Signature, "'" + text + "' is not the type of a function, such as 'i32 (ptr, i32)'");
  return signatureOf(*Function::Create(functionType, GlobalValue::ExternalLinkage, "f", ir));
}

} // namespace

// A type may be nested too deeply for LLVM's parser.
Expected<Signature> nomad::parseSignature(StringRef text) {
  auto context = std::make_unique<LLVMContext>();
  std::unique_ptr<llvm::Module> ir;
  Signature signature;
  bool abandoned = false;
  Error error = runRecoverably(
      "a function type",
      [&]() -> Error {
        ir = std::make_unique<llvm::Module>("type", *context);
        return parseIn(*ir, text).moveInto(signature);
      },
      abandoned, ErrorCode::Signature);
  if (abandoned) {
    keepAbandoned(ir.release());
    keepAbandoned(context.release());
  }
  if (error)
    return error;
  return signature;
}

std::string Signature::key() const {
  std::string key = text;
  if (!refusal.empty())
    return key + '!' + refusal;
  for (const Parameter &parameter : parameters)
    key += parameter.extension == Extension::None ? '.' : parameter.extension == Extension::Sign ? 's' : 'z';
  return key;
}

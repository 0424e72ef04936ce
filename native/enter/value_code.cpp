#include "enter/value_code.h"

using namespace nomad;
using namespace llvm;

bool nomad::isSmallInteger(ValueKind kind) {
  return kind == ValueKind::I1 || kind == ValueKind::I8 || kind == ValueKind::I16 || kind == ValueKind::I32;
}

bool nomad::isFloating(ValueKind kind) { return kind == ValueKind::Float || kind == ValueKind::Double; }

Type *nomad::wideType(IRBuilderBase &ir, ValueKind kind) {
  if (isSmallInteger(kind))
    return ir.getInt32Ty();
  return isFloating(kind) ? ir.getDoubleTy() : static_cast<Type *>(ir.getInt64Ty());
}

Value *nomad::narrow(IRBuilderBase &ir, Value *value, ValueKind kind) {
  Type *type = valueKindType(kind, ir.getContext());
  if (kind == ValueKind::I1)
    return ir.CreateICmpNE(value, ir.getInt32(0));
  if (isSmallInteger(kind))
    return ir.CreateTrunc(value, type);
  if (kind == ValueKind::Float)
    return ir.CreateFPTrunc(value, type);
  return kind == ValueKind::Ptr ? ir.CreateIntToPtr(value, type) : value;
}

Value *nomad::widen(IRBuilderBase &ir, Value *value, ValueKind kind) {
  if (kind == ValueKind::I1)
    return ir.CreateZExt(value, ir.getInt32Ty());
  if (isSmallInteger(kind))
    return ir.CreateSExt(value, ir.getInt32Ty());
  if (kind == ValueKind::Float)
    return ir.CreateFPExt(value, ir.getDoubleTy());
  return kind == ValueKind::Ptr ? ir.CreatePtrToInt(value, ir.getInt64Ty()) : value;
}

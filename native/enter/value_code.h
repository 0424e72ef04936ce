// IR that changes a value between its own type and the form in which it crosses: int32, int64 or double.
#pragma once

#include "compile/signature.h"

#include "llvm/IR/IRBuilder.h"

namespace nomad {

bool isSmallInteger(ValueKind kind); // at most 32 bits
bool isFloating(ValueKind kind);

/// int32 for integers up to 32 bits, double for float and double, int64 for the rest.
llvm::Type *wideType(llvm::IRBuilderBase &ir, ValueKind kind);
llvm::Value *narrow(llvm::IRBuilderBase &ir, llvm::Value *value, ValueKind kind);
llvm::Value *widen(llvm::IRBuilderBase &ir, llvm::Value *value, ValueKind kind);

} // namespace nomad

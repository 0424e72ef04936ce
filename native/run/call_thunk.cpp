#include "run/call_thunk.h"

#include "compile/target.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/MDBuilder.h"

using namespace nomad;
using namespace llvm;

namespace {

bool isSmallInteger(ValueKind kind) {
  return kind == ValueKind::I1 || kind == ValueKind::I8 || kind == ValueKind::I16 || kind == ValueKind::I32;
}

bool isFloating(ValueKind kind) { return kind == ValueKind::Float || kind == ValueKind::Double; }

class ThunkBuilder {
public:
  ThunkBuilder(const Signature &signature, const ThunkEnvironment &environment)
      : signature_(signature), environment_(environment),
        parsed_{std::make_unique<LLVMContext>(), nullptr, std::make_shared<std::string>()}, context_(*parsed_.context),
        ir_(context_) {
    parsed_.ir = std::make_unique<Module>("call thunk " + signature.text, context_);
    parsed_.ir->setTargetTriple(hostTriple());
    parsed_.ir->setDataLayout(hostDataLayout());
    pointer_ = PointerType::get(context_, 0);
    // ptr thunk(napi_env env, napi_callback_info info)
    auto *type = FunctionType::get(pointer_, {pointer_, pointer_}, false);
    thunk_ = Function::Create(type, GlobalValue::ExternalLinkage, thunkName, *parsed_.ir);
    thunk_->setUWTableKind(UWTableKind::Default);
    thunk_->setPersonalityFn(cast<Constant>(external("__gxx_personality_v0", ir_.getInt32Ty(), {}, true).getCallee()));
    ir_.SetInsertPoint(BasicBlock::Create(context_, "entry", thunk_));
  }

  ParsedModule build(ThunkStyle style) {
    refreshIfStale();
    style == ThunkStyle::Block ? buildBlock() : buildValues();
    return std::move(parsed_);
  }

private:
  Value *constant(Address address) {
    return ConstantExpr::getIntToPtr(ConstantInt::get(Type::getInt64Ty(context_), address.value()), pointer_);
  }
  Value *blockAt(Size offset) { return constant(environment_.argumentBlock + offset); }
  Type *typeOf(ValueKind kind) { return valueKindType(kind, context_); }

  void refreshIfStale() {
    Value *stale = ir_.CreateICmpNE(ir_.CreateLoad(ir_.getInt32Ty(), constant(environment_.staleFlag)), ir_.getInt32(0));
    auto *refresh = BasicBlock::Create(context_, "refresh", thunk_);
    auto *ready = BasicBlock::Create(context_, "ready", thunk_);
    ir_.CreateCondBr(stale, refresh, ready, MDBuilder(context_).createUnlikelyBranchWeights());
    ir_.SetInsertPoint(refresh);
    auto *type = FunctionType::get(ir_.getVoidTy(), {pointer_}, false);
    ir_.CreateCall(type, constant(environment_.refresh), {constant(environment_.context)});
    ir_.CreateBr(ready);
    ir_.SetInsertPoint(ready);
  }

  Value *callFunction(Value *entryIndex, ArrayRef<Value *> arguments) {
    SmallVector<Type *> types;
    for (const Parameter &parameter : signature_.parameters)
      types.push_back(typeOf(parameter.kind));
    auto *type = FunctionType::get(typeOf(signature_.result), types, false);
    Value *slot = ir_.CreateGEP(pointer_, constant(environment_.entrySlots), ir_.CreateZExt(entryIndex, ir_.getInt64Ty()));
    auto *returned = BasicBlock::Create(context_, "returned", thunk_);
    InvokeInst *call = ir_.CreateInvoke(type, ir_.CreateLoad(pointer_, slot), returned, catchAll(entryIndex), arguments);
    ir_.SetInsertPoint(returned);
    for (unsigned i = 0; i < signature_.parameters.size(); ++i)
      if (Extension extension = signature_.parameters[i].extension; extension != Extension::None)
        call->addParamAttr(i, extension == Extension::Sign ? Attribute::SExt : Attribute::ZExt);
    return call;
  }

  FunctionCallee external(StringRef name, Type *result, ArrayRef<Type *> parameters, bool isVarArg = false) {
    return parsed_.ir->getOrInsertFunction(name, FunctionType::get(result, parameters, isVarArg));
  }

  // catch (...) { uncaught(context, entry); } return null;
  BasicBlock *catchAll(Value *entryIndex) {
    IRBuilder<> ir(BasicBlock::Create(context_, "uncaught", thunk_));
    LandingPadInst *pad = ir.CreateLandingPad(StructType::get(pointer_, ir.getInt32Ty()), 1);
    pad->addClause(ConstantPointerNull::get(pointer_));
    ir.CreateCall(external("__cxa_begin_catch", pointer_, {pointer_}), {ir.CreateExtractValue(pad, 0)});
    auto *type = FunctionType::get(ir.getVoidTy(), {pointer_, ir.getInt32Ty()}, false);
    ir.CreateCall(type, constant(environment_.uncaught), {constant(environment_.context), entryIndex});
    ir.CreateCall(external("__cxa_end_catch", ir.getVoidTy(), {}));
    ir.CreateRet(ConstantPointerNull::get(pointer_));
    return ir.GetInsertBlock();
  }

  // From what the block or Node-API holds (int32, int64, double) to the parameter's type.
  Value *narrow(Value *value, ValueKind kind) {
    if (kind == ValueKind::I1)
      return ir_.CreateICmpNE(value, ir_.getInt32(0));
    if (isSmallInteger(kind))
      return ir_.CreateTrunc(value, typeOf(kind));
    if (kind == ValueKind::Float)
      return ir_.CreateFPTrunc(value, typeOf(kind));
    return kind == ValueKind::Ptr ? ir_.CreateIntToPtr(value, pointer_) : value;
  }

  Value *widen(Value *value, ValueKind kind) {
    if (kind == ValueKind::I1)
      return ir_.CreateZExt(value, ir_.getInt32Ty());
    if (isSmallInteger(kind))
      return ir_.CreateSExt(value, ir_.getInt32Ty());
    if (kind == ValueKind::Float)
      return ir_.CreateFPExt(value, ir_.getDoubleTy());
    return kind == ValueKind::Ptr ? ir_.CreatePtrToInt(value, ir_.getInt64Ty()) : value;
  }

  Type *wideType(ValueKind kind) {
    if (isSmallInteger(kind))
      return ir_.getInt32Ty();
    return isFloating(kind) ? ir_.getDoubleTy() : static_cast<Type *>(ir_.getInt64Ty());
  }

  void buildBlock() {
    SmallVector<Value *> arguments;
    for (size_t i = 0; i < signature_.parameters.size(); ++i) {
      ValueKind kind = signature_.parameters[i].kind;
      arguments.push_back(narrow(ir_.CreateLoad(wideType(kind), blockAt(8 * i)), kind));
    }
    Value *result = callFunction(ir_.CreateLoad(ir_.getInt32Ty(), blockAt(environment_.entryOffset)), arguments);
    if (signature_.result != ValueKind::Void)
      ir_.CreateStore(widen(result, signature_.result), blockAt(0));
    ir_.CreateRet(ConstantPointerNull::get(pointer_));
  }

  // ---- Values: Node-API calls, which can't fail on values that were checked ----

  Value *callNodeApi(StringRef name, ArrayRef<Value *> arguments) {
    SmallVector<Type *> types;
    for (Value *argument : arguments)
      types.push_back(argument->getType());
    return ir_.CreateCall(external(name, ir_.getInt32Ty(), types), arguments);
  }

  Value *local(Type *type) { return new AllocaInst(type, 0, "", thunk_->getEntryBlock().begin()); }

  Value *readValue(Value *jsValue, ValueKind kind) {
    Value *env = thunk_->getArg(0);
    Value *place = local(wideType(kind));
    if (kind == ValueKind::I1) {
      ir_.CreateStore(ir_.getInt32(0), place); // napi_get_value_bool writes one byte
      callNodeApi("napi_get_value_bool", {env, jsValue, place});
    } else if (isSmallInteger(kind)) {
      callNodeApi("napi_get_value_int32", {env, jsValue, place});
    } else if (isFloating(kind)) {
      callNodeApi("napi_get_value_double", {env, jsValue, place});
    } else {
      callNodeApi("napi_get_value_bigint_int64", {env, jsValue, place, local(ir_.getInt8Ty())});
    }
    return narrow(ir_.CreateLoad(wideType(kind), place), kind);
  }

  Value *makeValue(Value *result, ValueKind kind) {
    if (kind == ValueKind::Void)
      return ConstantPointerNull::get(pointer_); // undefined
    Value *env = thunk_->getArg(0);
    Value *wide = widen(result, kind);
    Value *place = local(pointer_);
    if (kind == ValueKind::I1)
      callNodeApi("napi_get_boolean", {env, ir_.CreateTrunc(wide, ir_.getInt8Ty()), place});
    else if (isSmallInteger(kind))
      callNodeApi("napi_create_int32", {env, wide, place});
    else if (isFloating(kind))
      callNodeApi("napi_create_double", {env, wide, place});
    else
      callNodeApi(kind == ValueKind::Ptr ? "napi_create_bigint_uint64" : "napi_create_bigint_int64", {env, wide, place});
    return ir_.CreateLoad(pointer_, place);
  }

  void buildValues() {
    size_t count = signature_.parameters.size() + 1;
    Value *null = ConstantPointerNull::get(pointer_);
    Value *values = local(ArrayType::get(pointer_, count));
    Value *valueCount = local(ir_.getInt64Ty());
    ir_.CreateStore(ir_.getInt64(count), valueCount);
    callNodeApi("napi_get_cb_info", {thunk_->getArg(0), thunk_->getArg(1), valueCount, values, null, null});
    auto jsValue = [&](size_t i) { return ir_.CreateLoad(pointer_, ir_.CreateConstGEP1_64(pointer_, values, i)); };
    Value *entryIndex = readValue(jsValue(0), ValueKind::I32);
    SmallVector<Value *> arguments;
    for (size_t i = 0; i < signature_.parameters.size(); ++i)
      arguments.push_back(readValue(jsValue(i + 1), signature_.parameters[i].kind));
    Value *result = callFunction(entryIndex, arguments);
    ir_.CreateRet(makeValue(result, signature_.result));
  }

  const Signature &signature_;
  const ThunkEnvironment &environment_;
  ParsedModule parsed_;
  LLVMContext &context_;
  IRBuilder<> ir_;
  PointerType *pointer_;
  Function *thunk_;
};

} // namespace

ParsedModule nomad::buildThunk(const Signature &signature, ThunkStyle style, const ThunkEnvironment &environment) {
  return ThunkBuilder(signature, environment).build(style);
}

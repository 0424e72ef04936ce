#include "enter/call_thunk.h"

#include "compile/target.h"
#include "enter/value_code.h"
#include "fault/leave.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/MDBuilder.h"

using namespace nomad;
using namespace llvm;

namespace {

class ThunkBuilder {
public:
  ThunkBuilder(const Signature &signature, ThunkStyle style, std::uint32_t index, const ThunkEnvironment &environment)
      : signature_(signature), style_(style), index_(index), environment_(environment),
        parsed_{std::make_unique<LLVMContext>(), nullptr, std::make_shared<std::string>()}, context_(*parsed_.context),
        ir_(context_) {
    parsed_.ir = std::make_unique<Module>("call thunk " + signature.text, context_);
    parsed_.ir->setTargetTriple(machineTriple());
    parsed_.ir->setDataLayout(machineDataLayout());
    pointer_ = PointerType::get(context_, 0);
    // ptr thunk(napi_env env, napi_callback_info info); in style Direct, ptr thunk(ptr function, ptr argument)
    auto *type = FunctionType::get(pointer_, {pointer_, pointer_}, false);
    thunk_ = Function::Create(type, GlobalValue::ExternalLinkage, thunkName, *parsed_.ir);
    thunk_->setUWTableKind(UWTableKind::Default);
    thunk_->addFnAttr("frame-pointer", "all"); // the stack walk ends at this frame
    thunk_->setPersonalityFn(cast<Constant>(external(thunkPersonalityName, ir_.getInt32Ty(), {}, true).getCallee()));
    ir_.SetInsertPoint(BasicBlock::Create(context_, "entry", thunk_));
  }

  ParsedModule build() {
    prepareIf(ir_.CreateIsNotNull(load(ir_.getInt32Ty(), environment_.staleFlag)));
    prepareIf(ir_.CreateIsNotNull(load(pointer_, environment_.entryFrame)));
    if (style_ == ThunkStyle::Block)
      buildBlock();
    else if (style_ == ThunkStyle::Values)
      buildValues();
    else
      buildDirect();
    return std::move(parsed_);
  }

private:
  Value *constant(Address address) {
    return ConstantExpr::getIntToPtr(ConstantInt::get(Type::getInt64Ty(context_), address.value()), pointer_);
  }
  Value *blockAt(Size offset) { return constant(environment_.argumentBlock + offset); }
  Value *entryPlace() { return blockAt(environment_.entryOffset); }
  Type *typeOf(ValueKind kind) { return valueKindType(kind, context_); }

  Value *load(Type *type, Address address) { return ir_.CreateLoad(type, constant(address)); }

  // From memory: of several far constants LLVM keeps one in a register, across the call of code, and makes the others of it.
  Value *callback(IRBuilder<> &ir, Size offset) { return ir.CreateLoad(pointer_, constant(environment_.callbacks + offset)); }

  /// Goes on where `isRare` is false; returns a block for where it is true, in which nothing is yet.
  BasicBlock *unlessRare(Value *isRare) {
    auto *rare = BasicBlock::Create(context_, "rare", thunk_);
    auto *usual = BasicBlock::Create(context_, "usual", thunk_);
    ir_.CreateCondBr(isRare, rare, usual, MDBuilder(context_).createUnlikelyBranchWeights());
    ir_.SetInsertPoint(usual);
    return rare;
  }

  // return prepare(both arguments, context, index), which calls the thunk again. Its own address would be that of an entry stub.
  void prepareIf(Value *isRare) {
    IRBuilder<> ir(unlessRare(isRare));
    auto *type = FunctionType::get(pointer_, {pointer_, pointer_, pointer_, ir.getInt32Ty()}, false);
    Value *arguments[] = {thunk_->getArg(0), thunk_->getArg(1), constant(environment_.context), ir.getInt32(index_)};
    CallInst *call = ir.CreateCall(type, callback(ir, offsetof(ThunkCallbacks, prepare)), arguments);
    call->setTailCall();
    ir.CreateRet(call);
  }

  // Something may have happened that JS does not expect. The result is in its place by then: none is kept in a register.
  void attend() {
    BasicBlock *rare = unlessRare(ir_.CreateIsNotNull(load(ir_.getInt32Ty(), environment_.attention)));
    BasicBlock *usual = ir_.GetInsertBlock();
    IRBuilder<> ir(rare);
    Value *hasNoResult = ir.CreateCall(FunctionType::get(ir.getInt32Ty(), {pointer_}, false),
                                       callback(ir, offsetof(ThunkCallbacks, attend)), {constant(environment_.context)});
    auto *nothing = BasicBlock::Create(context_, "nothing", thunk_);
    ir.CreateCondBr(ir.CreateIsNotNull(hasNoResult), nothing, usual);
    ir.SetInsertPoint(nothing);
    ir.CreateRet(ConstantPointerNull::get(pointer_));
  }

  Value *callEntry(Value *entryIndex, ArrayRef<Value *> arguments) {
    Value *slot = ir_.CreateGEP(pointer_, constant(environment_.entrySlots), ir_.CreateZExt(entryIndex, ir_.getInt64Ty()));
    return callFunction([&] { return ir_.CreateLoad(pointer_, slot); }, arguments);
  }

  // `makeCallee` comes last, for a call through memory: code pushes whatever is in rax to align its frame, and the address of its
  // own code object would pin it there. The frame of the thunk that code runs in is known while it runs (see stack/activation.h).
  Value *callFunction(function_ref<Value *()> makeCallee, ArrayRef<Value *> arguments) {
    SmallVector<Type *> types;
    for (const Parameter &parameter : signature_.parameters)
      types.push_back(typeOf(parameter.kind));
    auto *type = FunctionType::get(typeOf(signature_.result), types, false);
    Value *frame = ir_.CreateIntrinsic(Intrinsic::frameaddress, {pointer_}, {ir_.getInt32(0)});
    ir_.CreateStore(frame, constant(environment_.entryFrame));
    exceptions_ = keepExceptionState();
    auto *returned = BasicBlock::Create(context_, "returned", thunk_);
    BasicBlock *unwound = catchAll();
    InvokeInst *call = ir_.CreateInvoke(type, makeCallee(), returned, unwound, arguments);
    ir_.SetInsertPoint(returned);
    noteLeft(ir_);
    for (unsigned i = 0; i < signature_.parameters.size(); ++i)
      if (Extension extension = signature_.parameters[i].extension; extension != Extension::None)
        call->addParamAttr(i, extension == Extension::Sign ? Attribute::SExt : Attribute::ZExt);
    return call;
  }

  FunctionCallee external(StringRef name, Type *result, ArrayRef<Type *> parameters, bool isVarArg = false) {
    return parsed_.ir->getOrInsertFunction(name, FunctionType::get(result, parameters, isVarArg));
  }

  void noteLeft(IRBuilder<> &ir) { ir.CreateStore(ConstantPointerNull::get(pointer_), constant(environment_.entryFrame)); }

  // caught(context, exception, entry, exceptions), with code entered until the exception's destructor, which is code, has run.
  // What leaves that is caught here too.
  BasicBlock *catchAll() {
    IRBuilder<> ir(BasicBlock::Create(context_, "unwound", thunk_));
    BasicBlock *pads = ir.GetInsertBlock();
    LandingPadInst *pad = ir.CreateLandingPad(StructType::get(pointer_, ir.getInt32Ty()), 1);
    pad->addClause(ConstantPointerNull::get(pointer_));
    Value *exception = ir.CreateExtractValue(pad, 0);
    // A nested call has put back what was there, which spares every call to keep it elsewhere.
    Value *entry = ir.getInt32(noEntry);
    if (style_ != ThunkStyle::Direct)
      entry = ir.CreateLoad(ir.getInt32Ty(), entryPlace());
    auto *type =
        FunctionType::get(ir.getVoidTy(), {pointer_, pointer_, ir.getInt32Ty(), ir.getInt64Ty(), ir.getInt64Ty()}, false);
    auto *done = BasicBlock::Create(context_, "done", thunk_);
    ir.CreateInvoke(type, callback(ir, offsetof(ThunkCallbacks, caught)), done, pads,
                    {constant(environment_.context), exception, entry, kept(ir, 0), kept(ir, 1)});
    ir.SetInsertPoint(done);
    noteLeft(ir);
    ir.CreateRet(ConstantPointerNull::get(pointer_));
    return pads;
  }

  void buildBlock() {
    SmallVector<Value *> arguments;
    for (size_t i = 0; i < signature_.parameters.size(); ++i) {
      ValueKind kind = signature_.parameters[i].kind;
      arguments.push_back(narrow(ir_, ir_.CreateLoad(wideType(ir_, kind), blockAt(8 * i)), kind));
    }
    Value *result = callEntry(ir_.CreateLoad(ir_.getInt32Ty(), entryPlace()), arguments);
    if (signature_.result != ValueKind::Void)
      ir_.CreateStore(widen(ir_, result, signature_.result), blockAt(0));
    attend();
    ir_.CreateRet(ConstantPointerNull::get(pointer_));
  }

  void buildDirect() {
    callFunction([&] { return thunk_->getArg(0); }, {thunk_->getArg(1)});
    ir_.CreateRet(ConstantPointerNull::get(pointer_));
  }

  // As one vector: one load, one store. Read as volatile words: else they stay in registers that every call has to save.
  Value *kept(IRBuilder<> &ir, unsigned word) {
    return ir.CreateLoad(ir.getInt64Ty(), ir.CreateConstGEP1_64(ir.getInt64Ty(), exceptions_, word), true);
  }
  Value *keepExceptionState() {
    auto *type = FixedVectorType::get(ir_.getInt64Ty(), sizeof(ExceptionState) / 8);
    Value *place = local(type);
    ir_.CreateStore(ir_.CreateAlignedLoad(type, constant(environment_.exceptions), Align(8)), place);
    return place;
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
    Value *place = local(wideType(ir_, kind));
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
    return narrow(ir_, ir_.CreateLoad(wideType(ir_, kind), place), kind);
  }

  Value *makeValue(Value *result, ValueKind kind) {
    if (kind == ValueKind::Void)
      return ConstantPointerNull::get(pointer_); // undefined
    Value *env = thunk_->getArg(0);
    Value *wide = widen(ir_, result, kind);
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
    ir_.CreateStore(entryIndex, entryPlace());
    SmallVector<Value *> arguments;
    for (size_t i = 0; i < signature_.parameters.size(); ++i)
      arguments.push_back(readValue(jsValue(i + 1), signature_.parameters[i].kind));
    Value *result = callEntry(entryIndex, arguments);
    attend();
    ir_.CreateRet(makeValue(result, signature_.result));
  }

  const Signature &signature_;
  ThunkStyle style_;
  std::uint32_t index_;
  const ThunkEnvironment &environment_;
  ParsedModule parsed_;
  LLVMContext &context_;
  IRBuilder<> ir_;
  PointerType *pointer_;
  Function *thunk_;
  Value *exceptions_ = nullptr; // the state that was kept
};

} // namespace

ParsedModule nomad::buildThunk(const Signature &signature, ThunkStyle style, std::uint32_t index,
                               const ThunkEnvironment &environment) {
  return ThunkBuilder(signature, style, index, environment).build();
}

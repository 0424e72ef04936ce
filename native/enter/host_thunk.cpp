#include "enter/host_thunk.h"

#include "compile/target.h"
#include "enter/call_thunk.h"
#include "enter/value_code.h"

#include "llvm/IR/MDBuilder.h"

using namespace nomad;
using namespace llvm;

// Its frame is known to stack/activation.h: the registers 48 bytes below the saved frame pointer.
asm(R"(
  .text
  .p2align 4
  .globl nomad_host_exit
  .hidden nomad_host_exit
  .type nomad_host_exit, @function
nomad_host_exit:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register %rbp
  subq $48, %rsp
  movq %rbx, (%rsp)
  movq %r12, 8(%rsp)
  movq %r13, 16(%rsp)
  movq %r14, 24(%rsp)
  movq %r15, 32(%rsp)
  movq $0, 40(%rsp)
  movq %rsp, %rdx
  call nomad_call_host
  leave
  .cfi_def_cfa %rsp, 8
  ret
  .cfi_endproc
  .size nomad_host_exit, .-nomad_host_exit
)");

extern "C" void nomad_host_exit();

Address nomad::hostExit() { return Address::of(reinterpret_cast<const void *>(&nomad_host_exit)); }

namespace {

class HostThunkBuilder {
public:
  HostThunkBuilder(const Signature &signature, const HostThunkEnvironment &environment)
      : signature_(signature), environment_(environment),
        parsed_{std::make_unique<LLVMContext>(), nullptr, std::make_shared<std::string>()}, context_(*parsed_.context),
        ir_(context_) {
    parsed_.ir = std::make_unique<Module>("host thunk " + signature.text, context_);
    parsed_.ir->setTargetTriple(machineTriple());
    parsed_.ir->setDataLayout(machineDataLayout());
    pointer_ = PointerType::get(context_, 0);
  }

  ParsedModule build() {
    Function *thunk = declare();
    ir_.SetInsertPoint(BasicBlock::Create(context_, "entry", thunk));
    Value *index = ir_.CreatePtrToInt(thunk->getArg(0), ir_.getInt32Ty());
    refuseOtherThreads(thunk, index);
    for (unsigned i = 0; i < signature_.parameters.size(); ++i)
      ir_.CreateStore(widen(ir_, thunk->getArg(i + 1), signature_.parameters[i].kind), blockAt(8 * i));
    CallInst *call = callOut(environment_.exit, index);
    call->setTailCallKind(CallInst::TCK_NoTail); // the stack walk begins with the thunk's frame
    if (signature_.result == ValueKind::Void)
      ir_.CreateRetVoid();
    else
      ir_.CreateRet(narrow(ir_, ir_.CreateLoad(wideType(ir_, signature_.result), blockAt(0)), signature_.result));
    return std::move(parsed_);
  }

private:
  CallInst *callOut(Address function, Value *index) {
    auto *type = FunctionType::get(ir_.getVoidTy(), {pointer_, ir_.getInt32Ty()}, false);
    return ir_.CreateCall(type, constant(function), {constant(environment_.context), index});
  }

  // Nothing of the engine may be touched there, the argument block included.
  void refuseOtherThreads(Function *thunk, Value *index) {
    Value *thread = ir_.CreateIntrinsic(Intrinsic::thread_pointer, {pointer_}, {});
    auto *own = BasicBlock::Create(context_, "own", thunk), *other = BasicBlock::Create(context_, "other", thunk);
    ir_.CreateCondBr(ir_.CreateICmpEQ(thread, constant(environment_.thread)), own, other,
                     MDBuilder(context_).createLikelyBranchWeights());
    ir_.SetInsertPoint(other);
    callOut(environment_.refuse, index);
    if (signature_.result == ValueKind::Void)
      ir_.CreateRetVoid();
    else
      ir_.CreateRet(Constant::getNullValue(thunk->getReturnType()));
    ir_.SetInsertPoint(own);
  }

  Value *constant(Address address) {
    return ConstantExpr::getIntToPtr(ConstantInt::get(Type::getInt64Ty(context_), address.value()), pointer_);
  }
  Value *blockAt(Size offset) { return constant(environment_.argumentBlock + offset); }

  // The index comes where C has a nested function's frame: nothing else uses the register.
  Function *declare() {
    SmallVector<Type *> types{pointer_};
    for (const Parameter &parameter : signature_.parameters)
      types.push_back(valueKindType(parameter.kind, context_));
    auto *type = FunctionType::get(valueKindType(signature_.result, context_), types, false);
    Function *thunk = Function::Create(type, GlobalValue::ExternalLinkage, thunkName, *parsed_.ir);
    thunk->addParamAttr(0, Attribute::Nest);
    if (signature_.result == ValueKind::I1)
      thunk->addRetAttr(Attribute::ZExt);
    else if (isSmallInteger(signature_.result))
      thunk->addRetAttr(Attribute::SExt);
    thunk->setUWTableKind(UWTableKind::Default);
    thunk->addFnAttr("frame-pointer", "all"); // the stack walk begins here
    return thunk;
  }

  const Signature &signature_;
  const HostThunkEnvironment &environment_;
  ParsedModule parsed_;
  LLVMContext &context_;
  IRBuilder<> ir_;
  PointerType *pointer_;
};

} // namespace

ParsedModule nomad::buildHostThunk(const Signature &signature, const HostThunkEnvironment &environment) {
  return HostThunkBuilder(signature, environment).build();
}

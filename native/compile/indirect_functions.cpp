#include "compile/indirect_functions.h"

#include "compile/movable_module.h"
#include "compile/structors.h"

#include "llvm/ADT/SmallVectorExtras.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

using namespace nomad;
using namespace llvm;

namespace {

constexpr StringLiteral slotPrefix = "nomad.slot.";
constexpr StringLiteral nearPrefix = "nomad.near.";

// A body without prologue that is one instruction of assembly.
void defineAsJump(Function &function, StringRef instruction, ArrayRef<Value *> operands = {}) {
  function.addFnAttr(Attribute::Naked);
  function.addFnAttr(Attribute::NoInline);
  LLVMContext &context = function.getContext();
  IRBuilder<> builder(BasicBlock::Create(context, "", &function));
  SmallVector<Type *> types = map_to_vector(operands, [](Value *operand) { return operand->getType(); });
  auto *type = FunctionType::get(builder.getVoidTy(), types, false);
  builder.CreateCall(InlineAsm::get(type, instruction, operands.empty() ? "" : "i", /*hasSideEffects=*/true), operands);
  builder.CreateUnreachable();
}

// In use for all that the optimiser knows: it can't give a jump another calling convention.
void lowerIFunc(GlobalIFunc &ifunc, GlobalVariable &slot) {
  auto *type = cast<FunctionType>(ifunc.getValueType());
  Function *function = Function::Create(type, ifunc.getLinkage(), ifunc.getAddressSpace(), "", ifunc.getParent());
  function->takeName(&ifunc);
  ifunc.replaceAllUsesWith(function);
  defineAsJump(*function, "jmpq *${0:c}(%rip)", {&slot});
  appendToCompilerUsed(*function->getParent(), {function});
}

} // namespace

void nomad::lowerIFuncs(llvm::Module &ir) {
  if (ir.ifunc_empty())
    return;
  LLVMContext &context = ir.getContext();
  auto *pointer = PointerType::get(context, 0);
  Function *resolve =
      Function::Create(FunctionType::get(Type::getVoidTy(context), false), GlobalValue::InternalLinkage, resolverName, ir);
  IRBuilder<> builder(BasicBlock::Create(context, "", resolve));
  for (GlobalIFunc &ifunc : make_early_inc_range(ir.ifuncs())) {
    Function *resolver = ifunc.getResolverFunction();
    auto *slot = new GlobalVariable(ir, pointer, false, GlobalValue::InternalLinkage, ConstantPointerNull::get(pointer),
                                    slotPrefix + ifunc.getName());
    lowerIFunc(ifunc, *slot);
    ifunc.eraseFromParent();
    CallInst *call = builder.CreateCall(resolver->getFunctionType(), resolver);
    call->setCallingConv(resolver->getCallingConv());
    builder.CreateStore(call, slot);
  }
  builder.CreateRetVoid();
  appendToGlobalCtors(ir, resolve, 0);
}

Function &nomad::nearThunk(llvm::Module &ir, const Function &function) {
  std::string name = (nearPrefix + function.getName()).str();
  if (Function *made = ir.getFunction(name))
    return *made;
  Function *thunk = Function::Create(function.getFunctionType(), GlobalValue::InternalLinkage, name, ir);
  std::string target;
  for (char c : function.getName())
    target += c == '$' ? "$$" : c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  defineAsJump(*thunk, "jmp \"" + target + "\"");
  return *thunk;
}

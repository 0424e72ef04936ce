#include "compile/exports.h"

#include "compile/movable_module.h"

#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"

using namespace nomad;
using namespace llvm;

namespace {

bool isExported(const GlobalValue &value) {
  return !value.isDeclarationForLinker() && !value.hasLocalLinkage() && !value.getName().starts_with("llvm.") &&
         !value.getName().starts_with(ownPrefix);
}

ExportedFunction exportOf(const Function &function, StringRef name) {
  ExportedFunction exported{name.str(), signatureOf(function), {}};
  for (const Argument &argument : function.args())
    exported.parameterNames.push_back(argument.getName().str());
  return exported;
}

ExportedGlobal exportOf(const GlobalVariable &global, StringRef name) {
  ExportedGlobal exported{name.str(), typeText(global.getValueType()), std::nullopt, global.isConstant(),
                          global.getDataLayout().getTypeAllocSize(global.getValueType()).getKnownMinValue()};
  ValueKind kind;
  if (!global.isThreadLocal() && valueKindOf(global.getValueType(), kind))
    exported.kind = kind;
  return exported;
}

bool callsSetjmp(const Function &function) {
  return function.callsFunctionThatReturnsTwice() || any_of(instructions(function), [](const Instruction &instruction) {
           const auto *call = dyn_cast<IntrinsicInst>(&instruction);
           return call && call->getIntrinsicID() == Intrinsic::eh_sjlj_setjmp;
         });
}

bool keepsCodeAddresses(const Function &function) {
  if (any_of(function, [](const BasicBlock &block) { return block.hasAddressTaken(); }))
    return true;
  return any_of(instructions(function), [](const Instruction &instruction) {
    const auto *call = dyn_cast<CallBase>(&instruction);
    if (!call)
      return false;
    const auto *intrinsic = dyn_cast<IntrinsicInst>(call);
    Intrinsic::ID id = intrinsic ? intrinsic->getIntrinsicID() : Intrinsic::not_intrinsic;
    return call->isInlineAsm() || id == Intrinsic::returnaddress || id == Intrinsic::addressofreturnaddress;
  });
}

void addAlias(const GlobalAlias &alias, Exports &exports) {
  const GlobalObject *object = alias.getAliaseeObject();
  if (const auto *function = dyn_cast_or_null<Function>(object))
    exports.functions.push_back(exportOf(*function, alias.getName()));
  else if (const auto *global = dyn_cast_or_null<GlobalVariable>(object))
    exports.globals.push_back(exportOf(*global, alias.getName()));
}

} // namespace

Exports nomad::exportsOf(const llvm::Module &ir) {
  Exports exports;
  for (const Function &function : ir)
    if (isExported(function))
      exports.functions.push_back(exportOf(function, function.getName()));
  for (const Function &function : ir) {
    if (callsSetjmp(function))
      exports.returnsTwice.push_back(function.getName().str());
    exports.keepsCodeAddresses |= keepsCodeAddresses(function);
  }
  for (const GlobalVariable &global : ir.globals())
    if (isExported(global) && !global.isThreadLocal())
      exports.globals.push_back(exportOf(global, global.getName()));
  for (const GlobalAlias &alias : ir.aliases())
    if (isExported(alias))
      addAlias(alias, exports);
  return exports;
}

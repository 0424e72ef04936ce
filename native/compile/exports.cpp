#include "compile/exports.h"

#include "compile/labels.h"
#include "compile/movable_module.h"

#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Transforms/Utils/GlobalStatus.h"

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

// `type` is the global's own, or what an alias says is there.
ExportedGlobal exportOf(const GlobalVariable &global, StringRef name, Type *type) {
  ExportedGlobal exported{name.str(), typeText(type), std::nullopt, global.isConstant(),
                          type->isSized() ? global.getDataLayout().getTypeAllocSize(type).getKnownMinValue() : 0};
  ValueKind kind;
  if (valueKindOf(type, kind))
    exported.kind = kind;
  return exported;
}

bool mayReturnTwice(const CallBase &call) {
  const auto *intrinsic = dyn_cast<IntrinsicInst>(&call);
  return call.hasFnAttr(Attribute::ReturnsTwice) || (intrinsic && intrinsic->getIntrinsicID() == Intrinsic::eh_sjlj_setjmp);
}

void addReturnsTwice(const Function &function, Exports &exports) {
  bool isSo = false, bySetjmpOnly = true;
  for (const Instruction &instruction : instructions(function))
    if (const auto *call = dyn_cast<CallBase>(&instruction); call && mayReturnTwice(*call)) {
      const Function *callee = call->getCalledFunction();
      isSo = true;
      bySetjmpOnly &= callee && callee->isDeclaration() && isSetjmp(callee->getName());
    }
  if (isSo)
    exports.returnsTwice.push_back({function.getName().str(), bySetjmpOnly});
}

bool keepsCodeAddresses(const Function &function) {
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
  else if (const auto *global = dyn_cast_or_null<GlobalVariable>(object); global && !global->isThreadLocal())
    exports.globals.push_back(exportOf(*global, alias.getName(), alias.getValueType()));
}

// Constants of which a copy can be told from the original.
bool isToldApart(const GlobalVariable &global) {
  if (!global.isConstant() || global.isDeclaration() || global.hasGlobalUnnamedAddr() || global.getName().starts_with("llvm."))
    return false;
  GlobalStatus status;
  return GlobalStatus::analyzeGlobal(&global, status) || status.IsCompared;
}

bool isCalled(const Function &function) {
  return any_of(function.uses(), [](const Use &use) {
    const auto *call = dyn_cast<CallBase>(use.getUser());
    return call && call->isCallee(&use);
  });
}

} // namespace

bool nomad::isSetjmp(StringRef name) { return name == "setjmp" || name == "_setjmp" || name == "__sigsetjmp"; }

Exports nomad::exportsOf(const llvm::Module &ir) {
  Exports exports;
  for (const Function &function : ir)
    if (isExported(function))
      exports.functions.push_back(exportOf(function, function.getName()));
  for (const Function &function : ir) {
    addReturnsTwice(function, exports);
    exports.keepsCodeAddresses |= keepsCodeAddresses(function);
  }
  LabelUse labels = labelUseOf(ir);
  exports.keepsCodeAddresses |= labels >= LabelUse::Code || !ir.getModuleInlineAsm().empty();
  exports.storesLabels = labels == LabelUse::Stored;
  for (const GlobalVariable &global : ir.globals())
    if (isExported(global) && !global.isThreadLocal())
      exports.globals.push_back(exportOf(global, global.getName(), global.getValueType()));
  for (const GlobalAlias &alias : ir.aliases())
    if (isExported(alias))
      addAlias(alias, exports);
  return exports;
}

std::vector<DeclaredFunction> nomad::declaredFunctions(const llvm::Module &ir) {
  std::vector<DeclaredFunction> declared;
  for (const Function &function : ir) {
    if (!function.isDeclaration() || function.isIntrinsic() || function.isVarArg() || !isCalled(function))
      continue;
    StringRef name = function.getName();
    name.consume_front("\1");
    declared.push_back({name.str(), typeText(function.getFunctionType())});
  }
  return declared;
}

bool nomad::isIrreplaceable(const llvm::Module &ir) {
  return any_of(ir.globals(), isToldApart) ||
         any_of(ir, [](const Function &function) { return isExported(function) && function.isDiscardableIfUnused(); });
}

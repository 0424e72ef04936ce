#include "compile/movable_module.h"

#include "base/error.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/Target/TargetLoweringObjectFile.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

#include <algorithm>

using namespace nomad;
using namespace llvm;

namespace {

MaybeAlign alignmentOf(const GlobalObject &object) {
  if (const auto *global = dyn_cast<GlobalVariable>(&object))
    return global->getAlign();
  const auto *function = dyn_cast<Function>(&object);
  return function ? function->getAlign() : MaybeAlign();
}

Error refuseUnmovable(llvm::Module &ir) {
  for (const GlobalIFunc &ifunc : ir.ifuncs())
    return fail(ErrorCode::Unsupported, ir.getModuleIdentifier() + ": ifunc '" + ifunc.getName() + "' is not supported");
  for (const GlobalObject &object : ir.global_objects())
    if (MaybeAlign alignment = alignmentOf(object); alignment && alignment->value() > maxAlignment)
      return fail(ErrorCode::Unsupported, ir.getModuleIdentifier() + ": alignment " + Twine(alignment->value()) + " of '" +
                                              object.getName() + "' is more than " + Twine(maxAlignment));
  for (const GlobalValue &value : ir.global_values())
    if (value.getName().starts_with(ownPrefix))
      return fail(ErrorCode::Unsupported, ir.getModuleIdentifier() + ": names that begin with '" + ownPrefix +
                                              "' are reserved: '" + value.getName() + "'");
  return Error::success();
}

// Names in IR become the names in the object file: nameless values get one, and "\01name" (not to be mangled; ELF mangles
// nothing) loses its mark.
void settleNames(llvm::Module &ir) {
  for (GlobalValue &value : ir.global_values()) {
    StringRef name = value.getName();
    if (name.empty())
      value.setName("nomad_anonymous");
    else if (name.consume_front("\1") && !ir.getNamedValue(name))
      value.setName(name.str());
  }
}

// A module is a world of its own here: its definitions win over the process's, nobody replaces them, and nothing is merged with
// another module's copy (DESIGN, traps 4 and 19). What it only declares may be anywhere, so it is reached through a slot (I6).
void closeLinkage(llvm::Module &ir) {
  for (GlobalValue &value : ir.global_values()) {
    if (value.isDeclarationForLinker()) {
      value.setVisibility(GlobalValue::DefaultVisibility);
      value.setDSOLocal(false);
      continue;
    }
    if (value.isWeakForLinker() && !value.hasCommonLinkage())
      value.setLinkage(GlobalValue::ExternalLinkage);
    if (value.hasPrivateLinkage() && isa<Function>(value))
      value.setLinkage(GlobalValue::InternalLinkage); // private names don't reach the object file's symbol table
    if (!value.hasLocalLinkage())
      value.setVisibility(GlobalValue::DefaultVisibility);
    value.setDSOLocal(true);
    if (auto *object = dyn_cast<GlobalObject>(&value))
      object->setComdat(nullptr);
  }
}

bool callsOthers(const Function &function) {
  return any_of(instructions(function), [](const Instruction &instruction) {
    const auto *call = dyn_cast<CallBase>(&instruction);
    return call && !isa<IntrinsicInst>(call) && !call->isInlineAsm();
  });
}

// The stack walk needs frame pointers, and an exception of a host function unwind records of whoever may wait for one.
void keepFrames(llvm::Module &ir) {
  for (Function &function : ir) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("frame-pointer", "all");
    if (callsOthers(function) && !function.hasUWTable())
      function.setUWTableKind(UWTableKind::Default);
  }
}

// ---- entry stubs (I10) ----

// Every use of a function's address that is not a call of it.
bool takesAddress(const Use &use) {
  const User *user = use.getUser();
  if (const auto *call = dyn_cast<CallBase>(user); call && call->isCallee(&use))
    return false;
  if (isa<BlockAddress>(user) || isa<DSOLocalEquivalent>(user) || isa<NoCFIValue>(user))
    return false;
  return !isa<GlobalAlias>(user) && !isa<Function>(user); // whose personality it may be
}

Function &entrySymbol(llvm::Module &ir, const GlobalValue &function, bool defined) {
  auto *type = dyn_cast<FunctionType>(function.getValueType());
  Function *entry = Function::Create(type, GlobalValue::ExternalLinkage, entryPrefix + function.getName(), ir);
  if (function.hasExternalWeakLinkage())
    entry->setLinkage(GlobalValue::ExternalWeakLinkage);
  entry->setDSOLocal(defined); // our own entry stubs are near; an undefined function's address may be libc's
  return *entry;
}

void replaceAddressUses(llvm::Module &ir, GlobalValue &function) {
  bool defined = !function.isDeclarationForLinker();
  if (!any_of(function.uses(), takesAddress))
    return;
  Function &entry = entrySymbol(ir, function, defined);
  function.replaceUsesWithIf(&entry, [](Use &use) { return takesAddress(use); });
}

void takeEntryStubs(llvm::Module &ir) {
  SmallVector<GlobalValue *> functions;
  for (Function &function : ir)
    if (!function.isIntrinsic())
      functions.push_back(&function);
  for (GlobalAlias &alias : ir.aliases())
    if (isa_and_nonnull<Function>(alias.getAliaseeObject()) && isa<FunctionType>(alias.getValueType()))
      functions.push_back(&alias);
  for (GlobalValue *function : functions) {
    // dso_local_equivalent @f and no_cfi @f are @f's address under another name.
    for (User *user : SmallVector<User *>(function->users()))
      if (isa<DSOLocalEquivalent>(user) || isa<NoCFIValue>(user))
        user->replaceAllUsesWith(function);
    replaceAddressUses(ir, *function);
  }
}

// ---- constructors, destructors, atexit ----

struct Structor {
  unsigned priority;
  Function *function;
};

SmallVector<Structor> takeStructors(llvm::Module &ir, StringRef listName) {
  SmallVector<Structor> structors;
  GlobalVariable *list = ir.getNamedGlobal(listName);
  if (!list || !list->hasInitializer())
    return structors;
  if (auto *entries = dyn_cast<ConstantArray>(list->getInitializer()))
    for (Value *operand : entries->operands()) {
      auto *entry = cast<ConstantStruct>(operand);
      auto *function = dyn_cast<Function>(entry->getOperand(1)->stripPointerCastsAndAliases());
      if (function)
        structors.push_back({static_cast<unsigned>(cast<ConstantInt>(entry->getOperand(0))->getZExtValue()), function});
    }
  list->eraseFromParent();
  std::stable_sort(structors.begin(), structors.end(), [](auto &a, auto &b) { return a.priority < b.priority; });
  return structors;
}

void defineRunner(llvm::Module &ir, StringRef name, ArrayRef<Structor> structors) {
  if (structors.empty())
    return;
  auto *type = FunctionType::get(Type::getVoidTy(ir.getContext()), false);
  auto *runner = Function::Create(type, GlobalValue::ExternalLinkage, name, ir);
  runner->setDSOLocal(true);
  IRBuilder<> builder(BasicBlock::Create(ir.getContext(), "", runner));
  for (const Structor &structor : structors)
    builder.CreateCall(type, structor.function);
  builder.CreateRetVoid();
}

// glibc has atexit only in its static part: a call of __cxa_atexit with the caller's own handle. The handle says whose handlers
// die with whom, so each module gets its own definition, as with glibc.
void defineAtexit(llvm::Module &ir) {
  Function *atexit = ir.getFunction("atexit");
  if (!atexit || !atexit->isDeclaration() || atexit->arg_size() != 1)
    return;
  LLVMContext &context = ir.getContext();
  auto *pointer = PointerType::get(context, 0);
  auto *integer = Type::getInt32Ty(context);
  FunctionCallee registrar = ir.getOrInsertFunction("__cxa_atexit", integer, pointer, pointer, pointer);
  Constant *handle = ir.getOrInsertGlobal("__dso_handle", Type::getInt8Ty(context));
  atexit->setLinkage(GlobalValue::InternalLinkage);
  IRBuilder<> builder(BasicBlock::Create(context, "", atexit));
  Value *null = ConstantPointerNull::get(pointer);
  builder.CreateRet(builder.CreateCall(registrar, {atexit->getArg(0), null, handle}));
}

// Lists of what must not be optimised away; they have done their work, and are no uses.
void dropUsedLists(llvm::Module &ir) {
  for (StringRef name : {"llvm.used", "llvm.compiler.used"})
    if (GlobalVariable *list = ir.getNamedGlobal(name))
      list->eraseFromParent();
}

void defineStructors(llvm::Module &ir) {
  defineRunner(ir, initializerName, takeStructors(ir, "llvm.global_ctors"));
  auto destructors = takeStructors(ir, "llvm.global_dtors");
  std::reverse(destructors.begin(), destructors.end());
  defineRunner(ir, finalizerName, destructors);
}

// ---- constants that stay (I11) ----

bool isPlainConstant(const GlobalVariable &global, const TargetMachine &machine) {
  if (global.isDeclarationForLinker() || global.isThreadLocal() || !global.isConstant())
    return false;
  if (global.getName().starts_with("llvm.") || global.getSection() == "llvm.metadata")
    return false;
  SectionKind kind = TargetLoweringObjectFile::getKindForGlobal(&global, machine);
  return kind.isReadOnly() || kind.isMergeableCString() || kind.isMergeableConst();
}

// Names a section for constants that a program could store the address of, so that what stays in .rodata is the compiler's own
// (jump tables, constant pools): that is read by code only and moves with it.
void separateConstants(llvm::Module &ir, const TargetMachine &machine, Granularity granularity) {
  for (GlobalVariable &global : ir.globals())
    if (isPlainConstant(global, machine))
      global.setSection(granularity == Granularity::Function ? (constantsSection + "." + global.getName()).str()
                                                             : constantsSection.str());
}

// ---- something to look up ----

bool isVisible(const GlobalValue &value) { return !value.isDeclarationForLinker() && !value.hasLocalLinkage(); }

void ensureAnchor(llvm::Module &ir) {
  if (any_of(ir.global_values(), isVisible))
    return;
  auto *byte = Type::getInt8Ty(ir.getContext());
  auto *anchor = new GlobalVariable(ir, byte, true, GlobalValue::ExternalLinkage, ConstantInt::get(byte, 0), anchorName);
  anchor->setDSOLocal(true);
}

} // namespace

Error nomad::makeMovable(llvm::Module &ir, const TargetMachine &machine, Moves moves, Granularity granularity) {
  if (Error error = refuseUnmovable(ir))
    return error;
  settleNames(ir);
  dropUsedLists(ir);
  defineAtexit(ir);
  defineStructors(ir);
  closeLinkage(ir);
  keepFrames(ir);
  takeEntryStubs(ir);
  ensureAnchor(ir);
  if (moves == Moves::Code || granularity == Granularity::Function)
    separateConstants(ir, machine, granularity);
  return Error::success();
}

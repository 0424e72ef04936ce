#include "compile/movable_module.h"

#include "base/error.h"
#include "compile/indirect_functions.h"
#include "compile/structors.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/Target/TargetLoweringObjectFile.h"

using namespace nomad;
using namespace llvm;

namespace {

// Emulated thread-local variables belong to their module; another module's can't be asked for.
Error refuseForeignThreadLocals(const llvm::Module &ir) {
  for (const GlobalVariable &global : ir.globals())
    if (global.isThreadLocal() && global.isDeclarationForLinker() && !global.use_empty())
      return fail(ErrorCode::Unsupported, ir.getModuleIdentifier() + ": thread-local variable '" + global.getName() +
                                              "' is another module's: they are not shared");
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

// An arena has everything within reach of 32 bits, whatever the module says of its size.
void bringNear(llvm::Module &ir) {
  for (GlobalVariable &global : ir.globals()) {
    global.clearCodeModel();
    for (StringRef large : {".ldata", ".lbss", ".lrodata"})
      if (global.getSection().starts_with(large))
        global.setSection("");
  }
}

// An alias into the middle of a variable would get the variable's size, and end past it: linkers refuse that. If the variable
// has no symbol of its own, it gets that of its type; so the variable's name becomes an alias, too.
void sizeAliases(llvm::Module &ir) {
  SmallSetVector<GlobalVariable *, 4> bases;
  for (GlobalAlias &alias : ir.aliases())
    if (alias.getAliasee() != alias.getAliaseeObject())
      if (auto *base = dyn_cast_or_null<GlobalVariable>(alias.getAliaseeObject()))
        bases.insert(base);
  for (GlobalVariable *base : bases) {
    if (!base->hasLocalLinkage()) {
      auto *alias = GlobalAlias::create(base->getValueType(), base->getAddressSpace(), GlobalValue::ExternalLinkage, "", base);
      alias->setThreadLocalMode(base->getThreadLocalMode());
      alias->takeName(base);
    }
    base->setComdat(nullptr);
    base->setVisibility(GlobalValue::DefaultVisibility);
    base->setLinkage(GlobalValue::PrivateLinkage);
    if (!base->hasName())
      base->setName("nomad_aliased");
  }
}

// A module is a world of its own here: its definitions win over the process's, are not replaced, and nothing is merged with
// another module's copy (pitfalls 4 and 19). What it only declares may be anywhere, so it is reached through a slot (I6).
void closeLinkage(llvm::Module &ir) {
  for (GlobalValue &value : ir.global_values()) {
    if (value.isDeclarationForLinker()) {
      value.setVisibility(GlobalValue::DefaultVisibility);
      value.setDSOLocal(false);
      continue;
    }
    if (value.isWeakForLinker()) // common ones, too: zeros like any others
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

// Conventions that pass an argument in rbp.
bool passesFramePointer(CallingConv::ID convention) { return convention == CallingConv::GHC || convention == CallingConv::HiPE; }

// Around such a call LLVM saves rbp; where frames are probed, LLVM 22 loses 8 bytes of the stack when it takes rbp back.
bool losesFramePointer(const Instruction &instruction) {
  const auto *call = dyn_cast<CallBase>(&instruction);
  if (!call)
    return false;
  const auto *assembly = dyn_cast<InlineAsm>(call->getCalledOperand());
  return passesFramePointer(call->getCallingConv()) || call->getCallingConv() == CallingConv::Intel_OCL_BI ||
         (assembly && StringRef(assembly->getConstraintString()).contains("bp}"));
}

bool canBeProbed(const Function &function) {
  return !function.hasFnAttribute(Attribute::Naked) && none_of(instructions(function), losesFramePointer);
}

// The stack walk is fast where there are frame pointers. Whatever runs may fail, or be interrupted, and is then unwound: so there
// are records of all. A frame larger than a page touches each of its pages in their order, so that its thread's stack ends where
// it should.
void keepFrames(llvm::Module &ir) {
  for (Function &function : ir) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("frame-pointer", passesFramePointer(function.getCallingConv()) ? "none" : "all");
    if (!function.hasUWTable() && !function.hasFnAttribute(Attribute::Naked)) // of which LLVM's would be wrong
      function.setUWTableKind(UWTableKind::Default);
    if (!canBeProbed(function))
      function.removeFnAttr("probe-stack");
    else if (!function.hasFnAttribute("probe-stack"))
      function.addFnAttr("probe-stack", "inline-asm");
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

Function &nearEntry(llvm::Module &ir, const Function &function) {
  Function &thunk = nearThunk(ir, function);
  thunk.setDSOLocal(true);
  return entrySymbol(ir, thunk, true);
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
    // Where the first must be near and @f is another module's, it is that of a thunk.
    for (User *user : SmallVector<User *>(function->users()))
      if (isa<DSOLocalEquivalent>(user) && function->isDeclarationForLinker())
        user->replaceAllUsesWith(&nearEntry(ir, cast<Function>(*function)));
      else if (isa<DSOLocalEquivalent>(user) || isa<NoCFIValue>(user))
        user->replaceAllUsesWith(function);
    replaceAddressUses(ir, *function);
  }
}

// ---- lists ----

// Lists of what must not be optimised away; they have done their work, and are no uses.
void dropUsedLists(llvm::Module &ir) {
  for (StringRef name : {"llvm.used", "llvm.compiler.used"})
    if (GlobalVariable *list = ir.getNamedGlobal(name))
      list->eraseFromParent();
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
  if (Error error = refuseForeignThreadLocals(ir))
    return error;
  settleNames(ir);
  dropUsedLists(ir);
  defineAtexit(ir);
  if (Error error = defineStructors(ir))
    return error;
  bringNear(ir);
  sizeAliases(ir);
  closeLinkage(ir);
  keepFrames(ir);
  takeEntryStubs(ir);
  ensureAnchor(ir);
  if (moves == Moves::Code || granularity == Granularity::Function)
    separateConstants(ir, machine, granularity);
  return Error::success();
}

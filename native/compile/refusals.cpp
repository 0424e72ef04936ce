#include "compile/refusals.h"

#include "base/error.h"
#include "compile/section_names.h"
#include "compile/tail_calls.h"

#include "llvm/Config/llvm-config.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/EHPersonalities.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Support/MathExtras.h"

using namespace nomad;
using namespace llvm;

namespace {

Error refuse(const llvm::Module &ir, const Twine &what) {
  return fail(ErrorCode::Unsupported, ir.getModuleIdentifier() + ": " + what);
}

// ---- names and sections ----

// The names of this JIT, of emulated thread-local variables, and of what linkers make.
bool isReservedName(StringRef name) {
  name.consume_front("\1");
  return name.starts_with(ownPrefix) || name.starts_with("__emutls_v.") || name.starts_with("__emutls_t.") ||
         name == "_GLOBAL_OFFSET_TABLE_";
}

Error refuseNames(const llvm::Module &ir) {
  for (const GlobalValue &value : ir.global_values())
    if (isReservedName(value.getName()))
      return refuse(ir, "the name '" + value.getName() + "' is reserved: so are all that begin with '" + ownPrefix +
                            "' or '__emutls_v.'");
  return Error::success();
}

bool isConstantVariable(const GlobalObject &object) {
  const auto *variable = dyn_cast<GlobalVariable>(&object);
  return !variable || variable->isConstant();
}

Error refuseSections(const llvm::Module &ir) {
  for (const GlobalObject &object : ir.global_objects()) {
    StringRef section = object.getSection();
    if (section.empty() || object.isDeclaration())
      continue;
    if (isReservedSection(section) || (isa<Function>(object) && structorListOf(section)))
      return refuse(ir, "'" + object.getName() + "' can't be in section '" + section + "', which is reserved");
    if (section.starts_with(".data.rel.ro") && !isConstantVariable(object))
      return refuse(ir, "variable '" + object.getName() + "' can't be in section '" + section + "', which is constant");
  }
  return Error::success();
}

MaybeAlign alignmentOf(const GlobalObject &object) {
  if (const auto *global = dyn_cast<GlobalVariable>(&object))
    return global->getAlign();
  const auto *function = dyn_cast<Function>(&object);
  return function ? function->getAlign() : MaybeAlign();
}

Error refuseAlignments(const llvm::Module &ir) {
  for (const GlobalObject &object : ir.global_objects())
    if (MaybeAlign alignment = alignmentOf(object); alignment && alignment->value() > maxAlignment)
      return refuse(ir, "alignment " + Twine(alignment->value()) + " of '" + object.getName() + "' is more than " +
                            Twine(maxAlignment));
  return Error::success();
}

// ---- sizes ----

// LLVM counts bits in 64 bits, and a larger size silently becomes a smaller one.
std::uint64_t bytesOf(Type *type, const DataLayout &layout) {
  if (auto *array = dyn_cast<ArrayType>(type))
    return SaturatingMultiply<std::uint64_t>(bytesOf(array->getElementType(), layout), array->getNumElements());
  std::uint64_t bytes = 0;
  if (auto *structure = dyn_cast<StructType>(type)) {
    for (Type *element : structure->elements())
      bytes = SaturatingAdd<std::uint64_t>(bytes, bytesOf(element, layout));
    return bytes;
  }
  return type->isSized() ? layout.getTypeAllocSize(type).getKnownMinValue() : 0;
}

constexpr std::uint64_t mostBytes = std::uint64_t{1} << 47; // of address space, and so of anything

bool isTooLarge(Type *type, const DataLayout &layout) { return bytesOf(type, layout) > mostBytes; }

Error refuseSizes(const llvm::Module &ir) {
  for (const GlobalVariable &global : ir.globals())
    if (isTooLarge(global.getValueType(), ir.getDataLayout()))
      return refuse(ir, "variable '" + global.getName() + "' is larger than the address space");
  return Error::success();
}

// ---- addresses ----

// Addresses relative to fs and gs, and those of 32 bits, are not where an arena is.
bool isFarAddressSpace(unsigned space, const DataLayout &layout) {
  constexpr unsigned gs = 256, ss = 258;
  return (space >= gs && space <= ss) || layout.getPointerSizeInBits(space) != layout.getPointerSizeInBits(0);
}

Error refuseAddressSpaces(const llvm::Module &ir) {
  for (const GlobalValue &value : ir.global_values())
    if (isFarAddressSpace(value.getAddressSpace(), ir.getDataLayout()))
      return refuse(ir, "address space " + Twine(value.getAddressSpace()) + " of '" + value.getName() +
                            "' is not the one that code and data are in");
  return Error::success();
}

// Whether what an alias stands for is not all within its variable.
bool reachesBeyond(const GlobalAlias &alias, const GlobalVariable &base) {
  const DataLayout &layout = base.getDataLayout();
  if (!alias.getValueType()->isSized() || !base.getValueType()->isSized())
    return false;
  APInt offset(layout.getIndexTypeSizeInBits(base.getType()), 0);
  alias.getAliasee()->stripAndAccumulateConstantOffsets(layout, offset, /*AllowNonInbounds=*/true);
  std::uint64_t size = layout.getTypeAllocSize(base.getValueType()), begin = offset.getZExtValue();
  return begin > size || size - begin < layout.getTypeStoreSize(alias.getValueType());
}

Error refuseAliases(const llvm::Module &ir) {
  for (const GlobalAlias &alias : ir.aliases()) {
    const GlobalObject *object = alias.getAliaseeObject();
    if (!object)
      return refuse(ir, "alias '" + alias.getName() + "' stands for no function or variable");
    const auto *base = dyn_cast<GlobalVariable>(object);
    if (base && reachesBeyond(alias, *base))
      return refuse(ir, "alias '" + alias.getName() + "' reaches beyond variable '" + base->getName() + "'");
    if (object->isThreadLocal() && alias.getAliasee()->stripPointerCasts() != object)
      return refuse(ir, "alias '" + alias.getName() + "' stands for a part of thread-local variable '" + object->getName() + "'");
  }
  for (const GlobalIFunc &ifunc : ir.ifuncs())
    if (!ifunc.getResolverFunction())
      return refuse(ir, "the resolver of ifunc '" + ifunc.getName() + "' is no function");
  return Error::success();
}

// Constants and initial values that contain `value`'s address.
template <typename Visit>
Error visitConstantUsers(const Constant &value, Visit visit) {
  SmallVector<const Constant *> pending{&value};
  SmallPtrSet<const Constant *, 8> seen;
  while (!pending.empty())
    for (const User *user : pending.pop_back_val()->users()) {
      const auto *constant = dyn_cast<Constant>(user);
      if (!constant || !seen.insert(constant).second)
        continue;
      if (Error error = visit(*constant))
        return error;
      if (!isa<GlobalValue>(constant) || isa<GlobalAlias>(constant))
        pending.push_back(constant);
    }
  return Error::success();
}

bool isListOfUses(const GlobalVariable &global) {
  return global.getName() == "llvm.used" || global.getName() == "llvm.compiler.used";
}

// Each thread has its own address of a thread-local variable, and code asks for it; and a thread's copy of one is out of a move's
// reach.
Error refuseConstantUses(const llvm::Module &ir, Moves moves) {
  for (const GlobalValue &value : ir.global_values()) {
    bool movesAway = moves == Moves::All && isa_and_nonnull<GlobalVariable>(value.getAliaseeObject());
    Error error = visitConstantUsers(value, [&](const Constant &user) -> Error {
      if (isa<ConstantPtrAuth>(user))
        return refuse(ir, "ptrauth: signed pointers to '" + value.getName() + "' need another processor");
      const auto *global = dyn_cast<GlobalVariable>(&user);
      if (!global || isListOfUses(*global))
        return Error::success();
      if (value.isThreadLocal())
        return refuse(ir, "the initial value of '" + global->getName() + "' has the address of thread-local variable '" +
                              value.getName() + "'");
      if (global->isThreadLocal() && movesAway)
        return refuse(ir, "the initial value of thread-local variable '" + global->getName() + "' has the address of '" +
                              value.getName() + "', which moves");
      return Error::success();
    });
    if (error)
      return error;
  }
  return Error::success();
}

// ---- functions ----

bool hasScalable(const Instruction &instruction) {
  const auto *variable = dyn_cast<AllocaInst>(&instruction);
  const auto *intrinsic = dyn_cast<IntrinsicInst>(&instruction);
  return instruction.getType()->isScalableTy() || (variable && variable->getAllocatedType()->isScalableTy()) ||
         (intrinsic && intrinsic->getIntrinsicID() == Intrinsic::vscale) ||
         any_of(instruction.operands(), [](const Use &operand) { return operand->getType()->isScalableTy(); });
}

// The author of the IR may not be allowed to read this machine's files.
bool readsFiles(StringRef assembly) { return assembly.contains(".incbin") || assembly.contains(".include"); }

// What an instruction has that can't be; empty if it has nothing.
StringRef unsupportedIn(const Instruction &instruction) {
  if (hasScalable(instruction))
    return "scalable vectors";
  if (const auto *variable = dyn_cast<AllocaInst>(&instruction);
      variable && isTooLarge(variable->getAllocatedType(), instruction.getDataLayout()))
    return "a local variable larger than the address space";
  const auto *call = dyn_cast<CallBase>(&instruction);
  if (!call)
    return "";
  if (isBrokenTailCall(*call))
    return "a musttail call with arguments that LLVM " LLVM_VERSION_STRING " loses in its calling convention";
  if (call->getOperandBundle(LLVMContext::OB_kcfi))
    return "kcfi calls, which read what lies before a function";
  if (call->getCallingConv() == CallingConv::AnyReg && !isa<IntrinsicInst>(call))
    return "anyregcc calls";
  const auto *assembly = dyn_cast<InlineAsm>(call->getCalledOperand());
  if (assembly && writesReservedSection(assembly->getAsmString()))
    return "assembly in a reserved section";
  if (assembly && readsFiles(assembly->getAsmString()))
    return "assembly that reads files (.incbin, .include)";
  return "";
}

StringRef unsupportedIn(const Function &function) {
  if (function.hasPrefixData())
    return "prefix data, which an entry stub does not have before it";
  if (function.getCallingConv() == CallingConv::AnyReg)
    return "anyregcc";
  if (function.hasFnAttribute(Attribute::SafeStack))
    return "safestack, whose second stack a runtime library would have to give each thread";
  if (function.hasPersonalityFn() && isFuncletEHPersonality(classifyEHPersonality(function.getPersonalityFn())))
    return "the exception handling of another platform";
  if (function.getFunctionType()->getReturnType()->isScalableTy() ||
      any_of(function.args(), [](const Argument &argument) { return argument.getType()->isScalableTy(); }))
    return "scalable vectors";
  for (const Instruction &instruction : instructions(function))
    if (StringRef what = unsupportedIn(instruction); !what.empty())
      return what;
  return "";
}

Error refuseFunctions(const llvm::Module &ir) {
  if (writesReservedSection(ir.getModuleInlineAsm()))
    return refuse(ir, "module assembly in a reserved section");
  if (readsFiles(ir.getModuleInlineAsm()))
    return refuse(ir, "module assembly that reads files (.incbin, .include)");
  for (const Function &function : ir)
    if (StringRef what = unsupportedIn(function); !what.empty())
      return refuse(ir, "function '" + function.getName() + "' has " + what);
  return Error::success();
}

} // namespace

Error nomad::refuseUnsupported(const llvm::Module &ir, Moves moves) {
  for (auto *refuseSome :
       {refuseNames, refuseSections, refuseAlignments, refuseSizes, refuseAddressSpaces, refuseAliases, refuseFunctions})
    if (Error error = refuseSome(ir))
      return error;
  return refuseConstantUses(ir, moves);
}

#include "compile/structors.h"

#include "base/error.h"
#include "compile/movable_module.h"
#include "compile/section_names.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"

#include <algorithm>

using namespace nomad;
using namespace llvm;

namespace {

using When = StructorList::When;

struct Structor {
  When when;
  unsigned priority;
  Function *function;
};

class StructorCollector {
public:
  explicit StructorCollector(llvm::Module &ir) : ir_(ir) {}

  Error collect() {
    if (Error error = takeList("llvm.global_ctors", When::Load))
      return error;
    if (Error error = takeList("llvm.global_dtors", When::Unload))
      return error;
    for (GlobalVariable &global : ir_.globals())
      if (Error error = takeSection(global))
        return error;
    llvm::stable_sort(structors_, [](auto &a, auto &b) { return orderOf(a) < orderOf(b); });
    return Error::success();
  }

  // In the order in which they run.
  SmallVector<Function *> running(When when) const {
    SmallVector<Function *> functions;
    for (const Structor &structor : structors_)
      if (structor.when == when)
        functions.push_back(structor.function);
    if (when == When::Unload)
      std::reverse(functions.begin(), functions.end());
    return functions;
  }

private:
  static unsigned orderOf(const Structor &structor) {
    return structor.function->getName() == resolverName ? 0 : structor.priority + 1;
  }

  Error takeList(StringRef name, When when) {
    GlobalVariable *list = ir_.getNamedGlobal(name);
    if (!list || !list->hasInitializer())
      return Error::success();
    for (unsigned i = 0; Constant *entry = list->getInitializer()->getAggregateElement(i); ++i) {
      auto *priority = dyn_cast_or_null<ConstantInt>(entry->getAggregateElement(0u));
      Constant *function = entry->getAggregateElement(1u);
      if (!priority || !function)
        return refuseEntry(name);
      if (Error error = take({when, static_cast<unsigned>(priority->getLimitedValue(65535))}, *function, name))
        return error;
    }
    list->eraseFromParent();
    return Error::success();
  }

  // What a linker would gather from sections: one pointer, or an array of them.
  Error takeSection(GlobalVariable &global) {
    auto list = structorListOf(global.getSection());
    if (!list || !global.hasInitializer())
      return Error::success();
    global.setSection("");
    Constant *value = global.getInitializer();
    if (!value->getType()->isArrayTy())
      return take(*list, *value, global.getName());
    for (unsigned i = 0; Constant *entry = value->getAggregateElement(i); ++i)
      if (Error error = take(*list, *entry, global.getName()))
        return error;
    return Error::success();
  }

  Error take(StructorList list, Constant &entry, StringRef name) {
    if (entry.isNullValue())
      return Error::success();
    auto *function = dyn_cast<Function>(entry.stripPointerCastsAndAliases());
    if (!function)
      return refuseEntry(name);
    structors_.push_back({list.when, list.priority, function});
    return Error::success();
  }

  Error refuseEntry(StringRef name) const {
    return fail(ErrorCode::Unsupported, ir_.getModuleIdentifier() + ": an entry of '" + name + "' is no function");
  }

  llvm::Module &ir_;
  SmallVector<Structor> structors_;
};

void defineRunner(llvm::Module &ir, StringRef name, ArrayRef<Function *> functions) {
  if (functions.empty())
    return;
  auto *type = FunctionType::get(Type::getVoidTy(ir.getContext()), false);
  auto *runner = Function::Create(type, GlobalValue::ExternalLinkage, name, ir);
  runner->setDSOLocal(true);
  IRBuilder<> builder(BasicBlock::Create(ir.getContext(), "", runner));
  for (Function *function : functions)
    builder.CreateCall(type, function);
  builder.CreateRetVoid();
}

} // namespace

Error nomad::defineStructors(llvm::Module &ir) {
  StructorCollector collector(ir);
  if (Error error = collector.collect())
    return error;
  defineRunner(ir, initializerName, collector.running(When::Load));
  defineRunner(ir, finalizerName, collector.running(When::Unload));
  return Error::success();
}

void nomad::defineAtexit(llvm::Module &ir) {
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

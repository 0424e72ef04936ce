#include "compile/own_functions.h"

#include "compile/this_machine.h"

#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/Attributes.h"
#include "llvm/TargetParser/Triple.h"

using namespace nomad;
using namespace llvm;

bool nomad::isLibraryFunction(StringRef name) {
  static const TargetLibraryInfoImpl library{Triple(thisMachine().triple)};
  LibFunc function;
  return library.getLibFunc(name, function);
}

// As clang's -fno-builtin-NAME does: "nobuiltin" is for calls that are there, "no-builtin-NAME" of a caller for those that LLVM
// would make in it, and of a declaration for what it would infer.
void nomad::disownLibrary(Module &ir, ArrayRef<std::string> names) {
  AttrBuilder unknown(ir.getContext());
  for (StringRef name : names)
    unknown.addAttribute(("no-builtin-" + name).str());
  for (Function &function : ir) {
    bool isOwn = !function.isDeclarationForLinker() || is_contained(names, function.getName());
    if (!isOwn || !isLibraryFunction(function.getName())) // LLVM folds calls of internal ones too
      continue;
    function.addFnAttr(Attribute::NoBuiltin);
    unknown.addAttribute(("no-builtin-" + function.getName()).str());
  }
  if (unknown.hasAttributes())
    for (Function &caller : ir)
      if (!caller.isIntrinsic())
        caller.addFnAttrs(unknown);
}

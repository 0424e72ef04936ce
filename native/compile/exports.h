// A module's names: its exported functions and globals with their types, and the functions that call setjmp.
#pragma once

#include "compile/frames.h"
#include "compile/signature.h"

#include "llvm/IR/Module.h"

#include <optional>
#include <string>
#include <vector>

namespace nomad {

struct ExportedFunction {
  std::string name;
  Signature signature;
  std::vector<std::string> parameterNames; // empty where the IR has none
};

struct ExportedGlobal {
  std::string name;
  std::string type;
  std::optional<ValueKind> kind; // none: JS can't read it as one value
  bool isConstant;
  std::uint64_t size;
};

/// A function that may find itself returned to again.
struct ReturnsTwice {
  std::string name;
  bool bySetjmpOnly; // of the process, if no other is defined
};

/// A function of another module, and the type with which this one calls it.
struct DeclaredFunction {
  std::string name;
  std::string type;
};

struct Exports {
  std::vector<ExportedFunction> functions;
  std::vector<ExportedGlobal> globals;
  /// Functions, exported or not, that call what may return twice.
  std::vector<ReturnsTwice> returnsTwice;
  /// Code may make addresses of its labels, or have its own return address: blockaddress, llvm.returnaddress, assembly.
  bool keepsCodeAddresses = false;
  /// Labels' addresses may be in memory that a move does not know.
  bool storesLabels = false;
  /// See below.
  bool isIrreplaceable = false;
  /// Known when code has been generated.
  ModuleFrames frames;
  /// See `declaredFunctions`.
  std::vector<DeclaredFunction> declared;
};

/// Names of glibc's functions that longjmp returns from.
bool isSetjmp(llvm::StringRef name);

/// Functions, globals and aliases with a definition that other modules could link to.
Exports exportsOf(const llvm::Module &ir);

/// Those that are called under their names. Not those that may be of any type: declared with variable arguments (what C makes of
/// `int f()`), or declared only to take their addresses. Asked before anything is optimised, which calls others.
std::vector<DeclaredFunction> declaredFunctions(const llvm::Module &ir);

/// Whether another compile of the module could not take its place: code may compare addresses of its constants with addresses
/// that it has kept; or it has functions that an optimiser may drop, and others may use. Asked before anything is optimised, as
/// it is to be the same at all levels.
bool isIrreplaceable(const llvm::Module &ir);

} // namespace nomad

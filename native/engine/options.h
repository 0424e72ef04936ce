// Options of a Jit and of a compilation, and how a client names a function.
#pragma once

#include "compile/object_file.h"
#include "link/code_object.h"
#include "runtime/process_symbols.h"

#include <string>
#include <vector>

namespace nomad {

enum class LinkerKind { JITLink, RuntimeDyld };

struct EngineOptions {
  Size arenaBytes = Size{1} << 30;
  LinkerKind linker = LinkerKind::JITLink;
  /// After every move, are bytes what a fresh link at that place gives? Keeps all object files, and links twice for each move.
  bool verifiesMoves = false;
  /// Code that a move or `free` leaves becomes traps.
  bool poisonsVacated = false;
  ProcessSymbols::Policy symbols = ProcessSymbols::Policy::All;
  std::vector<std::string> listedSymbols;
  std::string cacheDirectory; // empty: no compile cache
  Size cacheBytes = 0;
};

/// What a client says a name stands for: an address, or a function of a code object.
struct Import {
  std::string name;
  Address address;          // if object is noHandle
  Handle object = noHandle; // else its exported function `symbol`
  std::string symbol;
};

/// An exported function of a code object.
struct FunctionPlace {
  Handle object;
  std::string symbol;
};

struct CompileOptions {
  std::string name;
  OptLevel level = OptLevel::O2;
  Moves moves = Moves::Code;
  Retain retain = Retain::Relocations;
  std::vector<Import> imports;
  bool isIsolated = false;   // a helper process generates the code
  CompileLimits limits = {}; // of that
  Handle alike = noHandle;   // names stand for what they do in that code object, which has kept them
};

} // namespace nomad

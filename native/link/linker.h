// The interface of linkers: object file -> code object at its nominal base. What comes out does not show which linker made it.
//
// An object file that is kept can be emitted again, for other addresses: the first of the two ways to keep code movable.
#pragma once

#include "compile/object_file.h"
#include "link/code_object.h"

namespace nomad {

/// What a name that an object file does not define stands for.
struct Resolution {
  enum class Kind { Missing, Fixed, Function };
  Kind kind = Kind::Missing;
  Address address;          // Fixed: its address. Function: where the code is at present
  Address entry;            // Function: its entry stub
  Handle object = noHandle; // Function: the code object that has it
  Offset offset = 0;        // Function: in that one's code
  bool staysValid = false;  // a setjmp whose return address follows moves

  static Resolution fixed(Address address) { return {Kind::Fixed, address, address}; }
};

class SymbolResolver {
public:
  virtual ~SymbolResolver() = default;
  /// Errors: SpaceFull, when a function needs an entry stub and there is none left.
  virtual llvm::Expected<Resolution> resolve(llvm::StringRef name) = 0;
};

struct LinkRequest {
  std::string name;
  Moves moves = Moves::Code;
  Retain retain = Retain::Relocations;
  bool keepsObject = false; // in the image, whatever is retained for moving
};

/// What every link needs of its Jit.
struct LinkEnvironment {
  Arena &arena;
  EntryTable &entries;
  TypePool &types;
};

/// A code object's bytes for other addresses than it has, and all that has to be rewritten when those change.
struct Emission {
  std::unique_ptr<Image> image;
  std::vector<Relocation> relocations;
};

using SegmentBases = std::array<Address, 3>; // by SegmentKind

/// Of now.
inline SegmentBases basesOf(const CodeObject &object) {
  return {object.segments[0].base, object.segments[1].base, object.segments[2].base};
}

/// Stands for one of several code objects until they have handles.
constexpr Handle partHandle(std::uint32_t part) { return Handle{1} << 31 | part; }
constexpr bool isPartHandle(Handle handle) { return handle >> 31 != 0; }
constexpr std::uint32_t partOfHandle(Handle handle) { return handle & ~(Handle{1} << 31); }

class Linker {
public:
  virtual ~Linker() = default;
  /// The code object refers to others by handle in `links->references`; the caller enters it among their dependents.
  /// Errors: Link, UnresolvedSymbol (all names at once), Unsupported, SpaceFull; then nothing is kept.
  virtual llvm::Expected<CodeObject> link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) = 0;
  /// The same as several code objects, which refer to each other by `partHandle`: the first holds what is not a function's
  /// alone. Errors: as `link`; Unsupported, if this linker can't.
  virtual llvm::Expected<std::vector<CodeObject>> linkParts(ObjectFile object, const LinkRequest &request,
                                                            SymbolResolver &resolver) = 0;
  /// The same object file once more, for these addresses; `code` of its imports says where others are. Errors: Link.
  virtual llvm::Expected<Emission> emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) = 0;
};

} // namespace nomad

// A code object's names: its own, and its exported functions and globals with their types. One block of bytes, because there are
// as many of these as code objects. Names are found by reading through it, or by an index where there are many.
#pragma once

#include "base/address.h"
#include "base/integrity.h"
#include "compile/exports.h"
#include "memory/arena.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"

#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace nomad {

using SignatureIndex = std::uint32_t;

/// Signatures and type texts, each kept once for a whole Jit.
class TypePool {
public:
  SignatureIndex intern(const Signature &signature);
  const Signature &signature(SignatureIndex index) const { return signatures_[index]; }
  Size signatureCount() const { return signatures_.size(); }
  Size textCount() const { return texts_.size(); }
  std::uint32_t internText(llvm::StringRef text);
  const std::string &text(std::uint32_t index) const { return texts_[index]; }

private:
  llvm::StringMap<SignatureIndex> signatureByKey_;
  llvm::StringMap<std::uint32_t> textIndex_;
  std::deque<Signature> signatures_;
  std::deque<std::string> texts_;
};

/// Where a symbol is in its code object.
struct SymbolPlace {
  SegmentKind segment;
  Offset offset;
};

/// A symbol's place and its bytes from there on; 0 if the object file does not say how many.
struct SymbolExtent {
  SymbolPlace place;
  Size size;
};

struct FunctionSymbol {
  llvm::StringRef name;
  SymbolPlace place;
  Size size;
  SignatureIndex signature;
  std::vector<llvm::StringRef> parameterNames;
};

struct GlobalSymbol {
  llvm::StringRef name;
  SymbolPlace place;
  std::uint32_t type; // in the TypePool
  std::optional<ValueKind> kind;
  bool isConstant;
  Size size;
};

class SymbolTable {
public:
  using ExtentOf = llvm::function_ref<std::optional<SymbolExtent>(llvm::StringRef)>;

  SymbolTable() = default;
  /// `extentOf` says where the link put a name; names that it does not know are left out.
  static SymbolTable encode(llvm::StringRef objectName, const Exports &exports, TypePool &types, ExtentOf extentOf);

  llvm::StringRef objectName() const;
  void everyFunction(llvm::function_ref<void(const FunctionSymbol &)> visit) const;
  void everyGlobal(llvm::function_ref<void(const GlobalSymbol &)> visit) const;
  std::optional<FunctionSymbol> function(llvm::StringRef name) const;
  std::optional<GlobalSymbol> global(llvm::StringRef name) const;
  /// The exported function whose code is at `offset`, or ''. Allocates nothing.
  llvm::StringRef functionAt(Offset offset) const;
  Size bytes() const;
  /// With segments of these sizes. Always true:
  ///   1. it ends where its last symbol ends;
  ///   2. each symbol lies in a segment, with all its bytes;
  ///   3. signatures and types are in the pool;
  ///   4. an index leads to each symbol once, in the order of their names.
  llvm::Error checkIntegrity(const std::array<Size, 3> &sizes, const TypePool &types) const;
  /// Into the cache, to be read soon.
  void fetch() const { __builtin_prefetch(encoded_.get()); }

private:
  friend Damage;

  /// Where symbols begin, in the order of their names; empty of a table with few.
  struct Index {
    const std::uint8_t *begins = nullptr;
    std::uint32_t count = 0;
  };
  Index index() const;
  const std::uint8_t *beginAt(std::uint32_t position) const; // in the index
  /// The symbol `name`, of a table with an index; or null.
  const std::uint8_t *find(llvm::StringRef name) const;
  const std::uint8_t *symbolsEnd() const;
  /// At least the symbols of that name.
  void everyNamed(llvm::StringRef name, llvm::function_ref<void(const FunctionSymbol &)> onFunction,
                  llvm::function_ref<void(const GlobalSymbol &)> onGlobal) const;
  void everySymbol(llvm::function_ref<void(const FunctionSymbol &)> onFunction,
                   llvm::function_ref<void(const GlobalSymbol &)> onGlobal) const;

  std::unique_ptr<std::uint8_t[]> encoded_; // begins with its own size
};

/// Finds the exported function that an offset in code belongs to. The SymbolTable has to outlive it.
class FunctionFinder {
public:
  explicit FunctionFinder(const SymbolTable &symbols);
  /// Its name, of several the first one in the module; empty if no exported function's code is there.
  llvm::StringRef at(Offset offset) const;

  struct Extent {
    Offset base;
    Offset limit;
    llvm::StringRef name;
  };
  /// Null as `at` is empty.
  const Extent *find(Offset offset) const;

private:
  std::vector<Extent> extents_; // disjoint, in address order
};

} // namespace nomad

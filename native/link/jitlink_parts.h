// A link graph split into parts that become code objects of their own: one for each function, with what only it uses, and one,
// the first, for all the rest of the module.
//
//   assign   give each block to a part. Functions are apart unless something ties them to the rest
//   copy     slots, stubs, unwind records' common parts and constant pools: each part has its own
//
// What ties a function to the rest: data with an address in its code that is no entry stub; a way of referring to it, or from it,
// for which there is no relocation between code objects; a module's constructors; and, in a module with exit handlers, that its
// address is taken, since the handlers run when the rest is freed.
#pragma once

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace nomad {

using PartIndex = std::uint32_t;

class JITLinkParts {
public:
  using Graph = llvm::jitlink::LinkGraph;
  using Block = llvm::jitlink::Block;
  using Edge = llvm::jitlink::Edge;
  using Section = llvm::jitlink::Section;
  using Symbol = llvm::jitlink::Symbol;

  static constexpr PartIndex rest = 0;

  struct Traits {
    /// Machine code of the module.
    llvm::function_ref<bool(const Section &)> isText;
    /// What the program may write to.
    llvm::function_ref<bool(const Section &)> isData;
    /// Can a site of this kind refer to another code object?
    llvm::function_ref<bool(const Edge &)> canCross;
    /// Can other modules import it?
    llvm::function_ref<bool(const Symbol &)> isExported;
    /// Is it tied to the rest by its name?
    llvm::function_ref<bool(const Symbol &)> isTied;
  };

  /// Changes the graph: afterwards every block belongs to one part, or to none.
  JITLinkParts(Graph &graph, const Traits &traits);

  PartIndex count() const { return count_; }
  /// None for unused blocks: those that were copied.
  std::optional<PartIndex> partOf(const Block &block) const;
  /// In the order in which they are laid out.
  const std::vector<Block *> &blocksOf(PartIndex part) const { return blocks_[part]; }

private:
  enum class Kind { Text, Data, Frame, Shared, Constant };
  Kind kindOf(const Block &block) const;

  void assignText();
  bool tieWhatMustBe();
  void assignConstants();
  bool addUser(Block &block, PartIndex user);
  void assignFrames();
  void number();
  void copyShared();
  void copyTargets(Block &block, PartIndex part);
  Block &copyFor(PartIndex part, Block &original, std::uint64_t base, std::uint64_t size);
  void terminateFrames();
  void sortBlocks();

  Graph &graph_;
  const Traits &traits_;
  std::vector<Block *> all_; // in the graph's order of sections and addresses
  llvm::DenseMap<const Block *, PartIndex> parts_;
  std::map<std::tuple<PartIndex, Block *, std::uint64_t>, Block *> copies_;
  PartIndex count_ = 1;
  std::vector<std::vector<Block *>> blocks_;
};

} // namespace nomad

// One link by JITLink, seen from the passes of its link graph: what it resolves, where it puts blocks, what it leaves behind.
//
//   resolveExternals   names -> fixed addresses, or another code object's functions
//   classifySections   which segment each section belongs to
//   allocate           segments in plain memory, at nominal addresses
//   capture            edges -> relocations, symbols -> offsets
#pragma once

#include "link/jump_targets.h"
#include "link/linker.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h"

namespace nomad {

class JITLinkCapture {
public:
  JITLinkCapture(Arena &arena, EntryTable &entries, TypePool &types, const Exports &exports, const LinkRequest &request,
                 SymbolResolver &resolver)
      : arena_(arena), entries_(entries), types_(types), exports_(exports), request_(request), resolver_(resolver) {}

  void addPasses(llvm::jitlink::PassConfiguration &passes);
  llvm::Error allocate(llvm::jitlink::BasicLayout &layout);

  /// The code object, after a link without error.
  CodeObject take();
  /// Gives back what a failed link had taken.
  void abandon();

private:
  using Graph = llvm::jitlink::LinkGraph;
  using Block = llvm::jitlink::Block;
  using Edge = llvm::jitlink::Edge;
  using Section = llvm::jitlink::Section;
  using Symbol = llvm::jitlink::Symbol;

  llvm::Error keepAddressTaken(Graph &graph);
  llvm::Error resolveExternals(Graph &graph);
  llvm::Error resolveOne(Graph &graph, Symbol &symbol, std::vector<std::string> &missing);
  llvm::Expected<bool> resolveOwnEntry(Graph &graph, Symbol &symbol, llvm::StringRef name);
  void resolveTo(Graph &graph, Symbol &symbol, const Resolution &resolution, bool wantsEntry);
  void directCalls(Graph &graph);
  void directCall(Graph &graph, Edge &edge);
  llvm::Error classifySections(Graph &graph);
  SegmentKind segmentOf(const Section &section) const;
  llvm::Error capture(Graph &graph);
  llvm::Error captureEdge(const Graph &graph, const Block &block, const Edge &edge);
  void captureSymbols(Graph &graph);
  void captureUnwind(Graph &graph);
  std::uint32_t referenceTo(Handle object);
  SymbolPlace placeOf(const Symbol &symbol) const;
  TargetKind targetOf(const Symbol &symbol, std::uint32_t &reference) const;

  struct Callee {
    std::uint32_t reference;
    Address entry;
  };

  Arena &arena_;
  EntryTable &entries_;
  TypePool &types_;
  const Exports &exports_;
  const LinkRequest &request_;
  SymbolResolver &resolver_;

  CodeObject object_;
  std::vector<Relocation> relocations_;
  JumpTargets jumpTargets_;
  bool setjmpStaysValid_ = true;
  llvm::StringMap<Symbol *> defined_;
  llvm::DenseMap<const Symbol *, Callee> callees_; // absolute symbols that are other code objects' functions
  std::vector<std::pair<EntryIndex, Symbol *>> ownEntries_;
};

} // namespace nomad

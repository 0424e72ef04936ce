// One link by JITLink, seen from the passes of its link graph.
//
//   keepAlive          what only we know to be used
//   resolveExternals   names -> fixed addresses, or another code object's functions
//   classifySections   which segment each section belongs to
//   allocate           segments in plain memory; blocks get their addresses
//   capture            edges -> sites, symbols -> places
#pragma once

#include "link/capture.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ExecutionEngine/JITLink/JITLink.h"
#include "llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h"

namespace nomad {

class JITLinkCapture {
public:
  explicit JITLinkCapture(Capture &capture) : capture_(capture) {}
  virtual ~JITLinkCapture() = default;

  /// `claimed`: what ORC knows of.
  void addPasses(llvm::jitlink::PassConfiguration &passes, const llvm::orc::MaterializationResponsibility &claimed);
  virtual llvm::Error allocate(llvm::jitlink::LinkGraph &graph);

  /// After classifySections a section's protection names its segment.
  static SegmentKind kindOf(llvm::orc::MemProt protection);
  static std::optional<Formula> formulaOf(llvm::jitlink::Edge::Kind kind);

protected:
  using Graph = llvm::jitlink::LinkGraph;
  using Block = llvm::jitlink::Block;
  using Edge = llvm::jitlink::Edge;
  using Section = llvm::jitlink::Section;
  using Symbol = llvm::jitlink::Symbol;

  void keepExports(Graph &graph, const llvm::orc::MaterializationResponsibility &claimed);
  llvm::Error keepAlive(Graph &graph);
  llvm::Error resolveExternals(Graph &graph);
  llvm::Error resolveOne(Graph &graph, Symbol &symbol);
  void directCalls(Graph &graph);
  void directCall(Graph &graph, Edge &edge);
  // Name, section's ordinal, address: one of them tells slots apart.
  using SlotKey = std::tuple<llvm::StringRef, std::uint64_t, std::uint64_t>;
  void orderBlocks(Graph &graph) const;
  SlotKey fileKeyOf(const Block &block) const;
  SlotKey keyOf(const Block &block) const;
  llvm::Error classifySections(Graph &graph);
  llvm::Error fixUp(Graph &graph);
  llvm::Error capture(Graph &graph);
  static void forgetEdges(Graph &graph);
  llvm::Error captureEdge(const Graph &graph, const Block &block, const Edge &edge);
  virtual llvm::Error addSite(const Site &site, const Block &block, const Edge &edge);
  /// The names that the link has found.
  virtual const Imports &importsOfLink() const { return capture_.imports(); }
  SiteTarget targetOf(const Edge &edge, bool isFromText) const;
  virtual void captureSymbols(Graph &graph);
  std::optional<SymbolExtent> extentOf(llvm::StringRef name) const;
  Offset unwindOf(Graph &graph) const;

  Capture &capture_;
  llvm::StringMap<Symbol *> defined_;
  llvm::DenseSet<const Symbol *> exported_;
  llvm::DenseMap<const Symbol *, std::uint32_t> imported_; // absolute symbols that were names of others
  llvm::DenseSet<const Symbol *> entries_;                 // of them, those that stand for an entry stub
  llvm::DenseMap<std::uint32_t, Symbol *> entrySymbols_;   // the same by import
  llvm::DenseSet<const Section *> text_;
};

} // namespace nomad

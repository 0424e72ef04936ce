// One link by JITLink that gives several code objects: a capture for each part of the link graph.
#pragma once

#include "link/jitlink_capture.h"
#include "link/jitlink_parts.h"

#include <deque>

namespace nomad {

class JITLinkSplitCapture : public JITLinkCapture {
public:
  JITLinkSplitCapture(Capture &module, const LinkEnvironment &environment) : JITLinkCapture(module), environment_(environment) {}

  llvm::Error allocate(llvm::jitlink::LinkGraph &graph) override;
  /// The first holds everything shared.
  std::vector<CodeObject> take();
  void abandon();

private:
  llvm::Error addSite(const Site &site, const Block &block, const Edge &edge) override;
  void captureSymbols(Graph &graph) override;
  const Imports &importsOfLink() const override { return whole_ ? *whole_ : capture_.imports(); }

  void split(Graph &graph);
  bool isTied(const Symbol &symbol) const;
  void makeCaptures();
  llvm::Error layOut(PartIndex part);
  void layOutNobody(Graph &graph);
  CodePlace placeIn(PartIndex part, const Site &site, const SiteTarget &target) const;
  std::uint32_t importIn(PartIndex part, std::uint32_t import);
  PartIndex partOf(llvm::StringRef definedName) const;
  Offset offsetIn(PartIndex part, llvm::StringRef name) const;
  std::optional<SymbolExtent> extentIn(PartIndex part, llvm::StringRef name) const;

  const LinkEnvironment &environment_;
  std::optional<JITLinkParts> parts_;
  std::optional<Imports> whole_; // what the whole link has found, once it is split
  std::deque<LinkRequest> requests_;
  std::deque<Capture> captures_; // of all parts but the first, whose is the module's
  std::vector<Capture *> captureOf_;
  std::vector<char> nobodys_;
};

} // namespace nomad

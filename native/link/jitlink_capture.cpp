#include "link/jitlink_capture.h"

#include "base/assert.h"
#include "base/error.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::jitlink;
using orc::MemProt;

namespace {

bool isAllocated(const Section &section) { return section.getMemLifetime() != orc::MemLifetime::NoAlloc; }

MemProt protectionOf(SegmentKind kind) {
  switch (kind) {
  case SegmentKind::Code:
    return MemProt::Read | MemProt::Exec;
  case SegmentKind::Constants:
    return MemProt::Read;
  case SegmentKind::Data:
    return MemProt::Read | MemProt::Write;
  }
  return MemProt::Read;
}

// Their values are the symbols' own, not addresses.
bool isSize(Edge::Kind kind) { return kind == x86_64::Size32 || kind == x86_64::Size64; }

constexpr StringLiteral madeByJITLink = "$__"; // how names of such sections begin

bool hasDataPointers(LinkGraph &graph) {
  for (Block *block : graph.blocks())
    if (isAllocated(block->getSection()) && (block->getSection().getMemProt() & MemProt::Write) != MemProt::None)
      for (const Edge &edge : block->edges())
        if (edge.getKind() == x86_64::Pointer64 && edge.getTarget().isDefined())
          return true;
  return false;
}

} // namespace

// After classifySections a section's protection names its segment.
SegmentKind JITLinkCapture::kindOf(MemProt protection) {
  if ((protection & MemProt::Exec) != MemProt::None)
    return SegmentKind::Code;
  return (protection & MemProt::Write) != MemProt::None ? SegmentKind::Data : SegmentKind::Constants;
}

std::optional<Formula> JITLinkCapture::formulaOf(Edge::Kind kind) {
  switch (kind) {
  case x86_64::Pointer64:
    return Formula::Absolute64;
  case x86_64::Delta32:
  case x86_64::PCRel32:
  case x86_64::BranchPCRel32:
  case x86_64::BranchPCRel32ToPtrJumpStub:
  case x86_64::BranchPCRel32ToPtrJumpStubBypassable:
  case x86_64::PCRel32GOTLoadRelaxable:
  case x86_64::PCRel32GOTLoadREXRelaxable:
    return Formula::Relative32;
  case x86_64::Delta64:
    return Formula::Relative64;
  case x86_64::NegDelta32:
    return Formula::Negative32;
  case x86_64::NegDelta64:
    return Formula::Negative64;
  default:
    return std::nullopt;
  }
}

void JITLinkCapture::addPasses(PassConfiguration &passes, const orc::MaterializationResponsibility &claimed) {
  passes.PrePrunePasses.push_back([this, &claimed](LinkGraph &graph) {
    keepExports(graph, claimed);
    return keepAlive(graph);
  });
  // Before JITLink's own pass that builds GOT entries and stubs for what is far away.
  passes.PostPrunePasses.insert(passes.PostPrunePasses.begin(), [this](LinkGraph &graph) { return resolveExternals(graph); });
  passes.PostPrunePasses.push_back([this](LinkGraph &graph) { return classifySections(graph); });
  // JITLink's relaxation of GOT loads and stubs rewrites opcodes for the first placement only (I6; pitfall 3).
  passes.PreFixupPasses.clear();
  passes.PreFixupPasses.push_back([this](LinkGraph &graph) -> Error {
    if (Error error = fixUp(graph))
      return error;
    if (Error error = capture(graph))
      return error;
    forgetEdges(graph);
    return Error::success();
  });
}

// As JITLink does it next. What has no formula is refused by `capture`.
Error JITLinkCapture::fixUp(LinkGraph &graph) {
  for (Section &section : graph.sections())
    if (isAllocated(section))
      for (Block *block : section.blocks())
        for (const Edge &edge : block->edges())
          if (edge.isRelocation() && (formulaOf(edge.getKind()) || isSize(edge.getKind()))) {
            (void)block->getMutableContent(graph);
            if (Error error = x86_64::applyFixup(graph, *block, edge, nullptr))
              return error;
          }
  return Error::success();
}

// ORC would find out next which block depends on which by them, in a time that grows faster than their number. Nothing asks for
// it: a code object is linked as a whole.
void JITLinkCapture::forgetEdges(LinkGraph &graph) {
  for (Block *block : graph.blocks())
    while (!block->edges_empty())
      block->removeEdge(std::prev(block->edges().end()));
}

// ORC would keep records of each exported name, and of what its block depends on. It claims what it was asked for and what is
// weak; all others are ours alone.
void JITLinkCapture::keepExports(LinkGraph &graph, const orc::MaterializationResponsibility &claimed) {
  for (Symbol *symbol : graph.defined_symbols()) {
    if (!symbol->hasName() || symbol->getScope() == Scope::Local)
      continue;
    exported_.insert(symbol);
    if (claimed.getSymbols().contains(symbol->getName()))
      continue;
    symbol->setScope(Scope::Local);
    symbol->setLive(true);
  }
}

// A function that only its entry stub leads to is alive all the same, and so is a name that we need afterwards.
Error JITLinkCapture::keepAlive(LinkGraph &graph) {
  for (Symbol *symbol : graph.defined_symbols())
    if (symbol->hasName())
      defined_[*symbol->getName()] = symbol;
  auto keep = [this](StringRef name) {
    if (auto found = defined_.find(name); found != defined_.end())
      found->second->setLive(true);
  };
  for (Symbol *symbol : graph.external_symbols())
    if (StringRef name = *symbol->getName(); name.consume_front(entryPrefix))
      keep(name);
  capture_.everyLive(keep);
  return Error::success();
}

Error JITLinkCapture::resolveExternals(LinkGraph &graph) {
  std::vector<Symbol *> externals(graph.external_symbols().begin(), graph.external_symbols().end());
  for (Symbol *symbol : externals)
    if (Error error = resolveOne(graph, *symbol))
      return error;
  if (Error error = capture_.imports().checkMissing(capture_.request().name))
    return error;
  directCalls(graph);
  return Error::success();
}

Error JITLinkCapture::resolveOne(LinkGraph &graph, Symbol &symbol) {
  StringRef name = *symbol.getName();
  if (name == "_GLOBAL_OFFSET_TABLE_")
    return Error::success(); // JITLink's own
  auto definitionOf = [this](StringRef own) -> std::optional<Definition> {
    auto found = defined_.find(own);
    if (found == defined_.end())
      return std::nullopt;
    return Definition{reinterpret_cast<std::uintptr_t>(&found->second->getBlock()), found->second->getOffset()};
  };
  auto index = capture_.imports().find(name, symbol.isWeaklyReferenced(), definitionOf);
  if (!index)
    return index.takeError();
  const ImportedName &import = capture_.imports()[*index];
  Address address = import.kind == ImportedName::Kind::Function ? import.code : import.address;
  graph.makeAbsolute(symbol, orc::ExecutorAddr(address.value()));
  imported_[&symbol] = *index;
  return Error::success();
}

// Calls of other code objects' functions go direct, without a stub and slot of ours (I9).
void JITLinkCapture::directCalls(LinkGraph &graph) {
  auto isCalled = [](const ImportedName &name) { return name.kind == ImportedName::Kind::Function; };
  if (none_of(capture_.imports().names(), isCalled))
    return;
  for (Block *block : graph.blocks())
    for (Edge &edge : block->edges())
      directCall(graph, edge);
}

void JITLinkCapture::directCall(LinkGraph &graph, Edge &edge) {
  auto import = imported_.find(&edge.getTarget());
  if (import == imported_.end() || capture_.imports()[import->second].kind != ImportedName::Kind::Function)
    return;
  if (edge.getKind() == x86_64::BranchPCRel32) {
    edge.setKind(x86_64::PCRel32); // the same formula, but not a candidate for a stub
    return;
  }
  // A load of the function's address (`call *f@GOTPCREL(%rip)`): what is stored in a slot is the entry stub (I10).
  Symbol *&entry = entrySymbols_[import->second];
  if (!entry) {
    auto address = orc::ExecutorAddr(capture_.imports()[import->second].address.value());
    entry = &graph.addAbsoluteSymbol("", address, 0, Linkage::Strong, Scope::Local, true);
    entries_.insert(entry);
  }
  imported_[entry] = import->second;
  edge.setTarget(*entry);
}

// JITLink lays blocks of one address out in the order of its tables, which hash pointers. A later link of the same object file
// must lay out as the first one did: what JITLink has made itself, slots and stubs, by what they lead to; the rest, where
// sections of the object file have the same name, by where their bytes are in the file.
void JITLinkCapture::orderBlocks(Graph &graph) const {
  for (Section &section : graph.sections()) {
    bool isMade = section.getName().starts_with(madeByJITLink);
    std::vector<std::pair<SlotKey, Block *>> blocks;
    for (Block *block : section.blocks())
      if (!block->isZeroFill())
        blocks.push_back({isMade ? keyOf(*block) : fileKeyOf(*block), block});
    if (blocks.size() < 2 || section.getName() == ".eh_frame") // whose records have addresses of their own
      continue;
    llvm::sort(blocks, llvm::less_first());
    std::uint64_t address = 0;
    for (auto &[key, block] : blocks) {
      block->setAddress(orc::ExecutorAddr(address));
      address += std::max<std::uint64_t>(block->getSize(), 1);
    }
  }
}

JITLinkCapture::SlotKey JITLinkCapture::fileKeyOf(const Block &block) const {
  return {"", block.getAddress().getValue(), reinterpret_cast<std::uintptr_t>(block.getContent().data())};
}

JITLinkCapture::SlotKey JITLinkCapture::keyOf(const Block &block) const {
  NOMAD_ASSERT(!block.edges_empty(), "a slot leads somewhere, and so does a stub");
  const Symbol &target = block.edges().begin()->getTarget();
  if (auto import = imported_.find(&target); import != imported_.end())
    return {capture_.imports()[import->second].name, 0, entries_.contains(&target) ? 1 : 0};
  if (!target.isDefined())
    return {"", 0, target.getAddress().getValue()};
  const Block &at = target.getBlock();
  if (at.getSection().getName().starts_with(madeByJITLink))
    return keyOf(at);
  return {"", at.getSection().getOrdinal() + 1, (at.getAddress() + target.getOffset()).getValue()};
}

Error JITLinkCapture::classifySections(LinkGraph &graph) {
  orderBlocks(graph);
  for (Section &section : graph.sections()) {
    if (!isAllocated(section))
      continue;
    bool isCode = (section.getMemProt() & MemProt::Exec) != MemProt::None;
    bool isSlots = section.getName() == "$__GOT"; // they move with the code that reads them
    if (isCode)
      text_.insert(&section);
    bool isWritable = (section.getMemProt() & MemProt::Write) != MemProt::None;
    section.setMemProt(protectionOf(capture_.segmentOf({section.getName(), isCode || isSlots, isWritable})));
    section.setMemLifetime(orc::MemLifetime::Standard);
  }
  return Error::success();
}

Error JITLinkCapture::allocate(LinkGraph &graph) {
  BasicLayout layout(graph);
  if (hasDataPointers(graph))
    capture_.setDataPointers();
  for (auto &[group, segment] : layout.segments()) {
    SegmentKind kind = kindOf(group.getMemProt());
    if (Error error = capture_.addSegment(kind, segment.ContentSize, segment.ZeroFillSize, segment.Alignment.value()))
      return error;
    segment.Addr = orc::ExecutorAddr(capture_.base(kind).value());
    segment.WorkingMem = reinterpret_cast<char *>(capture_.bytes(kind));
  }
  return layout.apply();
}

Error JITLinkCapture::capture(LinkGraph &graph) {
  for (Section &section : graph.sections())
    if (isAllocated(section))
      for (Block *block : section.blocks())
        for (const Edge &edge : block->edges())
          if (edge.isRelocation() && !isSize(edge.getKind()))
            if (Error error = captureEdge(graph, *block, edge))
              return error;
  captureSymbols(graph);
  return Error::success();
}

Error JITLinkCapture::captureEdge(const LinkGraph &graph, const Block &block, const Edge &edge) {
  const Section &section = block.getSection();
  Site site{kindOf(section.getMemProt()), text_.contains(&section),
            Address::of((block.getAddress() + edge.getOffset()).getValue()), formulaOf(edge.getKind()),
            graph.getEdgeKindName(edge.getKind())};
  return addSite(site, block, edge);
}

Error JITLinkCapture::addSite(const Site &site, const Block &, const Edge &edge) {
  return capture_.addSite(site, targetOf(edge, site.isText));
}

SiteTarget JITLinkCapture::targetOf(const Edge &edge, bool isFromText) const {
  const Symbol &symbol = edge.getTarget();
  if (!symbol.isDefined()) {
    auto import = imported_.find(&symbol);
    if (import == imported_.end())
      return {TargetKind::Fixed};
    const ImportedName &name = importsOfLink()[import->second];
    bool isCall = name.kind == ImportedName::Kind::Function && !entries_.contains(&symbol);
    return {isCall ? TargetKind::Reference : TargetKind::Fixed, import->second, false, name.reference};
  }
  Address address = Address::of((symbol.getAddress() + edge.getAddend()).getValue());
  if (isFromText && edge.getKind() == x86_64::Delta32)
    address = address + 4; // counted from the instruction's end
  const Section &section = symbol.getSection();
  SegmentKind segment = kindOf(section.getMemProt());
  return {static_cast<TargetKind>(segment), noImport, text_.contains(&section), 0, segment, address};
}

std::optional<SymbolExtent> JITLinkCapture::extentOf(StringRef name) const {
  auto found = defined_.find(name);
  if (found == defined_.end())
    return std::nullopt;
  const Symbol &symbol = *found->second;
  SegmentKind kind = kindOf(symbol.getSection().getMemProt());
  auto offset = static_cast<Offset>(Address::of(symbol.getAddress().getValue()) - capture_.base(kind));
  return SymbolExtent{{kind, offset}, symbol.getSize()};
}

void JITLinkCapture::captureSymbols(LinkGraph &graph) {
  defined_.clear(); // pruning has removed some
  std::vector<StringRef> names;
  for (Symbol *symbol : graph.defined_symbols())
    if (symbol->hasName() && isAllocated(symbol->getSection())) {
      defined_[*symbol->getName()] = symbol;
      names.push_back(*symbol->getName());
    }
  capture_.finish([this](StringRef name) { return extentOf(name); }, names, unwindOf(graph));
}

Offset JITLinkCapture::unwindOf(LinkGraph &graph) const {
  Section *section = graph.findSectionByName(".eh_frame");
  if (!section || section->blocks_size() == 0)
    return noOffset;
  Address base = Address::of(SectionRange(*section).getStart().getValue());
  return static_cast<Offset>(base - capture_.base(SegmentKind::Code));
}

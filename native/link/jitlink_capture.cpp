#include "link/jitlink_capture.h"

#include "base/error.h"

#include "llvm/ExecutionEngine/JITLink/x86_64.h"

#include <limits>

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

// After classifySections a section's protection names its segment.
SegmentKind kindOf(const Section &section) {
  MemProt protection = section.getMemProt();
  if ((protection & MemProt::Exec) != MemProt::None)
    return SegmentKind::Code;
  return (protection & MemProt::Write) != MemProt::None ? SegmentKind::Data : SegmentKind::Constants;
}

std::optional<Formula> formulaOf(Edge::Kind kind) {
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

bool isAbsoluteKind(Edge::Kind kind) {
  return kind == x86_64::Pointer64 || kind == x86_64::Pointer32 || kind == x86_64::Pointer32Signed || kind == x86_64::Pointer16 ||
         kind == x86_64::Pointer8;
}

// Edges whose value no move changes: I1, and absolute ones towards what is fixed.
bool neverChanges(Edge::Kind kind, SegmentKind site, TargetKind target) {
  if (kind == x86_64::Size32 || kind == x86_64::Size64)
    return true;
  if (isAbsoluteKind(kind))
    return target == TargetKind::Fixed;
  return static_cast<size_t>(target) == indexOf(site);
}

// What emulated TLS calls the control block of a thread-local variable.
constexpr StringLiteral threadLocalPrefix = "__emutls_v.";

bool hasDataPointers(LinkGraph &graph) {
  for (Block *block : graph.blocks())
    if (isAllocated(block->getSection()) && kindOf(block->getSection()) == SegmentKind::Data)
      for (const Edge &edge : block->edges())
        if (edge.getKind() == x86_64::Pointer64 && edge.getTarget().isDefined())
          return true;
  return false;
}

bool isFrameSection(StringRef name) { return name == ".eh_frame" || name.starts_with(".gcc_except_table"); }

} // namespace

void JITLinkCapture::addPasses(PassConfiguration &passes) {
  passes.PrePrunePasses.push_back([this](LinkGraph &graph) { return keepAddressTaken(graph); });
  // Before JITLink's own pass that builds GOT entries and stubs for what is far away.
  passes.PostPrunePasses.insert(passes.PostPrunePasses.begin(), [this](LinkGraph &graph) { return resolveExternals(graph); });
  passes.PostPrunePasses.push_back([this](LinkGraph &graph) { return classifySections(graph); });
  // JITLink's relaxation of GOT loads and stubs rewrites opcodes for the first placement only (I6; DESIGN, trap 3).
  passes.PreFixupPasses.clear();
  passes.PostFixupPasses.push_back([this](LinkGraph &graph) { return capture(graph); });
}

// A function that only its entry stub leads to is alive all the same, and so is a name that we need afterwards.
Error JITLinkCapture::keepAddressTaken(LinkGraph &graph) {
  for (Symbol *symbol : graph.defined_symbols())
    if (symbol->hasName())
      defined_[*symbol->getName()] = symbol;
  for (Symbol *symbol : graph.external_symbols()) {
    StringRef name = *symbol->getName();
    if (!name.consume_front(entryPrefix))
      continue;
    if (auto found = defined_.find(name); found != defined_.end())
      found->second->setLive(true);
  }
  for (auto &[name, bySetjmpOnly] : exports_.returnsTwice)
    if (auto found = defined_.find(name); found != defined_.end())
      found->second->setLive(true);
  return Error::success();
}

Error JITLinkCapture::resolveExternals(LinkGraph &graph) {
  std::vector<Symbol *> externals(graph.external_symbols().begin(), graph.external_symbols().end());
  std::vector<std::string> missing;
  for (Symbol *symbol : externals)
    if (Error error = resolveOne(graph, *symbol, missing))
      return error;
  if (!missing.empty()) {
    llvm::sort(missing);
    missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
    std::string list;
    for (const std::string &name : missing)
      list += (list.empty() ? "" : ", ") + name;
    ErrorDetails details;
    details.symbols = std::move(missing);
    return fail(ErrorCode::UnresolvedSymbol, request_.name + ": no definition of " + list, std::move(details));
  }
  directCalls(graph);
  return Error::success();
}

Error JITLinkCapture::resolveOne(LinkGraph &graph, Symbol &symbol, std::vector<std::string> &missing) {
  StringRef name = *symbol.getName();
  if (name == "_GLOBAL_OFFSET_TABLE_")
    return Error::success(); // JITLink's own
  bool wantsEntry = name.consume_front(entryPrefix);
  if (wantsEntry) {
    auto isOwn = resolveOwnEntry(graph, symbol, name);
    if (!isOwn || *isOwn)
      return isOwn.takeError();
  }
  if (name == "__dso_handle") {
    resolveTo(graph, symbol, Resolution::fixed(Address::of(&object_.ensureTeardown())), false);
    return Error::success();
  }
  auto resolution = resolver_.resolve(name);
  if (!resolution)
    return resolution.takeError();
  if (isSetjmp(name))
    setjmpStaysValid_ &= resolution->staysValid;
  if (resolution->kind == Resolution::Kind::Missing && !symbol.isWeaklyReferenced())
    missing.push_back(name.str());
  else
    resolveTo(graph, symbol, *resolution, wantsEntry);
  return Error::success();
}

Expected<bool> JITLinkCapture::resolveOwnEntry(LinkGraph &graph, Symbol &symbol, StringRef name) {
  auto found = defined_.find(name);
  if (found == defined_.end())
    return false;
  for (auto &[index, other] : ownEntries_) // an alias is the same function
    if (&other->getBlock() == &found->second->getBlock() && other->getOffset() == found->second->getOffset()) {
      graph.makeAbsolute(symbol, orc::ExecutorAddr(entries_.stub(index).value()));
      return true;
    }
  auto entry = entries_.take();
  if (!entry)
    return entry.takeError();
  ownEntries_.push_back({*entry, found->second});
  graph.makeAbsolute(symbol, orc::ExecutorAddr(entries_.stub(*entry).value()));
  return true;
}

// A missing weak symbol resolves to 0, as the default Resolution has it.
void JITLinkCapture::resolveTo(LinkGraph &graph, Symbol &symbol, const Resolution &resolution, bool wantsEntry) {
  Address address = wantsEntry ? resolution.entry : resolution.address;
  graph.makeAbsolute(symbol, orc::ExecutorAddr(address.value()));
  if (resolution.kind != Resolution::Kind::Function)
    return;
  std::uint32_t reference = referenceTo(resolution.object);
  if (!wantsEntry)
    callees_[&symbol] = {reference, resolution.entry};
}

// Calls of other code objects' functions go direct, without a stub and slot of ours (I9).
void JITLinkCapture::directCalls(LinkGraph &graph) {
  if (callees_.empty())
    return;
  for (Block *block : graph.blocks())
    for (Edge &edge : block->edges())
      directCall(graph, edge);
}

void JITLinkCapture::directCall(LinkGraph &graph, Edge &edge) {
  auto callee = callees_.find(&edge.getTarget());
  if (callee == callees_.end())
    return;
  if (edge.getKind() == x86_64::BranchPCRel32) {
    edge.setKind(x86_64::PCRel32); // the same formula, but not a candidate for a stub
    return;
  }
  // A load of the function's address (`call *f@GOTPCREL(%rip)`): what is stored in a slot is the entry stub (I10).
  Symbol &entry =
      graph.addAbsoluteSymbol("", orc::ExecutorAddr(callee->second.entry.value()), 0, Linkage::Strong, Scope::Local, true);
  edge.setTarget(entry);
}

// Unwind records, constant pools, and the slots for what is outside move with the code that reads them; named constants stay
// (I11). So do jump tables: code keeps their addresses in registers and frames for as long as a loop runs, and would be pinned by
// them. With Moves::All there is no difference to make.
SegmentKind JITLinkCapture::segmentOf(const Section &section) const {
  StringRef name = section.getName();
  MemProt protection = section.getMemProt();
  bool isRelro = name.starts_with(".data.rel.ro");
  if ((protection & MemProt::Exec) != MemProt::None || isFrameSection(name) || name == "$__GOT")
    return SegmentKind::Code;
  if ((protection & MemProt::Write) != MemProt::None && !isRelro)
    return SegmentKind::Data;
  bool isConstantPool = name.starts_with(".rodata.cst");
  return request_.moves == Moves::All || isConstantPool ? SegmentKind::Code : SegmentKind::Constants;
}

Error JITLinkCapture::classifySections(LinkGraph &graph) {
  for (Section &section : graph.sections()) {
    if (!isAllocated(section))
      continue;
    if ((section.getMemProt() & MemProt::Exec) != MemProt::None)
      jumpTargets_.addText(section);
    section.setMemProt(protectionOf(segmentOf(section)));
    section.setMemLifetime(orc::MemLifetime::Standard);
  }
  return Error::success();
}

Error JITLinkCapture::allocate(BasicLayout &layout) {
  object_.image = std::make_unique<Image>();
  // Pointers in data may point one past the end of what they walk through; a byte of padding makes that their own segment, too.
  Size padding = hasDataPointers(layout.getGraph()) ? 1 : 0;
  for (auto &[group, segment] : layout.segments()) {
    MemProt protection = group.getMemProt();
    SegmentKind kind = (protection & MemProt::Exec) != MemProt::None    ? SegmentKind::Code
                       : (protection & MemProt::Write) != MemProt::None ? SegmentKind::Data
                                                                        : SegmentKind::Constants;
    Size size = segment.ContentSize + segment.ZeroFillSize + padding;
    Range range = arena_.segments(kind);
    if (size > range.size() || size > std::numeric_limits<std::uint32_t>::max())
      return fail(ErrorCode::Link, request_.name + ": " + Twine(size) + " bytes of " + segmentName(kind) +
                                       " are more than the arena's " + Twine(range.size()));
    Size alignment = std::max<Size>(segment.Alignment.value(), OccupancyMap::granule);
    object_.segment(kind) = {range.base, static_cast<std::uint32_t>(size), static_cast<std::uint8_t>(Log2_64(alignment))};
    // Code and constants are stored whole; zeros at the end of data are not.
    Size stored = kind == SegmentKind::Data ? segment.ContentSize : size;
    object_.image->bytes[indexOf(kind)] = std::make_unique<std::byte[]>(std::max<Size>(stored, 1));
    object_.image->storedBytes[indexOf(kind)] = static_cast<std::uint32_t>(stored);
    segment.Addr = orc::ExecutorAddr(range.base.value());
    segment.WorkingMem = reinterpret_cast<char *>(object_.image->bytes[indexOf(kind)].get());
  }
  return layout.apply();
}

Error JITLinkCapture::capture(LinkGraph &graph) {
  for (Section &section : graph.sections())
    if (isAllocated(section))
      for (Block *block : section.blocks())
        for (const Edge &edge : block->edges())
          if (edge.isRelocation()) {
            jumpTargets_.addEdge(*block, edge);
            if (Error error = captureEdge(graph, *block, edge))
              return error;
          }
  captureSymbols(graph);
  captureUnwind(graph);
  return Error::success();
}

Error JITLinkCapture::captureEdge(const LinkGraph &graph, const Block &block, const Edge &edge) {
  std::uint32_t reference = 0;
  SegmentKind site = kindOf(block.getSection());
  TargetKind target = targetOf(edge.getTarget(), reference);
  if (neverChanges(edge.getKind(), site, target))
    return Error::success();
  std::optional<Formula> formula = formulaOf(edge.getKind());
  if (!formula)
    return fail(ErrorCode::Unsupported, request_.name + ": a relocation of kind " + graph.getEdgeKindName(edge.getKind()) +
                                            " in section " + block.getSection().getName() + " can't follow a move");
  if (*formula == Formula::Absolute64 && site == SegmentKind::Data) {
    formula = Formula::DataPointer; // what the program stores there later may point elsewhere (I4)
    target = TargetKind::Data;
  }
  Address address = Address::of(block.getAddress().getValue() + edge.getOffset());
  auto offset = static_cast<Offset>(address - object_.segment(site).base);
  relocations_.push_back({site, *formula, target, reference, offset});
  return Error::success();
}

TargetKind JITLinkCapture::targetOf(const Symbol &symbol, std::uint32_t &reference) const {
  if (symbol.isDefined())
    return static_cast<TargetKind>(kindOf(symbol.getSection()));
  auto callee = callees_.find(&symbol);
  if (callee == callees_.end())
    return TargetKind::Fixed;
  reference = callee->second.reference;
  return TargetKind::Reference;
}

std::uint32_t JITLinkCapture::referenceTo(Handle object) {
  auto &references = object_.ensureLinks().references;
  auto found = llvm::find(references, object);
  if (found == references.end())
    found = references.insert(references.end(), object);
  return static_cast<std::uint32_t>(found - references.begin());
}

SymbolPlace JITLinkCapture::placeOf(const Symbol &symbol) const {
  SegmentKind kind = kindOf(symbol.getSection());
  return {kind, static_cast<Offset>(Address::of(symbol.getAddress().getValue()) - object_.segment(kind).base)};
}

void JITLinkCapture::captureSymbols(LinkGraph &graph) {
  defined_.clear(); // pruning has removed some
  for (Symbol *symbol : graph.defined_symbols())
    if (symbol->hasName() && isAllocated(symbol->getSection()))
      defined_[*symbol->getName()] = symbol;
  auto placeOfName = [&](StringRef name) -> std::optional<SymbolPlace> {
    auto found = defined_.find(name);
    return found == defined_.end() ? std::nullopt : std::optional(placeOf(*found->second));
  };
  auto extentOfName = [&](StringRef name) -> std::optional<SymbolExtent> {
    auto found = defined_.find(name);
    return found == defined_.end() ? std::nullopt
                                   : std::optional(SymbolExtent{placeOf(*found->second), found->second->getSize()});
  };
  object_.symbols = SymbolTable::encode(request_.name, exports_, types_, extentOfName);
  for (auto &[index, symbol] : ownEntries_)
    object_.entries.push_back({index, placeOf(*symbol).offset});
  if (auto place = placeOfName(initializerName))
    object_.image->initializer = place->offset;
  for (auto &[name, bySetjmpOnly] : exports_.returnsTwice)
    if (auto place = placeOfName(name); place && !(bySetjmpOnly && setjmpStaysValid_))
      object_.image->returnsTwice.push_back({place->offset, place->offset + static_cast<Offset>(defined_[name]->getSize())});
  if (auto place = placeOfName(finalizerName))
    object_.ensureTeardown().finalizer = place->offset;
  for (auto &entry : defined_)
    if (entry.getKey().starts_with(threadLocalPrefix))
      object_.ensureTeardown().threadLocals.push_back(placeOf(*entry.getValue()).offset);
}

void JITLinkCapture::captureUnwind(LinkGraph &graph) {
  Section *section = graph.findSectionByName(".eh_frame");
  if (!section || section->blocks_size() == 0)
    return;
  Address base = Address::of(SectionRange(*section).getStart().getValue());
  object_.unwind = static_cast<Offset>(base - object_.segment(SegmentKind::Code).base);
}

CodeObject JITLinkCapture::take() {
  object_.relocations = RelocationTable::encode(std::move(relocations_));
  object_.keepsCodeAddresses = exports_.keepsCodeAddresses;
  object_.storesLabels = exports_.storesLabels;
  object_.isUnique = exports_.isUnique;
  if (const Segment &code = object_.segment(SegmentKind::Code); code.exists())
    object_.image->jumpTargets = jumpTargets_.behindCalls(code.range(), object_.image->bytes[indexOf(SegmentKind::Code)].get());
  object_.moves = request_.moves;
  object_.retain = request_.retain;
  object_.state = State::Unplaced;
  return std::move(object_);
}

void JITLinkCapture::abandon() {
  for (auto &[index, symbol] : ownEntries_)
    entries_.giveBack(index);
}

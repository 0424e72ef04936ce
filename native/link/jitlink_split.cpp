#include "link/jitlink_split.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

#include <cstring>

using namespace nomad;
using namespace llvm;
using namespace llvm::jitlink;
using orc::MemProt;

namespace {

constexpr PartIndex rest = JITLinkParts::rest;

bool isWritable(const Section &section) { return (section.getMemProt() & MemProt::Write) != MemProt::None; }

// The kinds that a relocation towards another code object has a formula for.
bool canCross(const Edge &edge) {
  auto formula = JITLinkCapture::formulaOf(edge.getKind());
  return formula == Formula::Relative32 || formula == Formula::Relative64 || formula == Formula::Absolute64;
}

// Unwind records follow each other without a gap, whatever they are aligned to in the whole.
Size placeOf(const Block &block, Size offset, bool isFirst) {
  bool isFollowing = block.getSection().getName() == ".eh_frame" && !isFirst;
  return isFollowing ? offset : alignToBlock(orc::ExecutorAddr(offset), block).getValue();
}

} // namespace

Error JITLinkSplitCapture::allocate(LinkGraph &graph) {
  split(graph);
  makeCaptures();
  for (PartIndex part = 0; part < parts_->count(); ++part)
    if (Error error = layOut(part))
      return error;
  layOutNobody(graph);
  return Error::success();
}

void JITLinkSplitCapture::split(LinkGraph &graph) {
  defined_.clear(); // pruning has removed some
  for (Symbol *symbol : graph.defined_symbols())
    if (symbol->hasName())
      defined_[*symbol->getName()] = symbol;
  auto isText = [this](const Section &section) { return text_.contains(&section); };
  auto isExported = [this](const Symbol &symbol) { return exported_.contains(&symbol); };
  auto isTiedSymbol = [this](const Symbol &symbol) { return isTied(symbol); };
  parts_.emplace(graph, JITLinkParts::Traits{isText, isWritable, canCross, isExported, isTiedSymbol});
}

// Constructors and destructors are the module's. Its exit handlers run when the rest is freed, by their addresses.
bool JITLinkSplitCapture::isTied(const Symbol &symbol) const {
  if (!symbol.hasName())
    return false;
  StringRef name = *symbol.getName();
  if (name == initializerName || name == finalizerName)
    return true;
  auto names = capture_.imports().names();
  bool hasHandlers = any_of(names, [](const ImportedName &each) { return each.kind == ImportedName::Kind::Teardown; });
  return hasHandlers && any_of(names, [=](const ImportedName &each) {
           return each.kind == ImportedName::Kind::OwnEntry && StringRef(each.name).drop_front(entryPrefix.size()) == name;
         });
}

PartIndex JITLinkSplitCapture::partOf(StringRef definedName) const {
  auto found = defined_.find(definedName);
  return found == defined_.end() ? rest : parts_->partOf(found->second->getBlock()).value_or(rest);
}

void JITLinkSplitCapture::makeCaptures() {
  whole_.emplace(capture_.takeImportsOfAll());
  std::vector<Exports> exports(parts_->count());
  Exports all = std::move(capture_.exports());
  for (Exports &each : exports) {
    each.keepsCodeAddresses = all.keepsCodeAddresses;
    each.storesLabels = all.storesLabels;
    each.isIrreplaceable = true; // a function alone can't be compiled again
    each.frames.usual = all.frames.usual;
    each.frames.switchesStacks = all.frames.switchesStacks;
  }
  for (ExportedFunction &function : all.functions)
    exports[partOf(function.name)].functions.push_back(std::move(function));
  for (ExportedGlobal &global : all.globals)
    exports[partOf(global.name)].globals.push_back(std::move(global));
  for (ReturnsTwice &function : all.returnsTwice)
    exports[partOf(function.name)].returnsTwice.push_back(std::move(function));
  for (FunctionFrame &function : all.frames.others)
    exports[partOf(function.name)].frames.others.push_back(std::move(function));
  std::vector<std::string> names(parts_->count());
  for (auto &[name, symbol] : defined_)
    if (auto part = parts_->partOf(symbol->getBlock()); part && text_.contains(&symbol->getSection()))
      if (names[*part].empty() || StringRef(name) < names[*part])
        names[*part] = name.str();
  capture_.exports() = std::move(exports[rest]);
  captureOf_ = {&capture_};
  for (PartIndex part = rest + 1; part < parts_->count(); ++part) {
    requests_.push_back(capture_.request());
    requests_.back().name += ":" + names[part];
    captureOf_.push_back(&captures_.emplace_back(environment_, requests_.back(), std::move(exports[part]), *whole_));
  }
}

Error JITLinkSplitCapture::layOut(PartIndex part) {
  Capture &capture = *captureOf_[part];
  const std::vector<Block *> &blocks = parts_->blocksOf(part);
  if (part == rest && any_of(blocks, [](const Block *block) { return isWritable(block->getSection()) && !block->edges_empty(); }))
    capture.setDataPointers();
  for (SegmentKind kind : segmentKinds) {
    std::vector<std::pair<Block *, Size>> places;
    Size limit = 0, content = 0, alignment = 1;
    const Section *last = nullptr;
    for (bool isZeroFill : {false, true}) {
      for (Block *block : blocks) {
        if (kindOf(block->getSection().getMemProt()) != kind || block->isZeroFill() != isZeroFill)
          continue;
        limit = placeOf(*block, limit, last != &block->getSection());
        last = &block->getSection();
        places.push_back({block, limit});
        limit += block->getSize();
        alignment = std::max<Size>(alignment, block->getAlignment());
      }
      if (!isZeroFill)
        content = limit;
    }
    if (limit == 0)
      continue;
    if (Error error = capture.addSegment(kind, content, limit - content, alignment))
      return error;
    for (auto &[block, offset] : places) {
      block->setAddress(orc::ExecutorAddr(capture.base(kind).value() + offset));
      if (block->isZeroFill())
        continue;
      auto *bytes = reinterpret_cast<char *>(capture.bytes(kind) + offset);
      std::memcpy(bytes, block->getContent().data(), block->getSize());
      block->setMutableContent({bytes, block->getSize()});
    }
  }
  return Error::success();
}

// JITLink goes on to link blocks that are no longer used: the originals of copies.
void JITLinkSplitCapture::layOutNobody(LinkGraph &graph) {
  std::vector<Block *> blocks;
  Size size = 0;
  for (Block *block : graph.blocks())
    if (!parts_->partOf(*block) && !block->isZeroFill()) {
      blocks.push_back(block);
      size += block->getSize();
    }
  nobodys_.resize(size);
  char *next = nobodys_.data();
  for (Block *block : blocks) {
    llvm::copy(block->getContent(), next);
    block->setMutableContent({next, block->getSize()});
    block->setAddress(orc::ExecutorAddr(environment_.arena.segments(SegmentKind::Code).base.value()));
    next += block->getSize();
  }
}

Error JITLinkSplitCapture::addSite(const Site &site, const Block &block, const Edge &edge) {
  auto part = parts_->partOf(block);
  if (!part)
    return Error::success();
  SiteTarget target = targetOf(edge, site.isText);
  Capture &capture = *captureOf_[*part];
  if (edge.getTarget().isDefined()) {
    PartIndex other = parts_->partOf(edge.getTarget().getBlock()).value_or(*part);
    if (other != *part) {
      target.kind = TargetKind::Reference;
      target.reference = capture.imports().referTo(placeIn(other, site, target));
    }
  } else if (target.import != noImport) {
    target.import = importIn(*part, target.import);
    target.reference = capture.imports()[target.import].reference;
  }
  return capture.addSite(site, target);
}

// A call, which redirections lead elsewhere, or any other use.
CodePlace JITLinkSplitCapture::placeIn(PartIndex part, const Site &site, const SiteTarget &target) const {
  bool isCall = site.isText && target.isText && site.formula == Formula::Relative32;
  Address code = captureOf_[part]->base(SegmentKind::Code);
  return {partHandle(part), isCall ? static_cast<Offset>(target.address - code) : noOffset};
}

// What the whole link has found, as one part sees it.
std::uint32_t JITLinkSplitCapture::importIn(PartIndex part, std::uint32_t import) {
  using Kind = ImportedName::Kind;
  Imports &imports = captureOf_[part]->imports();
  ImportedName name = (*whole_)[import];
  CodePlace place = refersToFunction(name) ? whole_->references()[name.reference] : CodePlace();
  if (name.kind == Kind::OwnEntry) {
    StringRef function = StringRef(name.name).drop_front(entryPrefix.size());
    if (PartIndex owner = partOf(function); owner != part) {
      name.kind = Kind::FunctionEntry;
      place = {partHandle(owner), offsetIn(owner, function)};
    }
  }
  if (name.kind == Kind::Teardown && part != rest) {
    name.kind = Kind::Fixed;
    imports.referTo({partHandle(rest)});
  }
  return imports.add(std::move(name), place);
}

Offset JITLinkSplitCapture::offsetIn(PartIndex part, StringRef name) const {
  auto extent = extentIn(part, name);
  return extent ? extent->place.offset : noOffset;
}

std::optional<SymbolExtent> JITLinkSplitCapture::extentIn(PartIndex part, StringRef name) const {
  auto found = defined_.find(name);
  if (found == defined_.end() || parts_->partOf(found->second->getBlock()) != part)
    return std::nullopt;
  const Symbol &symbol = *found->second;
  SegmentKind kind = kindOf(symbol.getSection().getMemProt());
  auto offset = static_cast<Offset>(Address::of(symbol.getAddress().getValue()) - captureOf_[part]->base(kind));
  return SymbolExtent{{kind, offset}, symbol.getSize()};
}

void JITLinkSplitCapture::captureSymbols(LinkGraph &) {
  std::vector<std::vector<StringRef>> names(parts_->count());
  for (auto &[name, symbol] : defined_)
    if (auto part = parts_->partOf(symbol->getBlock()))
      names[*part].push_back(name);
  // The stubs of all functions whose addresses are taken, even if only by name.
  for (std::uint32_t i = 0; i < whole_->names().size(); ++i)
    if ((*whole_)[i].kind == ImportedName::Kind::OwnEntry)
      importIn(partOf(StringRef((*whole_)[i].name).drop_front(entryPrefix.size())), i);
  for (PartIndex part = 0; part < parts_->count(); ++part) {
    Offset unwind = noOffset;
    for (const Block *block : reverse(parts_->blocksOf(part)))
      if (block->getSection().getName() == ".eh_frame")
        unwind = static_cast<Offset>(Address::of(block->getAddress().getValue()) - captureOf_[part]->base(SegmentKind::Code));
    captureOf_[part]->finish([&](StringRef name) { return extentIn(part, name); }, names[part], unwind);
  }
}

std::vector<CodeObject> JITLinkSplitCapture::take() {
  std::vector<CodeObject> objects;
  for (Capture *capture : captureOf_)
    objects.push_back(capture->take(nullptr));
  objects[rest].sharesData = true;
  return objects;
}

void JITLinkSplitCapture::abandon() {
  if (whole_)
    whole_->abandon();
  else
    capture_.abandon();
}

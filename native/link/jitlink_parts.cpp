#include "link/jitlink_parts.h"

#include "link/capture.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::jitlink;

namespace {

constexpr StringLiteral framesName = ".eh_frame";
constexpr std::uint64_t terminatorAddress = ~std::uint64_t{7};

bool isMade(const Section &section) { return section.getName().starts_with("$__"); }

std::uint64_t entryBytes(const Section &section) { return poolEntryBytes(section.getName()); }

// What refers to something else is no pool, whatever its section is called.
bool isPool(const Block &block) { return entryBytes(block.getSection()) > 0 && block.edges_empty(); }

// The offset in the target's block that an edge leads to.
std::uint64_t offsetOf(const Edge &edge) {
  std::int64_t addend = edge.getAddend() + (edge.getKind() == x86_64::Delta32 ? 4 : 0);
  return edge.getTarget().getOffset() + static_cast<std::uint64_t>(addend);
}

} // namespace

JITLinkParts::JITLinkParts(Graph &graph, const Traits &traits) : graph_(graph), traits_(traits) {
  for (Section &section : graph.sections())
    if (section.getMemLifetime() != orc::MemLifetime::NoAlloc)
      for (Block *block : section.blocks())
        all_.push_back(block);
  llvm::sort(all_, [](const Block *a, const Block *b) {
    return std::tuple(a->getSection().getOrdinal(), a->getAddress(), a->getSize()) <
           std::tuple(b->getSection().getOrdinal(), b->getAddress(), b->getSize());
  });
  assignText();
  do
    assignConstants();
  while (tieWhatMustBe());
  assignFrames();
  number();
  copyShared();
  terminateFrames();
  sortBlocks();
}

JITLinkParts::Kind JITLinkParts::kindOf(const Block &block) const {
  const Section &section = block.getSection();
  if (isMade(section) || isPool(block))
    return Kind::Shared;
  if (traits_.isText(section))
    return Kind::Text;
  if (section.getName() == framesName)
    return Kind::Frame;
  return traits_.isData(section) ? Kind::Data : Kind::Constant;
}

std::optional<PartIndex> JITLinkParts::partOf(const Block &block) const {
  auto found = parts_.find(&block);
  return found == parts_.end() ? std::nullopt : std::optional(found->second);
}

void JITLinkParts::assignText() {
  for (Block *block : all_) {
    if (kindOf(*block) == Kind::Text)
      parts_[block] = block->getSection().getName() == ".text" ? rest : count_++;
    if (kindOf(*block) == Kind::Data)
      parts_[block] = rest;
  }
  for (Symbol *symbol : graph_.defined_symbols())
    if (auto part = parts_.find(&symbol->getBlock()); part != parts_.end() && traits_.isTied(*symbol))
      part->second = rest;
}

// Constants belong to the one part that uses them, directly or through others of its own; with more users, or a name that others
// can import, to the rest.
void JITLinkParts::assignConstants() {
  for (Block *block : all_)
    if (kindOf(*block) == Kind::Constant)
      parts_.erase(block);
  for (Symbol *symbol : graph_.defined_symbols())
    if (kindOf(symbol->getBlock()) == Kind::Constant && traits_.isExported(*symbol))
      parts_[&symbol->getBlock()] = rest;
  bool isChanged = true;
  while (isChanged) {
    isChanged = false;
    for (Block *block : all_)
      if (auto user = partOf(*block); user && kindOf(*block) != Kind::Frame)
        for (const Edge &edge : block->edges())
          if (edge.isRelocation() && edge.getTarget().isDefined())
            isChanged |= addUser(edge.getTarget().getBlock(), *user);
  }
  for (Block *block : all_)
    if (kindOf(*block) == Kind::Constant)
      parts_.try_emplace(block, rest);
}

bool JITLinkParts::addUser(Block &block, PartIndex user) {
  if (kindOf(block) != Kind::Constant)
    return false;
  auto [known, isNew] = parts_.try_emplace(&block, user);
  if (isNew || known->second == user || known->second == rest)
    return isNew;
  known->second = rest;
  return true;
}

// True if a function has been tied, so that others may have to be.
bool JITLinkParts::tieWhatMustBe() {
  bool isTied = false;
  auto tie = [&](Block &block) {
    if (kindOf(block) != Kind::Text || parts_[&block] == rest)
      return;
    parts_[&block] = rest;
    isTied = true;
  };
  for (Block *block : all_) {
    Kind kind = kindOf(*block);
    if (kind == Kind::Frame || kind == Kind::Shared)
      continue;
    for (const Edge &edge : block->edges()) {
      if (!edge.isRelocation() || !edge.getTarget().isDefined())
        continue;
      Block &target = edge.getTarget().getBlock();
      if (kindOf(target) == Kind::Shared || partOf(*block) == partOf(target))
        continue;
      if (kind != Kind::Text || !traits_.canCross(edge)) {
        tie(target);
        tie(*block);
      }
    }
  }
  return isTied;
}

// A function's unwind record leads to it, and to its table of landing pads.
void JITLinkParts::assignFrames() {
  for (Block *block : all_) {
    if (kindOf(*block) != Kind::Frame)
      continue;
    std::optional<PartIndex> part;
    for (const Edge &edge : block->edges())
      if (edge.isRelocation() && edge.getTarget().isDefined() && kindOf(edge.getTarget().getBlock()) == Kind::Text)
        part = partOf(edge.getTarget().getBlock());
    if (!part)
      continue; // common to many: copied
    parts_[block] = *part;
    for (const Edge &edge : block->edges())
      if (edge.isRelocation() && edge.getTarget().isDefined() && kindOf(edge.getTarget().getBlock()) == Kind::Constant)
        parts_[&edge.getTarget().getBlock()] = *part;
  }
}

// Tied functions leave gaps.
void JITLinkParts::number() {
  DenseMap<PartIndex, PartIndex> numbers{{rest, rest}};
  PartIndex next = rest + 1;
  for (Block *block : all_)
    if (auto part = parts_.find(block); part != parts_.end()) {
      auto [number, isNew] = numbers.try_emplace(part->second, next);
      next += isNew;
      part->second = number->second;
    }
  count_ = next;
  blocks_.resize(count_);
}

void JITLinkParts::copyShared() {
  for (Block *block : all_)
    if (auto part = partOf(*block)) {
      blocks_[*part].push_back(block);
      copyTargets(*block, *part);
    }
}

void JITLinkParts::copyTargets(Block &block, PartIndex part) {
  for (Edge &edge : block.edges()) {
    if (!edge.isRelocation() || !edge.getTarget().isDefined())
      continue;
    Block &target = edge.getTarget().getBlock();
    Kind kind = kindOf(target);
    if (kind != Kind::Shared && !(kind == Kind::Frame && !partOf(target)))
      continue;
    std::uint64_t size = isPool(target) ? entryBytes(target.getSection()) : target.getSize();
    std::uint64_t base = size < target.getSize() ? offsetOf(edge) / size * size : 0;
    std::uint64_t within = edge.getTarget().getOffset() - base; // may wrap: the addend makes up for it
    Block &copy = copyFor(part, target, base, size);
    edge.setAddend(edge.getAddend() + static_cast<std::int64_t>(within));
    edge.setTarget(graph_.addAnonymousSymbol(copy, 0, size, false, true));
  }
}

Block &JITLinkParts::copyFor(PartIndex part, Block &original, std::uint64_t base, std::uint64_t size) {
  Block *&copy = copies_[{part, &original, base}];
  if (copy)
    return *copy;
  auto content = graph_.allocateContent(original.getContent().slice(base, size));
  copy =
      &graph_.createMutableContentBlock(original.getSection(), content, original.getAddress() + base, original.getAlignment(), 0);
  for (const Edge &edge : original.edges())
    copy->addEdge(edge);
  parts_[copy] = part;
  blocks_[part].push_back(copy);
  Block &made = *copy; // the map may grow below
  copyTargets(made, part);
  return made;
}

// Unwind records end with a length of zero.
void JITLinkParts::terminateFrames() {
  Section *section = graph_.findSectionByName(framesName);
  for (std::vector<Block *> &blocks : blocks_) {
    if (none_of(blocks, [=](const Block *block) { return &block->getSection() == section; }))
      continue;
    auto zeros = graph_.allocateContent(ArrayRef<char>("\0\0\0\0", 4));
    blocks.push_back(&graph_.createMutableContentBlock(*section, zeros, orc::ExecutorAddr(terminatorAddress), 1, 0));
    parts_[blocks.back()] = static_cast<PartIndex>(&blocks - blocks_.data());
  }
}

void JITLinkParts::sortBlocks() {
  for (std::vector<Block *> &blocks : blocks_)
    llvm::stable_sort(blocks, [](const Block *a, const Block *b) {
      return std::pair(a->getSection().getOrdinal(), a->getAddress()) < std::pair(b->getSection().getOrdinal(), b->getAddress());
    });
}

#include "link/runtimedyld_capture.h"

#include "base/assert.h"
#include "base/error.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using namespace nomad;
using namespace llvm;
using object::ELFRelocationRef;
using object::ELFSectionRef;
using object::SectionRef;
using object::SymbolRef;

namespace {

constexpr std::uint64_t slotSection = ~std::uint64_t{0}; // after all others
constexpr Size stubBytes = 6;                            // ff 25, and the distance of the slot
constexpr Size frameTerminatorBytes = 4;                 // zeros that RuntimeDyld puts after unwind records

bool isUndefined(const SymbolRef &symbol) { return (cantFail(symbol.getFlags()) & SymbolRef::SF_Undefined) != 0; }

bool isWeak(const SymbolRef &symbol) { return (cantFail(symbol.getFlags()) & SymbolRef::SF_Weak) != 0; }

std::optional<Formula> formulaOf(std::uint64_t type) {
  switch (type) {
  case ELF::R_X86_64_64:
    return Formula::Absolute64;
  case ELF::R_X86_64_PC32:
  case ELF::R_X86_64_PLT32:
  case ELF::R_X86_64_GOTPCREL:
  case ELF::R_X86_64_GOTPCRELX:
  case ELF::R_X86_64_REX_GOTPCRELX:
    return Formula::Relative32;
  case ELF::R_X86_64_PC64:
    return Formula::Relative64;
  default:
    return std::nullopt;
  }
}

bool isThroughSlot(std::uint64_t type) {
  return type == ELF::R_X86_64_GOTPCREL || type == ELF::R_X86_64_GOTPCRELX || type == ELF::R_X86_64_REX_GOTPCRELX;
}

// Their values are the symbols' own, not addresses.
bool isSize(std::uint64_t type) { return type == ELF::R_X86_64_SIZE32 || type == ELF::R_X86_64_SIZE64; }

} // namespace

// ---- before the link ----

Expected<std::map<std::string, std::uint64_t>> RuntimeDyldCapture::resolveNames() {
  std::map<std::string, std::uint64_t> addresses;
  for (const SymbolRef &symbol : file_.symbols())
    if (!isUndefined(symbol))
      if (auto section = cantFail(symbol.getSection()); section != file_.section_end())
        definitions_[cantFail(symbol.getName())] = {section->getIndex(), cantFail(symbol.getValue())};
  for (const SymbolRef &symbol : file_.symbols()) {
    StringRef name = cantFail(symbol.getName());
    if (!isUndefined(symbol) || name.empty() || name == "_GLOBAL_OFFSET_TABLE_")
      continue;
    auto index = capture_.imports().find(name, isWeak(symbol), [this](StringRef own) -> std::optional<Definition> {
      auto found = definitions_.find(own);
      return found == definitions_.end() ? std::nullopt : std::optional(found->second);
    });
    if (!index)
      return index.takeError();
    imports_[name] = *index;
    const ImportedName &import = capture_.imports()[*index];
    addresses[name.str()] = import.kind == ImportedName::Kind::Nothing ? ~std::uint64_t{0} : import.address.value();
  }
  if (Error error = capture_.imports().checkMissing(capture_.request().name))
    return error;
  return addresses;
}

// ---- during the link ----

std::uint8_t *RuntimeDyldCapture::allocate(Size size, Size alignment, StringRef sectionName) {
  alignment = std::max<Size>(alignment, 1);
  auto owned = std::make_unique<std::byte[]>(size + alignment);
  auto *bytes = Address::of(roundUp(Address::of(owned.get()).value(), alignment)).pointer();
  memories_.push_back({std::move(owned), bytes, size, sectionName.str(), false});
  return reinterpret_cast<std::uint8_t *>(bytes);
}

void RuntimeDyldCapture::layOut(RuntimeDyld &linker, const RuntimeDyld::LoadedObjectInfo &loaded) {
  for (const SectionRef &section : file_.sections()) {
    Address at = Address::of(loaded.getSectionLoadAddress(section)); // still where it was allocated
    auto memory = find_if(memories_, [=](const Memory &each) { return Address::of(each.bytes) == at; });
    if (memory == memories_.end() || section.getSize() == 0)
      continue;
    addSection(section, *memory);
    memory->isOfFile = true;
  }
  for (const Memory &memory : memories_)
    if (memory.sectionName == ".got" && !memory.isOfFile)
      sections_[slotSection] = {&memory, SegmentKind::Code, false, false, memory.size, sizeof(std::uint64_t), {}};
  if (hasDataPointers())
    capture_.setDataPointers();
  for (SegmentKind kind : segmentKinds)
    if (Error error = layOutSegment(kind)) {
      failure_ = std::move(error);
      return;
    }
  for (auto &[index, section] : sections_)
    linker.mapSectionAddress(section.memory->bytes, section.base.value());
}

bool RuntimeDyldCapture::hasDataPointers() const {
  for (const SectionRef &list : file_.sections()) {
    auto relocated = cantFail(list.getRelocatedSection());
    auto section = relocated == file_.section_end() ? sections_.end() : sections_.find(relocated->getIndex());
    if (section == sections_.end() || section->second.segment != SegmentKind::Data)
      continue;
    for (const object::RelocationRef &relocation : list.relocations())
      if (auto symbol = relocation.getSymbol();
          relocation.getType() == ELF::R_X86_64_64 && symbol != file_.symbol_end() && !isUndefined(*symbol))
        return true;
  }
  return false;
}

void RuntimeDyldCapture::addSection(const SectionRef &section, const Memory &memory) {
  std::uint64_t flags = ELFSectionRef(section).getFlags();
  SectionTraits traits{cantFail(section.getName()), (flags & ELF::SHF_EXECINSTR) != 0, (flags & ELF::SHF_WRITE) != 0};
  bool isZero = ELFSectionRef(section).getType() == ELF::SHT_NOBITS;
  sections_[section.getIndex()] = {
      &memory, capture_.segmentOf(traits), traits.isCode, isZero, usedBytes(section, memory), section.getAlignment().value(), {}};
}

// RuntimeDyld leaves room for a stub at each call. Of those that it has written, only the first two bytes are there yet.
Size RuntimeDyldCapture::usedBytes(const SectionRef &section, const Memory &memory) const {
  Size size = section.getSize();
  if (cantFail(section.getName()) == ".eh_frame")
    return size + frameTerminatorBytes;
  Size last = memory.size;
  while (last > size && memory.bytes[last - 1] == std::byte{0})
    --last;
  return last == size ? size : last - 2 + stubBytes;
}

// As JITLink does it: in the order of the object file, zeros after the rest.
Error RuntimeDyldCapture::layOutSegment(SegmentKind kind) {
  Size content = 0, limit = 0, alignment = 1;
  std::vector<std::pair<Section *, Size>> offsets;
  for (bool isZero : {false, true}) {
    for (auto &[index, section] : sections_) {
      if (section.segment != kind || section.isZero != isZero)
        continue;
      limit = roundUp(limit, section.alignment);
      offsets.push_back({&section, limit});
      limit += section.size;
      alignment = std::max(alignment, section.alignment);
    }
    if (!isZero)
      content = limit;
  }
  if (limit == 0)
    return Error::success();
  if (Error error = capture_.addSegment(kind, content, limit - content, alignment))
    return error;
  for (auto &[section, offset] : offsets)
    section->base = capture_.base(kind) + offset;
  return Error::success();
}

// ---- after the link ----

Error RuntimeDyldCapture::capture() {
  if (failure_)
    return std::move(failure_);
  for (auto &[index, section] : sections_)
    if (!section.isZero)
      std::memcpy(bytesAt(section.segment, section.base), section.memory->bytes, section.size);
  for (const SectionRef &list : file_.sections()) {
    auto relocated = cantFail(list.getRelocatedSection());
    if (relocated == file_.section_end())
      continue;
    auto section = sections_.find(relocated->getIndex());
    for (const object::RelocationRef &relocation : list.relocations())
      if (section != sections_.end() && !isSize(relocation.getType()))
        if (Error error = captureRelocation(section->second, relocation))
          return error;
  }
  finish();
  return Error::success();
}

Error RuntimeDyldCapture::captureRelocation(const Section &section, const ELFRelocationRef &relocation) {
  SmallString<32> kind;
  relocation.getTypeName(kind);
  std::uint64_t type = relocation.getType();
  std::int64_t addend = cantFail(relocation.getAddend());
  Site site{section.segment, section.isText, section.base + relocation.getOffset(), formulaOf(type), kind};
  std::optional<SiteTarget> target = targetOf(relocation);
  if (!target)
    return Error::success();
  if (isThroughSlot(type)) {
    Address slot = site.address.shifted(readDistance(site) - addend);
    return captureSlot(site, slot, *target);
  }
  if (type == ELF::R_X86_64_PLT32 && target->import != noImport)
    return captureCall(site, *target);
  if (site.formula == Formula::Relative32 && !isWithin32(site, *target, addend))
    return fail(ErrorCode::Link, capture_.request().name + ": relocation " + kind + " at offset " + hex(relocation.getOffset()) +
                                     " of its section is out of range");
  bool isCounted = type == ELF::R_X86_64_PC32 && section.isText; // from the instruction's end
  target->address = target->address.shifted(addend + (isCounted ? 4 : 0));
  return capture_.addSite(site, *target);
}

// RuntimeDyld cuts what does not fit, and says nothing.
bool RuntimeDyldCapture::isWithin32(const Site &site, const SiteTarget &target, std::int64_t addend) const {
  Address at = target.import == noImport ? target.address : capture_.imports()[target.import].address;
  std::int64_t distance = 0;
  return !AddOverflow(at - site.address, addend, distance) && isInt<32>(distance);
}

// A call of a name that the object file does not define goes to a stub, which jumps to what is in a slot. A function of another
// code object is called directly instead (I9), but the stub is there, and its slot has an address.
Error RuntimeDyldCapture::captureCall(const Site &site, SiteTarget target) {
  Address next = site.address + sizeof(std::int32_t);
  Address stub = next.shifted(readDistance(site));
  Site jump{site.segment, true, stub + 2, Formula::Relative32, site.kind};
  Address slot = stub + stubBytes;
  if (Error error = captureSlot(jump, slot.shifted(readDistance(jump)), target))
    return error;
  const ImportedName &import = capture_.imports()[target.import];
  if (import.kind != ImportedName::Kind::Function)
    return Error::success();
  auto distance = static_cast<std::int32_t>(import.code - next);
  std::memcpy(bytesAt(site.segment, site.address), &distance, sizeof distance);
  target.kind = TargetKind::Reference;
  target.reference = import.reference;
  return capture_.addSite(site, target);
}

Error RuntimeDyldCapture::captureSlot(const Site &site, Address slot, const SiteTarget &target) {
  auto slots = sections_.find(slotSection);
  if (slots == sections_.end() || !Range::at(slots->second.base, slots->second.size).contains(slot))
    return fail(ErrorCode::Link, capture_.request().name + ": a relocation through a slot does not lead to one");
  if (Error error = capture_.addSite(site, {TargetKind::Code, noImport, false, 0, SegmentKind::Code, slot}))
    return error;
  if (!slots_.insert(slot.value()).second)
    return Error::success();
  return capture_.addSite({SegmentKind::Code, false, slot, Formula::Absolute64, "slot"}, target);
}

// None for a number.
std::optional<SiteTarget> RuntimeDyldCapture::targetOf(const ELFRelocationRef &relocation) const {
  auto symbol = relocation.getSymbol();
  if (symbol == file_.symbol_end())
    return std::nullopt;
  if (auto import = imports_.find(cantFail(symbol->getName())); isUndefined(*symbol))
    return import == imports_.end() ? std::nullopt : std::optional(SiteTarget{TargetKind::Fixed, import->second});
  auto section = cantFail(symbol->getSection());
  auto found = section == file_.section_end() ? sections_.end() : sections_.find(section->getIndex());
  if (found == sections_.end())
    return std::nullopt;
  const Section &at = found->second;
  Address address = at.base + cantFail(symbol->getValue());
  return SiteTarget{static_cast<TargetKind>(at.segment), noImport, at.isText, 0, at.segment, address};
}

std::int32_t RuntimeDyldCapture::readDistance(const Site &site) {
  std::int32_t distance;
  std::memcpy(&distance, bytesAt(site.segment, site.address), sizeof distance);
  return distance;
}

void RuntimeDyldCapture::finish() {
  std::vector<StringRef> names;
  for (const SymbolRef &symbol : file_.symbols()) {
    StringRef name = cantFail(symbol.getName());
    if (name.empty() || !definitions_.contains(name))
      continue;
    names.push_back(name);
    symbolSizes_[name] = object::ELFSymbolRef(symbol).getSize();
  }
  Offset unwind = noOffset;
  for (const SectionRef &section : file_.sections())
    if (auto found = sections_.find(section.getIndex()); found != sections_.end() && cantFail(section.getName()) == ".eh_frame")
      unwind = static_cast<Offset>(found->second.base - capture_.base(SegmentKind::Code));
  capture_.finish([this](StringRef name) { return extentOf(name); }, names, unwind);
}

std::optional<SymbolExtent> RuntimeDyldCapture::extentOf(StringRef name) const {
  auto definition = definitions_.find(name);
  if (definition == definitions_.end())
    return std::nullopt;
  auto section = sections_.find(definition->second.container);
  if (section == sections_.end())
    return std::nullopt;
  const Section &at = section->second;
  auto offset = static_cast<Offset>(at.base - capture_.base(at.segment) + static_cast<Delta>(definition->second.offset));
  return SymbolExtent{{at.segment, offset}, symbolSizes_.lookup(name)};
}

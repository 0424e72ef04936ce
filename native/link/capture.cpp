#include "link/capture.h"

#include "base/error.h"
#include "link/import_site.h"
#include "link/reach.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>
#include <limits>

using namespace nomad;
using namespace llvm;

namespace {

// What emulated TLS calls the control block of a thread-local variable.
constexpr StringLiteral threadLocalPrefix = "__emutls_v.";

bool isFrameSection(StringRef name) { return name == ".eh_frame" || name.starts_with(".gcc_except_table"); }

bool isAbsolute(Formula formula) { return formula == Formula::Absolute64; }

// Values that no move changes: I1, and absolute ones towards what is fixed.
bool neverChanges(Formula formula, SegmentKind site, TargetKind target) {
  return isAbsolute(formula) ? target == TargetKind::Fixed : static_cast<size_t>(target) == indexOf(site);
}

} // namespace

Size nomad::poolEntryBytes(StringRef section) {
  Size size = 0;
  return section.consume_front(".rodata.cst") && !section.getAsInteger(10, size) ? size : 0;
}

Capture::Capture(const LinkEnvironment &environment, const LinkRequest &request, Exports exports, SymbolResolver &resolver)
    : environment_(environment), request_(request), exports_(std::move(exports)),
      imports_(environment.entries, resolver, [this] { return Address::of(&object_.ensureTeardown()); }) {
  object_.image = std::make_unique<Image>();
}

Capture::Capture(const LinkEnvironment &environment, const LinkRequest &request, const KeptObject &kept,
                 const SegmentBases &bases)
    : environment_(environment), request_(request), imports_(kept.imports), bases_(bases) {
  exports_.returnsTwice = kept.returnsTwice;
  exports_.frames = kept.frames;
  object_.image = std::make_unique<Image>();
}

Capture::Capture(const LinkEnvironment &environment, const LinkRequest &request, Exports exports, const Imports &whole)
    : environment_(environment), request_(request), exports_(std::move(exports)), imports_(Imports::forPartOf(whole)) {
  object_.image = std::make_unique<Image>();
  object_.image->isPart = true;
}

Imports Capture::takeImportsOfAll() {
  Imports whole = std::move(imports_);
  imports_ = Imports::forPartOf(whole);
  object_.image->isPart = true;
  return whole;
}

// Unwind records, constant pools, and the slots for what is outside move with the code that reads them; named constants stay
// (I11). So do jump tables: code keeps their addresses in registers and frames for as long as a loop runs, and would be pinned by
// them. With Moves::All there is no difference to make.
SegmentKind Capture::segmentOf(const SectionTraits &section) const {
  bool isRelro = section.name.starts_with(".data.rel.ro");
  if (section.isCode || isFrameSection(section.name))
    return SegmentKind::Code;
  if (section.isWritable && !isRelro)
    return SegmentKind::Data;
  return request_.moves == Moves::All || poolEntryBytes(section.name) > 0 ? SegmentKind::Code : SegmentKind::Constants;
}

Error Capture::addSegment(SegmentKind kind, Size content, Size zeros, Size alignment) {
  // Pointers in data may point one past the end of what they walk through; a byte of padding makes that their own segment, too.
  Size size = content + zeros + (hasDataPointers_ ? 1 : 0);
  Range range = environment_.arena.segments(kind);
  if (size > range.size() || size > std::numeric_limits<std::uint32_t>::max())
    return fail(ErrorCode::Link, request_.name + ": " + Twine(size) + " bytes of " + segmentName(kind) +
                                     " are more than the arena's " + Twine(range.size()));
  Size aligned = std::max<Size>(alignment, OccupancyMap::granule);
  Address base = bases_ ? (*bases_)[indexOf(kind)] : range.base;
  object_.segment(kind) = {base, static_cast<std::uint32_t>(size), static_cast<std::uint8_t>(Log2_64(aligned))};
  // Code and constants are stored whole; zeros at the end of data are not.
  Size stored = kind == SegmentKind::Data ? content : size;
  object_.image->bytes[indexOf(kind)] = std::make_unique<std::byte[]>(std::max<Size>(stored, 1));
  object_.image->storedBytes[indexOf(kind)] = static_cast<std::uint32_t>(stored);
  return Error::success();
}

Error Capture::addSite(const Site &site, const SiteTarget &target) {
  addToTables(site, target);
  if (!site.formula && target.kind == TargetKind::Fixed)
    return Error::success(); // a number, such as an absolute symbol's value in 32 bits
  if (!site.formula)
    return fail(ErrorCode::Unsupported, request_.name + ": a relocation of kind " + site.kind + " can't follow a move");
  if (Error error = checkSite(site))
    return error;
  if (target.import != noImport)
    object_.image->importSites.push_back(
        {target.import, site.segment, *site.formula, target.kind == TargetKind::Reference, offsetOf(site)});
  if (neverChanges(*site.formula, site.segment, target.kind))
    return Error::success();
  if (isAbsolute(*site.formula) && site.segment == SegmentKind::Data) {
    // What the program stores there later may point elsewhere (I4).
    relocations_.push_back({site.segment, Formula::DataPointer, TargetKind::Data, SegmentReference{}, offsetOf(site)});
    return Error::success();
  }
  SegmentReference reference =
      target.kind == TargetKind::Reference ? referenceTo(target.reference, target.segment) : SegmentReference{};
  return addRelocation(site, {site.segment, *site.formula, target.kind, reference, offsetOf(site)});
}

Error Capture::checkSite(const Site &site) {
  Size width = widthOf(*site.formula), stored = object_.image->storedBytes[indexOf(site.segment)];
  auto offset = static_cast<Size>(site.address - base(site.segment));
  if (width > stored || offset > stored - width)
    return fail(ErrorCode::Link, request_.name + ": a relocation of kind " + site.kind + " is at offset " + hex(offset) +
                                     " of its segment, whose content has " + Twine(stored) + " bytes");
  return Error::success();
}

Error Capture::addRelocation(const Site &site, const Relocation &relocation) {
  std::int32_t value;
  std::memcpy(&value, bytes(site.segment) + relocation.site, sizeof value);
  if (!bases_ && !fitsEverywhere(environment_.arena, object_.segments, relocation, value))
    return fail(ErrorCode::Link, request_.name + ": a relocation of kind " + site.kind + " at offset " + hex(relocation.site) +
                                     " of " + segmentName(site.segment) + " adds too much to what it refers to: in some places " +
                                     "of the arena its 32 bits would not reach there");
  relocations_.push_back(relocation);
  return Error::success();
}

void Capture::addToTables(const Site &site, const SiteTarget &target) {
  if (target.kind == TargetKind::Fixed || target.kind == TargetKind::Reference)
    return;
  if (site.isText && !target.isText)
    jumpTargets_.addBase(target.address);
  if (!site.isText && target.isText && site.formula == Formula::Relative32)
    jumpTargets_.addEntry(site.address, target.address);
  if (!site.isText && target.isText && site.formula == Formula::Absolute64)
    jumpTargets_.addLabel(target.address);
}

void Capture::finish(PlaceOf placeOf, ArrayRef<StringRef> definitions, Offset unwindRecords) {
  object_.unwindRecords = unwindRecords;
  object_.symbols = SymbolTable::encode(request_.name, exports_, environment_.types, placeOf);
  auto offsetOfName = [&](StringRef name) {
    auto extent = placeOf(name);
    return extent ? extent->place.offset : noOffset;
  };
  for (const ImportedName &name : imports_.names())
    if (name.kind == ImportedName::Kind::OwnEntry &&
        none_of(object_.entries, [&](const EntryUse &entry) { return entry.index == name.entry; }))
      object_.entries.push_back({name.entry, offsetOfName(StringRef(name.name).drop_front(entryPrefix.size()))});
  object_.image->initializer = offsetOfName(initializerName);
  for (auto &[name, bySetjmpOnly] : exports_.returnsTwice)
    if (auto extent = placeOf(name))
      object_.image->mayReturnTwice.push_back(
          {{extent->place.offset, extent->place.offset + static_cast<Offset>(extent->size)}, bySetjmpOnly});
  object_.image->returnsTwice = returnsTwice(object_.image->mayReturnTwice, imports_.setjmpStaysValid());
  findFrames(placeOf);
  if (Offset finalizer = offsetOfName(finalizerName); finalizer != noOffset)
    object_.ensureTeardown().finalizer = finalizer;
  for (StringRef name : definitions)
    if (name.starts_with(threadLocalPrefix))
      object_.ensureTeardown().threadLocals.push_back(offsetOfName(name));
}

void Capture::everyLive(function_ref<void(StringRef)> visit) const {
  for (const ReturnsTwice &function : exports_.returnsTwice)
    visit(function.name);
  for (const FunctionFrame &function : exports_.frames.others)
    visit(function.name);
}

void Capture::findFrames(PlaceOf placeOf) {
  FrameMap &frames = object_.image->frames;
  frames.usual = exports_.frames.usual;
  frames.switchesStacks = exports_.frames.switchesStacks;
  for (const auto &[name, kind] : exports_.frames.others)
    if (auto extent = placeOf(name); extent && extent->place.segment == SegmentKind::Code)
      frames.others.push_back({{extent->place.offset, extent->place.offset + static_cast<Offset>(extent->size)}, kind});
  llvm::sort(frames.others, [](const auto &a, const auto &b) { return a.extent.base < b.extent.base; });
  object_.hasOddFrames = !frames.isAllPlain();
}

CodeObject Capture::take(std::unique_ptr<MemoryBuffer> object) {
  object_.hasOuterSites = any_of(relocations_, [](const Relocation &each) { return each.segment != SegmentKind::Code; });
  object_.relocations = RelocationTable::encode(std::move(relocations_));
  object_.keepsCodeAddresses = exports_.keepsCodeAddresses;
  object_.storesLabels = exports_.storesLabels;
  object_.isIrreplaceable = exports_.isIrreplaceable;
  if (const Segment &code = object_.segment(SegmentKind::Code); code.exists())
    object_.image->jumpTargets = jumpTargets_.behindCalls(code.range(), bytes(SegmentKind::Code));
  if (!imports_.references().empty())
    object_.ensureLinks().references = imports_.references();
  object_.moves = request_.moves;
  object_.retain = request_.retain;
  object_.state = State::Unplaced;
  readAddends();
  if (request_.keepsObject)
    object_.image->kept = std::make_unique<KeptObject>(
        KeptObject{std::move(object), imports_.names().vec(), std::move(exports_.returnsTwice), std::move(exports_.frames), {}});
  object_.image->imports = imports_.take();
  object_.image->declared = std::move(exports_.declared);
  return std::move(object_);
}

// While imports are where this link found them.
void Capture::readAddends() {
  for (ImportSite &site : object_.image->importSites) {
    const ImportedName &import = imports_[site.import];
    SitePlace place{bytes(site.segment) + site.offset, base(site.segment) + site.offset, site.formula};
    site.addend = readAddend(place, site.isCall ? import.code : import.address);
  }
}

Emission Capture::takeEmission() { return {std::move(object_.image), std::move(relocations_)}; }

void Capture::abandon() { imports_.abandon(); }

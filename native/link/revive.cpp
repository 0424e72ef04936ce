#include "link/revive.h"

#include "base/error.h"
#include "link/import_site.h"
#include "link/imports.h"
#include "link/reach.h"
#include "link/site_map.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>
#include <map>

using namespace nomad;
using namespace llvm;

namespace {

class Revival {
public:
  Revival(const SavedObject &saved, const LinkRequest &request, const LinkEnvironment &environment, SymbolResolver &resolver)
      : saved_(saved), request_(request), environment_(environment),
        imports_(environment.entries, resolver, [this] { return Address::of(&object_.ensureTeardown()); }) {
    object_.image = std::make_unique<Image>();
  }

  Expected<CodeObject> run() {
    Error error = findImports();
    if (!error)
      error = rebuildSegments();
    if (!error)
      error = checkImportSites();
    if (!error)
      error = writeImportSites();
    if (!error)
      error = checkReach();
    if (error) {
      imports_.abandon();
      return error;
    }
    rebuildFacts();
    return std::move(object_);
  }

private:
  Image &image() { return *object_.image; }
  Error damaged(const char *what) const { return fail(ErrorCode::Link, request_.name + ": not a saved code object: " + what); }

  Error findImports() {
    for (const SavedImport &import : saved_.imports) {
      auto findOwn = [&](StringRef) {
        return import.ownEntry == noOffset ? std::nullopt : std::optional(Definition{0, import.ownEntry});
      };
      auto index = imports_.find(import.name, import.isWeak, findOwn);
      if (!index)
        return index.takeError();
      if (*index != static_cast<size_t>(&import - saved_.imports.data()))
        return damaged("an import is there twice");
    }
    return imports_.checkMissing(request_.name);
  }

  Error rebuildSegments() {
    SegmentMoves moves;
    std::array<Size, 3> stored{};
    for (SegmentKind kind : segmentKinds) {
      const SavedSegment &segment = saved_.segments[indexOf(kind)];
      if (segment.size == 0)
        continue;
      Address base = environment_.arena.segments(kind).base;
      object_.segment(kind) = {base, segment.size, segment.alignmentLog2};
      auto &bytes = image().bytes[indexOf(kind)];
      bytes = std::make_unique_for_overwrite<std::byte[]>(std::max<Size>(segment.storedBytes, 1));
      if (segment.storedBytes > 0)
        std::memcpy(bytes.get(), segment.bytes.data(), segment.storedBytes);
      image().storedBytes[indexOf(kind)] = segment.storedBytes;
      stored[indexOf(kind)] = segment.storedBytes;
      moves[indexOf(kind)] = {bytes.get(), savedBase(kind), base, segment.size};
    }
    // Without calls of others, which no move of this one's own segments changes.
    auto own = RelocationTable::fromGroups(saved_.relocations, saved_.relocationCount, stored, {});
    if (!own)
      return damaged("its relocations are not in the segments");
    own->applyMove(moves);
    object_.hasOuterSites = any_of(own->decode(), [](const Relocation &each) { return each.segment != SegmentKind::Code; });
    object_.relocations = std::move(*own);
    return Error::success();
  }

  // Where the value also changes with moves there is a relocation, with the same bytes.
  Error checkImportSites() const {
    std::map<std::pair<SegmentKind, Offset>, Formula> moving;
    SiteMap known, sites;
    for (const Relocation &relocation : object_.relocations.decode()) {
      moving[{relocation.segment, relocation.site}] = relocation.formula;
      known.add(relocation.segment, relocation.site, relocation.formula);
    }
    for (const ImportSite &site : saved_.importSites) {
      auto found = moving.find({site.segment, site.offset});
      bool isOneOfThem = found != moving.end() && widthOf(found->second) == widthOf(site.formula) && !site.isCall;
      bool isFree = known.add(site.segment, site.offset, site.formula);
      if (!sites.add(site.segment, site.offset, site.formula) || !(isFree || isOneOfThem))
        return damaged("two references share bytes");
    }
    return Error::success();
  }

  Error writeImportSites() {
    std::vector<Relocation> calls;
    for (const ImportSite &site : saved_.importSites) {
      if (Error error = writeImportSite(site))
        return error;
      if (site.isCall)
        calls.push_back({site.segment, site.formula, TargetKind::Reference,
                         referenceTo(imports_[site.import].reference, SegmentKind::Code), site.offset});
    }
    if (calls.empty())
      return Error::success();
    std::vector<Relocation> relocations = object_.relocations.decode();
    append_range(relocations, calls);
    object_.relocations = RelocationTable::encode(std::move(relocations));
    return Error::success();
  }

  Error writeImportSite(const ImportSite &site) {
    const ImportedName &import = imports_[site.import];
    if (site.isCall && import.kind != ImportedName::Kind::Function)
      return fail(ErrorCode::Unsupported,
                  request_.name + ": '" + import.name +
                      "' was a function of another code object when this was saved, and is called " +
                      "directly; such a call can't reach an address elsewhere, only a Callable or a HostFunction");
    if (site.isCall && site.addend != callAddend)
      return damaged("a call leads into the middle of a function");
    SitePlace place{image().bytes[indexOf(site.segment)].get() + site.offset, object_.segment(site.segment).base + site.offset,
                    site.formula};
    Address target = site.isCall ? import.code : import.address;
    // What is near now must be so after every move, too (I6).
    bool isNear = environment_.arena.range().contains(target) || widthOf(site.formula) == sizeof(std::uint64_t);
    if (isNear && writeSite(place, target, site.addend))
      return Error::success();
    return fail(ErrorCode::Unsupported, request_.name + ": '" + import.name + "' was near when this was saved, and is at " +
                                            hex(target.value()) + " now, which its code can't reach");
  }

  // As every link does (I6).
  Error checkReach() {
    for (const Relocation &relocation : object_.relocations.decode()) {
      std::int32_t value;
      std::memcpy(&value, image().bytes[indexOf(relocation.segment)].get() + relocation.site, sizeof value);
      if (!fitsEverywhere(environment_.arena, object_.segments, relocation, value))
        return damaged("a reference does not reach what it refers to everywhere in the arena");
    }
    return Error::success();
  }

  void rebuildFacts() {
    object_.moves = saved_.moves;
    object_.retain = saved_.retain;
    object_.state = State::Unplaced;
    object_.keepsCodeAddresses = saved_.keepsCodeAddresses;
    object_.storesLabels = saved_.storesLabels;
    object_.isIrreplaceable = saved_.isIrreplaceable;
    object_.unwindRecords = saved_.unwindRecords;
    size_t next = 0;
    object_.symbols = SymbolTable::encode(request_.name, saved_.exports, environment_.types,
                                          [&](StringRef) { return std::optional(saved_.extents[next++]); });
    if (saved_.finalizer != noOffset || !saved_.threadLocals.empty()) {
      object_.ensureTeardown().finalizer = saved_.finalizer;
      object_.ensureTeardown().threadLocals = saved_.threadLocals;
    }
    image().initializer = saved_.initializer;
    image().mayReturnTwice = saved_.mayReturnTwice;
    image().returnsTwice = returnsTwice(saved_.mayReturnTwice, imports_.setjmpStaysValid());
    image().jumpTargets = saved_.jumpTargets;
    image().frames = saved_.frames;
    object_.hasOddFrames = !saved_.frames.isAllPlain();
    image().declared = saved_.exports.declared;
    image().importSites = saved_.importSites;
    if (!imports_.references().empty())
      object_.ensureLinks().references = imports_.references();
    rebuildImports();
  }

  void rebuildImports() {
    std::vector<ImportedName> names = imports_.take();
    std::vector<bool> isCalled(names.size());
    for (const ImportSite &site : saved_.importSites)
      isCalled[site.import] = isCalled[site.import] || site.isCall;
    for (size_t i = 0; i < names.size(); ++i) {
      // What was an address is a function now, and entered through its stub: that an object file is emitted again changes
      // nothing.
      if (names[i].kind == ImportedName::Kind::Function && !isCalled[i]) {
        names[i].kind = ImportedName::Kind::FunctionEntry;
        CodePlace &place = object_.links->references[names[i].reference];
        place = place.address();
      }
      auto isKnown = [&](const EntryUse &entry) { return entry.index == names[i].entry; };
      if (names[i].kind == ImportedName::Kind::OwnEntry && none_of(object_.entries, isKnown))
        object_.entries.push_back({names[i].entry, saved_.imports[i].ownEntry});
    }
    if (request_.keepsObject && saved_.objectFile)
      image().kept = std::make_unique<KeptObject>(KeptObject{MemoryBuffer::getMemBufferCopy(*saved_.objectFile, request_.name),
                                                             names,
                                                             saved_.exports.returnsTwice,
                                                             saved_.exports.frames,
                                                             {}});
    image().imports = std::move(names);
  }

  const SavedObject &saved_;
  const LinkRequest &request_;
  const LinkEnvironment &environment_;
  CodeObject object_;
  Imports imports_;
};

} // namespace

Expected<CodeObject> nomad::revive(const SavedObject &saved, const LinkRequest &request, const LinkEnvironment &environment,
                                   SymbolResolver &resolver) {
  return Revival(saved, request, environment, resolver).run();
}

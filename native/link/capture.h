// What every linker's link becomes: segments in plain memory, relocations, symbols. A linker tells, in this order,
//
//   imports().find     each name that the object file does not define
//   addSegment         how large each segment is; it gets memory, and the address to link for
//   addSite            each place where bytes depend on an address
//   finish             where names are
//
// and takes the code object; or, of an object file that is emitted again, bytes for other addresses.
#pragma once

#include "link/imports.h"
#include "link/jump_targets.h"
#include "link/linker.h"

namespace nomad {

/// A section, as far as its place depends on it.
struct SectionTraits {
  llvm::StringRef name;
  bool isCode;
  bool isWritable;
};

/// Of a constant pool, which has its entries' size in its name; 0 for other sections. A function `cstm` has a table in
/// `.rodata.cstm`.
Size poolEntryBytes(llvm::StringRef section);

constexpr std::uint32_t noImport = ~std::uint32_t{0};

/// What the bytes at a site refer to.
struct SiteTarget {
  TargetKind kind;
  std::uint32_t import = noImport;         // index, if it has a name
  bool isText = false;                     // machine code of this object file
  std::uint32_t reference = 0;             // Reference: its index
  SegmentKind segment = SegmentKind::Code; // Reference: of the code object there
  Address address = {};                    // with the site's own addend, as the program sees it
};

struct Site {
  SegmentKind segment;
  bool isText;
  Address address;
  std::optional<Formula> formula; // none: a kind that can't move
  llvm::StringRef kind;           // the linker's name for it
};

class Capture {
public:
  using PlaceOf = llvm::function_ref<std::optional<SymbolExtent>(llvm::StringRef)>;

  /// A first link, for nominal addresses.
  Capture(const LinkEnvironment &environment, const LinkRequest &request, Exports exports, SymbolResolver &resolver);
  /// A part of a first link: one of several code objects that come from it.
  Capture(const LinkEnvironment &environment, const LinkRequest &request, Exports exports, const Imports &whole);
  /// A later one. `kept` has to outlive it.
  Capture(const LinkEnvironment &environment, const LinkRequest &request, const KeptObject &kept, const SegmentBases &bases);

  Imports &imports() { return imports_; }
  /// Makes this one of several parts: the names that the whole link has found.
  Imports takeImportsOfAll();
  Exports &exports() { return exports_; }
  const LinkRequest &request() const { return request_; }
  /// Visits local names that the link must not drop.
  void everyLive(llvm::function_ref<void(llvm::StringRef)> visit) const;
  SegmentKind segmentOf(const SectionTraits &section) const;

  /// Sizes in bytes; `zeros` follow the content. Errors: Link if the arena is too small.
  llvm::Error addSegment(SegmentKind kind, Size content, Size zeros, Size alignment);
  /// Data have pointers that programs may change.
  void setDataPointers() { hasDataPointers_ = true; }
  std::byte *bytes(SegmentKind kind) { return object_.image->bytes[indexOf(kind)].get(); }
  Address base(SegmentKind kind) const { return object_.segment(kind).base; }

  /// With the bytes there as they are linked. Errors: Unsupported, Link.
  llvm::Error addSite(const Site &site, const SiteTarget &target);
  /// `unwind`: of the unwind records, in code. `definitions` is each defined name.
  void finish(PlaceOf placeOf, llvm::ArrayRef<llvm::StringRef> definitions, Offset unwind);

  /// After a link without error.
  CodeObject take(std::unique_ptr<llvm::MemoryBuffer> object);
  Emission takeEmission();
  /// Gives back what a failed link had taken.
  void abandon();

private:
  void findFrames(PlaceOf placeOf);
  llvm::Error checkSite(const Site &site);
  llvm::Error addRelocation(const Site &site, const Relocation &relocation);
  void addToTables(const Site &site, const SiteTarget &target);
  void readAddends();
  Offset offsetOf(const Site &site) const { return static_cast<Offset>(site.address - base(site.segment)); }

  const LinkEnvironment &environment_;
  const LinkRequest &request_;
  Exports exports_;
  CodeObject object_;
  Imports imports_;
  std::optional<SegmentBases> bases_; // none: nominal
  bool hasDataPointers_ = false;
  std::vector<Relocation> relocations_;
  JumpTargets jumpTargets_;
};

} // namespace nomad

// One link by RuntimeDyld. It keeps its relocations to itself, so they are read from the object file, and what it made of them
// (slots of the global offset table, stubs of calls) from the linked bytes.
//
//   resolveNames   undefined symbols -> addresses, before the link
//   allocate       memory for one section at a time; slots and stubs too
//   layOut         sections -> segments, when all are loaded; RuntimeDyld learns the addresses to link for
//   capture        linked bytes -> segments, relocations of the object file -> sites
#pragma once

#include "link/capture.h"

#include "llvm/ExecutionEngine/Orc/CoreContainers.h"
#include "llvm/ExecutionEngine/RuntimeDyld.h"
#include "llvm/Object/ELFObjectFile.h"

#include <map>
#include <set>

namespace nomad {

class RuntimeDyldCapture {
public:
  RuntimeDyldCapture(Capture &capture, const llvm::object::ELFObjectFileBase &file) : capture_(capture), file_(file) {}

  /// By name. An address of all ones leaves zeros where it is used: what RuntimeDyld does for names that its client handles.
  llvm::Expected<std::map<std::string, std::uint64_t>> resolveNames();
  std::uint8_t *allocate(Size size, Size alignment, llvm::StringRef sectionName);
  void layOut(llvm::RuntimeDyld &linker, const llvm::RuntimeDyld::LoadedObjectInfo &loaded);
  /// Errors: Link, Unsupported.
  llvm::Error capture();

private:
  /// Memory that RuntimeDyld links a section in.
  struct Memory {
    std::unique_ptr<std::byte[]> owned;
    std::byte *bytes;
    Size size;
    std::string sectionName;
    bool isOfFile; // a section of the object file, whatever its name
  };
  struct Section {
    const Memory *memory = nullptr;
    SegmentKind segment;
    bool isText;
    bool isZero;
    Size size; // with stubs
    Size alignment;
    Address base;
  };
  llvm::Error layOutSegment(SegmentKind kind);
  bool hasDataPointers() const;
  void addSection(const llvm::object::SectionRef &section, const Memory &memory);
  Size usedBytes(const llvm::object::SectionRef &section, const Memory &memory) const;
  llvm::Error captureRelocation(const Section &section, const llvm::object::ELFRelocationRef &relocation);
  llvm::Error captureCall(const Site &site, SiteTarget target);
  llvm::Error captureSlot(const Site &site, Address slot, const SiteTarget &target);
  std::optional<SiteTarget> targetOf(const llvm::object::ELFRelocationRef &relocation) const;
  bool isWithin32(const Site &site, const SiteTarget &target, std::int64_t addend) const;
  std::int32_t readDistance(const Site &site);
  std::byte *bytesAt(SegmentKind segment, Address address) {
    return capture_.bytes(segment) + (address - capture_.base(segment));
  }
  void finish();
  std::optional<SymbolExtent> extentOf(llvm::StringRef name) const;

  Capture &capture_;
  const llvm::object::ELFObjectFileBase &file_;
  std::vector<Memory> memories_;
  std::map<std::uint64_t, Section> sections_; // by index in the object file; the slots come last
  llvm::StringMap<std::uint32_t> imports_;
  llvm::StringMap<Definition> definitions_; // container: a section's index
  llvm::StringMap<Size> symbolSizes_;
  std::set<std::uint64_t> slots_; // addresses of those that are captured
  llvm::Error failure_ = llvm::Error::success();
};

} // namespace nomad

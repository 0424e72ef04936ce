// A code object outside of its process: bytes that say all about it, and nothing of where anything was.
//
//   | magic: u32 'NOMJ' | version: u32 | bytes of all this: u64 | checksum of all else: u64 | body ... |
//
// Segments are linked for `savedBase`, and have zeros where imports' values go: those are looked up by name again, and written
// anew. Numbers are little-endian here, ULEB128 in the body, whose order the writer shows.
#pragma once

#include "link/code_object.h"

namespace nomad {

constexpr std::uint32_t savedVersion = 2;

/// Of the segments of one that is saved: far from each other, and from null.
constexpr Address savedBase(SegmentKind kind) { return Address::of((indexOf(kind) + 1) << 36); }

struct SavedSegment {
  std::uint32_t size;
  std::uint8_t alignmentLog2;
  std::uint32_t storedBytes;
  llvm::ArrayRef<std::uint8_t> bytes;
};

struct SavedImport {
  llvm::StringRef name;
  bool isWeak;
  Offset ownEntry; // in code, if it is an entry stub of the code object's own
};

/// What bytes say, checked: all offsets lie in their segments. Refers to the bytes.
struct SavedObject {
  Moves moves;
  Retain retain;
  bool keepsCodeAddresses;
  bool storesLabels;
  bool isIrreplaceable;
  std::array<SavedSegment, 3> segments;
  Offset unwindRecords;
  Offset initializer;
  Offset finalizer;
  std::vector<Offset> threadLocals;
  std::vector<ReturnsTwiceExtent> mayReturnTwice;
  std::vector<Offset> jumpTargets;
  FrameMap frames;
  Exports exports;
  std::vector<SymbolExtent> extents; // of its functions, then of its globals
  std::vector<SavedImport> imports;
  std::vector<ImportSite> importSites;
  std::uint32_t relocationCount;
  llvm::ArrayRef<std::uint8_t> relocations; // not looked at yet
  std::optional<llvm::StringRef> objectFile;
  std::uint64_t relinker; // of the object file
};

/// `object` is unplaced, and has `forwardedStubs` besides its own; `kept` is its object file, or null, and `relinker` says which
/// linker can link that again.
std::vector<std::uint8_t> encodeSaved(const CodeObject &object, llvm::ArrayRef<EntryUse> forwardedStubs, const TypePool &types,
                                      const KeptObject *kept, std::uint64_t relinker);

/// `limits`: bytes of the arena's ranges; `name` is for messages. Errors: Link for bytes that are damaged or too many,
/// Unsupported for those that were made by another version or for another machine.
llvm::Expected<SavedObject> decodeSaved(llvm::ArrayRef<std::uint8_t> bytes, const std::string &name,
                                        const std::array<Size, 3> &limits);

/// Is it what `encodeSaved` wrote? Looks at the checksum, at nothing after it. Errors: as decodeSaved.
llvm::Error checkSaved(llvm::ArrayRef<std::uint8_t> bytes, const std::string &name);

/// Writes the header, for a body that follows it already.
void sealSaved(llvm::MutableArrayRef<std::uint8_t> bytes);

struct SavedHeader {
  static constexpr std::uint32_t ownMagic = 0x4a4d4f4e; // "NOMJ"

  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t size;
  std::uint64_t checksum;
};

} // namespace nomad

// Reads what saved_writer.cpp writes, in the same order, and trusts nothing: bytes with a checksum forged on
// purpose can run code anyway, but no mistake ends the process.
#include "link/saved_object.h"

#include "base/byte_reader.h"
#include "base/error.h"
#include "compile/this_machine.h"
#include "link/frame_check.h"

#include "llvm/ADT/StringSet.h"

#include <cstring>
#include <limits>

using namespace nomad;
using namespace llvm;

namespace {

constexpr Size threadLocalBytes = 32;   // of a control block: size, alignment, key, initial value
constexpr size_t mostParameters = 1000; // see signature.cpp

class Decoder {
public:
  Decoder(ArrayRef<std::uint8_t> bytes, const std::string &name) : reader_(bytes, sizeof(SavedHeader)), name_(name) {}

  Expected<SavedObject> decode(const std::array<Size, 3> &limits) {
    if (Error error = readHost())
      return error;
    bool hasObjectFile = readFacts();
    if (Error error = checkLimits(limits))
      return error;
    readPlaces();
    readFunctions();
    readGlobals();
    readImports();
    saved_.relocationCount = reader_.word();
    saved_.relocations = reader_.raw(reader_.number());
    readObjectFile(hasObjectFile);
    readSegments();
    if (!reader_.isOk())
      return damaged();
    return std::move(saved_);
  }

private:
  Error damaged() const {
    return fail(ErrorCode::Link,
                name_ + ": not a saved code object: " + reader_.what() + " (at byte " + Twine(reader_.at()) + ")");
  }

  Error readHost() {
    Machine target;
    target.llvm = reader_.text().str();
    target.triple = reader_.text().str();
    target.cpu = reader_.text().str();
    target.features = reader_.number();
    if (!reader_.isOk())
      return damaged();
    const Machine &machine = thisMachine();
    if (target == machine)
      return Error::success();
    if (target.llvm != machine.llvm)
      return fail(ErrorCode::Unsupported, name_ + ": saved with LLVM " + target.llvm + ", but this is " + machine.llvm);
    std::string difference = target.cpu == machine.cpu ? " with other features" : "";
    return fail(ErrorCode::Unsupported, name_ + ": saved for " + target.triple + ", CPU '" + target.cpu + "'" + difference +
                                            ", but this is " + machine.triple + ", CPU '" + machine.cpu + "'");
  }

  bool readFacts() {
    unsigned flags = reader_.byte(0x7f);
    saved_.moves = static_cast<Moves>(flags & 1);
    saved_.retain = static_cast<Retain>(flags >> 1 & 3);
    reader_.require(saved_.retain <= Retain::None, "a value is not one of those allowed");
    saved_.keepsCodeAddresses = (flags >> 3 & 1) != 0;
    saved_.storesLabels = (flags >> 4 & 1) != 0;
    saved_.isIrreplaceable = (flags >> 6 & 1) != 0;
    for (SegmentKind kind : segmentKinds) {
      SavedSegment &segment = saved_.segments[indexOf(kind)];
      segment.size = reader_.word();
      segment.alignmentLog2 = static_cast<std::uint8_t>(reader_.byte(Log2_64(maxAlignment)));
      segment.storedBytes = reader_.word();
      bool isWhole = kind == SegmentKind::Data ? segment.storedBytes <= segment.size : segment.storedBytes == segment.size;
      reader_.require(isWhole, "a segment has other bytes than it says");
      reader_.require(segment.size == 0 || Size{1} << segment.alignmentLog2 >= OccupancyMap::granule,
                      "a segment's alignment is too small");
    }
    bool hasObjectFile = (flags >> 5 & 1) != 0;
    reader_.require(hasObjectFile || saved_.retain != Retain::Object, "its object file is missing");
    return hasObjectFile;
  }

  Error checkLimits(const std::array<Size, 3> &limits) const {
    if (!reader_.isOk())
      return damaged();
    for (SegmentKind kind : segmentKinds)
      if (Size size = saved_.segments[indexOf(kind)].size; size > limits[indexOf(kind)])
        return fail(ErrorCode::Link, name_ + ": " + Twine(size) + " bytes of " + segmentName(kind) +
                                         " are more than the arena's " + Twine(limits[indexOf(kind)]));
    return Error::success();
  }

  Size sizeOf(SegmentKind kind) const { return saved_.segments[indexOf(kind)].size; }

  /// Of something in a segment that is `least` bytes long.
  void requireIn(SegmentKind kind, Offset offset, Size least) {
    Size size = sizeOf(kind);
    reader_.require(offset <= size && least <= size - offset, "an offset is not in its segment");
  }

  Offset codeOffset() {
    Offset offset = reader_.offset();
    if (offset != noOffset)
      requireIn(SegmentKind::Code, offset, 1);
    return offset;
  }

  void readPlaces() {
    saved_.unwindRecords = codeOffset();
    saved_.initializer = codeOffset();
    saved_.finalizer = codeOffset();
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      saved_.threadLocals.push_back(reader_.word());
      requireIn(SegmentKind::Data, saved_.threadLocals.back(), threadLocalBytes);
    }
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      CodeExtent extent = readExtent();
      saved_.mayReturnTwice.push_back({extent, reader_.flag()});
    }
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      saved_.jumpTargets.push_back(reader_.word());
      requireIn(SegmentKind::Code, saved_.jumpTargets.back(), 0);
    }
    readFrames();
  }

  CodeExtent readExtent() {
    CodeExtent extent{reader_.word(), reader_.word()};
    reader_.require(extent.base <= extent.limit && extent.limit <= sizeOf(SegmentKind::Code), "a function is not in its segment");
    return extent;
  }

  FrameKind readFrameKind() { return static_cast<FrameKind>(reader_.byte(static_cast<unsigned>(FrameKind::Unknown))); }

  void readFrames() {
    saved_.frames.usual = readFrameKind();
    saved_.frames.switchesStacks = reader_.flag();
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      CodeExtent extent = readExtent();
      bool isOrdered = saved_.frames.others.empty() || saved_.frames.others.back().extent.limit <= extent.base;
      reader_.require(isOrdered, "functions are not in their order");
      saved_.frames.others.push_back({extent, readFrameKind()});
    }
  }

  Signature readSignature() {
    Signature signature;
    if (reader_.flag()) {
      signature.text = reader_.text().str();
      signature.refusal = reader_.text().str();
      reader_.require(!signature.refusal.empty(), "a function's type is not whole");
      return signature;
    }
    signature.result = static_cast<ValueKind>(reader_.byte(static_cast<unsigned>(ValueKind::Ptr)));
    signature.text = (valueKindName(signature.result) + " (").str();
    size_t count = reader_.count();
    reader_.require(count <= mostParameters, "a function has too many parameters");
    for (size_t i = 0; i < count && reader_.isOk(); ++i) {
      unsigned head = reader_.byte(0x2f), kind = head & 0xf;
      reader_.require(kind > 0 && kind <= static_cast<unsigned>(ValueKind::Ptr), "a parameter is of no type");
      if (!reader_.isOk())
        break;
      signature.parameters.push_back({static_cast<ValueKind>(kind), static_cast<Extension>(head >> 4)});
      signature.text += (i == 0 ? "" : ", ") + valueKindName(static_cast<ValueKind>(kind)).str();
    }
    signature.text += ")";
    return signature;
  }

  // Names are those of the symbol table, where each is there once.
  std::string readName() {
    StringRef name = reader_.text();
    reader_.require(names_.insert(name).second, "a name is there twice");
    return name.str();
  }

  SymbolPlace readPlace() {
    auto segment = static_cast<SegmentKind>(reader_.byte(static_cast<unsigned>(SegmentKind::Data)));
    return {segment, reader_.word()};
  }

  void readFunctions() {
    std::vector<Signature> signatures;
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count)
      signatures.push_back(readSignature());
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      ExportedFunction function;
      function.name = readName();
      SymbolPlace place = readPlace();
      Size size = reader_.number();
      requireIn(place.segment, place.offset, size);
      std::uint32_t signature = reader_.word();
      reader_.require(signature < signatures.size(), "a function is of no type");
      for (size_t names = reader_.count(); names > 0 && reader_.isOk(); --names)
        function.parameterNames.push_back(reader_.text().str());
      if (!reader_.isOk())
        return;
      function.signature = signatures[signature];
      saved_.exports.functions.push_back(std::move(function));
      saved_.extents.push_back({place, size});
    }
  }

  static Size widthOf(ValueKind kind) {
    switch (kind) {
    case ValueKind::Void:
      return 0;
    case ValueKind::I1:
    case ValueKind::I8:
      return 1;
    case ValueKind::I16:
      return 2;
    case ValueKind::I32:
    case ValueKind::Float:
      return 4;
    case ValueKind::I64:
    case ValueKind::Double:
    case ValueKind::Ptr:
      break;
    }
    return 8;
  }

  void readGlobals() {
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      ExportedGlobal global;
      global.name = readName();
      SymbolPlace place = readPlace();
      global.size = reader_.number();
      global.isConstant = reader_.flag();
      auto kind = static_cast<ValueKind>(reader_.byte(static_cast<unsigned>(ValueKind::Ptr)));
      if (kind != ValueKind::Void)
        global.kind = kind;
      requireIn(place.segment, place.offset, std::max<Size>(global.size, widthOf(kind)));
      reader_.require(global.isConstant || place.segment == SegmentKind::Data, "a variable is not in data");
      global.type = reader_.text().str();
      saved_.exports.globals.push_back(std::move(global));
      saved_.extents.push_back({place, 0});
    }
  }

  void readImports() {
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      SavedImport import{reader_.text(), reader_.flag(), codeOffset()};
      reader_.require(import.ownEntry == noOffset || import.name.starts_with(entryPrefix), "an entry stub's name is another's");
      saved_.imports.push_back(import);
    }
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count)
      readSite();
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      std::string name = reader_.text().str();
      saved_.exports.declared.push_back({std::move(name), reader_.text().str()});
    }
  }

  void readSite() {
    ImportSite site{};
    site.import = reader_.word();
    unsigned head = reader_.byte(0x3f), segment = head & 3, formula = head >> 2 & 7;
    site.isCall = head >> 5 != 0;
    site.offset = reader_.word();
    site.addend = reader_.signedNumber();
    bool isKnown = segment < segmentKinds.size() && formula <= static_cast<unsigned>(Formula::Absolute64);
    reader_.require(isKnown && site.import < saved_.imports.size(), "a reference is of no kind");
    if (!reader_.isOk())
      return;
    site.segment = static_cast<SegmentKind>(segment);
    site.formula = static_cast<Formula>(formula);
    reader_.require(!site.isCall || site.formula == Formula::Relative32, "a call is of no kind");
    Size stored = saved_.segments[segment].storedBytes, width = nomad::widthOf(site.formula);
    reader_.require(width <= stored && site.offset <= stored - width, "a reference is not in its segment");
    saved_.importSites.push_back(site);
  }

  void readObjectFile(bool hasObjectFile) {
    if (!hasObjectFile)
      return;
    saved_.relinker = reader_.number();
    saved_.objectFile = reader_.text();
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      std::string name = reader_.text().str();
      saved_.exports.returnsTwice.push_back({std::move(name), reader_.flag()});
    }
    saved_.exports.frames.usual = readFrameKind();
    for (size_t count = reader_.count(); count > 0 && reader_.isOk(); --count) {
      std::string name = reader_.text().str();
      saved_.exports.frames.others.push_back({std::move(name), readFrameKind()});
    }
  }

  void readSegments() {
    for (SavedSegment &segment : saved_.segments)
      segment.bytes = reader_.raw(segment.storedBytes);
    reader_.require(reader_.isAtEnd(), "there is more than it needs");
    if (reader_.isOk() && saved_.unwindRecords != noOffset)
      checkUnwindRecords(saved_.segments[indexOf(SegmentKind::Code)].bytes);
  }

  // The code that walks through them trusts them.
  void checkUnwindRecords(ArrayRef<std::uint8_t> code) {
    Range all{Address::of(code.begin()), Address::of(code.end())};
    auto described = readFrameRecords({all.base + saved_.unwindRecords, all.limit});
    reader_.require(described.has_value(), "its unwind records are not whole");
    reader_.require(!described || llvm::all_of(*described, [=](Range part) { return all.contains(part); }),
                    "its unwind records describe other code");
  }

  ByteReader reader_;
  const std::string &name_;
  SavedObject saved_{};
  StringSet<> names_;
};

} // namespace

Expected<SavedObject> nomad::decodeSaved(ArrayRef<std::uint8_t> bytes, const std::string &name,
                                         const std::array<Size, 3> &limits) {
  if (Error error = checkSaved(bytes, name))
    return error;
  return Decoder(bytes, name).decode(limits);
}

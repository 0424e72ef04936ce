// Writes what saved_reader.cpp reads, in the same order.
#include "link/saved_object.h"

#include "base/byte_writer.h"
#include "base/error.h"
#include "compile/this_machine.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/xxhash.h"

#include <cstring>
#include <numeric>

using namespace nomad;
using namespace llvm;

namespace {

void writeOffset(ByteWriter &writer, Offset value) { writer.number(static_cast<std::uint32_t>(value + 1)); } // none is 0

void writeHost(ByteWriter &writer) {
  const Machine &machine = thisMachine();
  writer.text(machine.llvm);
  writer.text(machine.triple);
  writer.text(machine.cpu);
  writer.number(machine.features);
}

void writeFacts(ByteWriter &writer, const CodeObject &object, bool hasObjectFile) {
  const Image &image = *object.image;
  writer.byte(static_cast<unsigned>(object.moves) | static_cast<unsigned>(object.retain) << 1 |
              (object.keepsCodeAddresses ? 1u : 0u) << 3 | (object.storesLabels ? 1u : 0u) << 4 | (hasObjectFile ? 1u : 0u) << 5 |
              (object.isIrreplaceable ? 1u : 0u) << 6);
  for (SegmentKind kind : segmentKinds) {
    writer.number(object.segment(kind).size);
    writer.byte(object.segment(kind).alignmentLog2);
    writer.number(image.storedBytes[indexOf(kind)]);
  }
  const Teardown none, &teardown = object.teardown ? *object.teardown : none;
  writeOffset(writer, object.unwindRecords);
  writeOffset(writer, image.initializer);
  writeOffset(writer, teardown.finalizer);
  std::vector<Offset> threadLocals = teardown.threadLocals;
  llvm::sort(threadLocals);
  writer.number(threadLocals.size());
  for (Offset control : threadLocals)
    writer.number(control);
  writer.number(image.mayReturnTwice.size());
  for (auto &[extent, bySetjmpOnly] : image.mayReturnTwice) {
    writer.number(extent.base);
    writer.number(extent.limit);
    writer.byte(bySetjmpOnly ? 1 : 0);
  }
  writer.number(image.jumpTargets.size());
  for (Offset target : image.jumpTargets)
    writer.number(target);
  writer.byte(static_cast<unsigned>(image.frames.usual));
  writer.byte(image.frames.switchesStacks ? 1 : 0);
  writer.number(image.frames.others.size());
  for (auto &[extent, kind] : image.frames.others) {
    writer.number(extent.base);
    writer.number(extent.limit);
    writer.byte(static_cast<unsigned>(kind));
  }
}

// The text of a signature that JS can call follows from the rest; of any other the text is all there is.
void writeSignature(ByteWriter &writer, const Signature &signature) {
  writer.byte(signature.refusal.empty() ? 0 : 1);
  if (!signature.refusal.empty()) {
    writer.text(signature.text);
    writer.text(signature.refusal);
    return;
  }
  writer.byte(static_cast<unsigned>(signature.result));
  writer.number(signature.parameters.size());
  for (const Parameter &parameter : signature.parameters)
    writer.byte(static_cast<unsigned>(parameter.kind) | static_cast<unsigned>(parameter.extension) << 4);
}

void writeFunctions(ByteWriter &writer, const SymbolTable &symbols, const TypePool &types) {
  DenseMap<SignatureIndex, std::uint32_t> indices;
  std::vector<SignatureIndex> signatures;
  std::uint32_t count = 0;
  symbols.everyFunction([&](const FunctionSymbol &function) {
    ++count;
    if (indices.try_emplace(function.signature, static_cast<std::uint32_t>(signatures.size())).second)
      signatures.push_back(function.signature);
  });
  writer.number(signatures.size());
  for (SignatureIndex signature : signatures)
    writeSignature(writer, types.signature(signature));
  writer.number(count);
  symbols.everyFunction([&](const FunctionSymbol &function) {
    writer.text(function.name);
    writer.byte(static_cast<unsigned>(function.place.segment));
    writer.number(function.place.offset);
    writer.number(function.size);
    writer.number(indices.lookup(function.signature));
    writer.number(function.parameterNames.size());
    for (StringRef name : function.parameterNames)
      writer.text(name);
  });
}

void writeGlobals(ByteWriter &writer, const SymbolTable &symbols, const TypePool &types) {
  std::uint32_t count = 0;
  symbols.everyGlobal([&](const GlobalSymbol &) { ++count; });
  writer.number(count);
  symbols.everyGlobal([&](const GlobalSymbol &global) {
    writer.text(global.name);
    writer.byte(static_cast<unsigned>(global.place.segment));
    writer.number(global.place.offset);
    writer.number(global.size);
    writer.byte(global.isConstant ? 1 : 0);
    writer.byte(global.kind ? static_cast<unsigned>(*global.kind) : 0); // no global is void
    writer.text(types.text(global.type));
  });
}

Offset ownEntryOf(const CodeObject &object, ArrayRef<EntryUse> forwardedStubs, const ImportedName &import) {
  if (import.kind != ImportedName::Kind::OwnEntry)
    return noOffset;
  for (const EntryUse &entry : object.entries)
    if (entry.index == import.entry)
      return entry.offset;
  for (const EntryUse &entry : forwardedStubs)
    if (entry.index == import.entry)
      return entry.offset;
  return noOffset;
}

// By name, and sites by where they are: linkers have them in the order of addresses in their tables.
void writeImports(ByteWriter &writer, const CodeObject &object, ArrayRef<EntryUse> forwardedStubs) {
  const Image &image = *object.image;
  std::vector<std::uint32_t> order(image.imports.size()), indices(image.imports.size());
  std::iota(order.begin(), order.end(), 0);
  llvm::sort(order, [&](auto a, auto b) { return image.imports[a].name < image.imports[b].name; });
  writer.number(order.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    const ImportedName &import = image.imports[order[i]];
    indices[order[i]] = i;
    writer.text(import.name);
    writer.byte(import.isWeak ? 1 : 0);
    writeOffset(writer, ownEntryOf(object, forwardedStubs, import));
  }
  std::vector<ImportSite> sites = image.importSites;
  llvm::sort(sites, [](const ImportSite &a, const ImportSite &b) {
    return std::pair(a.segment, a.offset) < std::pair(b.segment, b.offset);
  });
  writer.number(sites.size());
  for (const ImportSite &site : sites) {
    writer.number(indices[site.import]);
    writer.byte(static_cast<unsigned>(site.segment) | static_cast<unsigned>(site.formula) << 2 | (site.isCall ? 1u : 0u) << 5);
    writer.number(site.offset);
    writer.signedNumber(site.addend);
  }
  writer.number(image.declared.size());
  for (const DeclaredFunction &function : image.declared) {
    writer.text(function.name);
    writer.text(function.type);
  }
}

void writeObjectFile(ByteWriter &writer, const KeptObject *kept, std::uint64_t relinker) {
  if (!kept)
    return;
  writer.number(relinker);
  writer.text(kept->bytes->getBuffer());
  writer.number(kept->returnsTwice.size());
  for (const ReturnsTwice &function : kept->returnsTwice) {
    writer.text(function.name);
    writer.byte(function.bySetjmpOnly ? 1 : 0);
  }
  writer.byte(static_cast<unsigned>(kept->frames.usual));
  writer.number(kept->frames.others.size());
  for (const FunctionFrame &function : kept->frames.others) {
    writer.text(function.name);
    writer.byte(static_cast<unsigned>(function.kind));
  }
}

void writeSegments(ByteWriter &writer, const CodeObject &object) {
  const Image &image = *object.image;
  std::array<std::vector<std::uint8_t>, 3> copies;
  SegmentMoves moves;
  for (SegmentKind kind : segmentKinds) {
    const auto *bytes = reinterpret_cast<const std::uint8_t *>(image.bytes[indexOf(kind)].get());
    std::vector<std::uint8_t> &copy = copies[indexOf(kind)];
    copy.assign(bytes, bytes + image.storedBytes[indexOf(kind)]);
    const Segment &segment = object.segment(kind);
    moves[indexOf(kind)] = {reinterpret_cast<std::byte *>(copy.data()), segment.base, savedBase(kind), segment.size};
  }
  object.relocations.applyMove(moves);
  for (const ImportSite &site : image.importSites)
    std::memset(copies[indexOf(site.segment)].data() + site.offset, 0, widthOf(site.formula));
  for (const std::vector<std::uint8_t> &copy : copies)
    writer.raw(copy);
}

} // namespace

std::vector<std::uint8_t> nomad::encodeSaved(const CodeObject &object, ArrayRef<EntryUse> forwardedStubs, const TypePool &types,
                                             const KeptObject *kept, std::uint64_t relinker) {
  ByteWriter writer;
  writer.bytes.resize(sizeof(SavedHeader));
  writeHost(writer);
  writeFacts(writer, object, kept != nullptr);
  writeFunctions(writer, object.symbols, types);
  writeGlobals(writer, object.symbols, types);
  writeImports(writer, object, forwardedStubs);
  auto [groups, count] = object.relocations.ownGroups();
  writer.number(count);
  writer.number(groups.size());
  writer.raw(groups);
  writeObjectFile(writer, kept, relinker);
  writeSegments(writer, object);
  sealSaved(writer.bytes);
  return std::move(writer.bytes);
}

namespace {

std::uint64_t checksumOf(SavedHeader header, ArrayRef<std::uint8_t> body) {
  header.checksum = xxh3_64bits(body);
  return xxh3_64bits(ArrayRef(reinterpret_cast<const std::uint8_t *>(&header), sizeof header));
}

} // namespace

void nomad::sealSaved(MutableArrayRef<std::uint8_t> bytes) {
  SavedHeader header{SavedHeader::ownMagic, savedVersion, bytes.size(), 0};
  header.checksum = checksumOf(header, bytes.drop_front(sizeof header));
  std::memcpy(bytes.data(), &header, sizeof header);
}

Error nomad::checkSaved(ArrayRef<std::uint8_t> bytes, const std::string &name) {
  auto damaged = [&](const Twine &what) { return fail(ErrorCode::Link, name + ": not a saved code object: " + what); };
  SavedHeader header;
  if (bytes.size() < sizeof header)
    return damaged(Twine(bytes.size()) + " bytes are too few");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != SavedHeader::ownMagic)
    return damaged("it does not begin with 'NOMJ'");
  if (header.version != savedVersion)
    return fail(ErrorCode::Unsupported,
                name + ": saved in format " + Twine(header.version) + ", but this version reads format " + Twine(savedVersion));
  if (header.size != bytes.size())
    return damaged("it has " + Twine(bytes.size()) + " bytes, but says " + Twine(header.size));
  if (header.checksum != checksumOf(header, bytes.drop_front(sizeof header)))
    return damaged("its checksum is wrong");
  return Error::success();
}

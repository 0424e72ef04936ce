#include "link/symbol_table.h"

#include "base/byte_writer.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/LEB128.h"

#include <algorithm>
#include <cstring>

using namespace nomad;
using namespace llvm;

// Layout:  size of all this (uint32) | object name | symbol ...
//   name = length, bytes;  numbers are ULEB128
//   symbol = head (1 byte: isGlobal:1 segment:2 isConstant:1 kind:4, 15 = none) | name | offset | function or global
//   function = size | signature | parameter count with names | names;  global = type | size

namespace {

constexpr unsigned noKind = 15;
constexpr Size sizeBytes = sizeof(std::uint32_t);

class Reader {
public:
  explicit Reader(const std::uint8_t *at) : at(at) {}
  unsigned byte() { return *at++; }
  std::uint64_t number() {
    unsigned length = 0;
    std::uint64_t value = decodeULEB128(at, &length);
    at += length;
    return value;
  }
  StringRef name() {
    auto length = static_cast<size_t>(number());
    StringRef text(reinterpret_cast<const char *>(at), length);
    at += length;
    return text;
  }
  const std::uint8_t *at;
};

unsigned headOf(SegmentKind segment, bool isGlobal, bool isConstant, unsigned kind) {
  return (isGlobal ? 1u : 0u) | static_cast<unsigned>(segment) << 1 | (isConstant ? 1u : 0u) << 3 | kind << 4;
}

// Nameless parameters at the end need no bytes: "%0, %1" is what IR calls them anyway.
size_t namedParameters(const std::vector<std::string> &names) {
  size_t count = names.size();
  while (count > 0 && names[count - 1].empty())
    --count;
  return count;
}

void write(ByteWriter &writer, const ExportedFunction &function, const SymbolExtent &extent, TypePool &types) {
  writer.byte(headOf(extent.place.segment, false, false, noKind));
  writer.text(function.name);
  writer.number(extent.place.offset);
  writer.number(extent.size);
  writer.number(types.intern(function.signature));
  size_t named = namedParameters(function.parameterNames);
  writer.number(named);
  for (size_t i = 0; i < named; ++i)
    writer.text(function.parameterNames[i]);
}

void write(ByteWriter &writer, const ExportedGlobal &global, SymbolPlace place, TypePool &types) {
  writer.byte(headOf(place.segment, true, global.isConstant, global.kind ? static_cast<unsigned>(*global.kind) : noKind));
  writer.text(global.name);
  writer.number(place.offset);
  writer.number(types.internText(global.type));
  writer.number(global.size);
}

FunctionSymbol readFunction(Reader &reader, StringRef name, SymbolPlace place) {
  Size size = reader.number();
  FunctionSymbol function{name, place, size, static_cast<SignatureIndex>(reader.number()), {}};
  for (std::uint64_t named = reader.number(); named > 0; --named)
    function.parameterNames.push_back(reader.name());
  return function;
}

GlobalSymbol readGlobal(Reader &reader, StringRef name, SymbolPlace place, unsigned head) {
  GlobalSymbol global{name, place, static_cast<std::uint32_t>(reader.number()), std::nullopt, (head >> 3 & 1) != 0, 0};
  if (unsigned kind = head >> 4; kind != noKind)
    global.kind = static_cast<ValueKind>(kind);
  global.size = reader.number();
  return global;
}

} // namespace

SignatureIndex TypePool::intern(const Signature &signature) {
  auto [entry, isNew] = signatureByKey_.try_emplace(signature.key(), static_cast<SignatureIndex>(signatures_.size()));
  if (isNew)
    signatures_.push_back(signature);
  return entry->second;
}

std::uint32_t TypePool::internText(StringRef text) {
  auto [entry, isNew] = textIndex_.try_emplace(text, static_cast<std::uint32_t>(texts_.size()));
  if (isNew)
    texts_.push_back(text.str());
  return entry->second;
}

SymbolTable SymbolTable::encode(StringRef objectName, const Exports &exports, TypePool &types, ExtentOf extentOf) {
  ByteWriter writer;
  writer.text(objectName);
  for (const ExportedFunction &function : exports.functions)
    if (auto extent = extentOf(function.name))
      write(writer, function, *extent, types);
  for (const ExportedGlobal &global : exports.globals)
    if (auto extent = extentOf(global.name))
      write(writer, global, extent->place, types);
  auto size = static_cast<std::uint32_t>(sizeBytes + writer.bytes.size());
  SymbolTable table;
  table.encoded_ = std::make_unique_for_overwrite<std::uint8_t[]>(size);
  std::memcpy(table.encoded_.get(), &size, sizeBytes);
  std::copy(writer.bytes.begin(), writer.bytes.end(), table.encoded_.get() + sizeBytes);
  return table;
}

Size SymbolTable::bytes() const {
  std::uint32_t size = 0;
  if (encoded_)
    std::memcpy(&size, encoded_.get(), sizeBytes);
  return size;
}

StringRef SymbolTable::objectName() const { return encoded_ ? Reader(encoded_.get() + sizeBytes).name() : StringRef(); }

void SymbolTable::everySymbol(function_ref<void(const FunctionSymbol &)> onFunction,
                              function_ref<void(const GlobalSymbol &)> onGlobal) const {
  if (!encoded_)
    return;
  Reader reader(encoded_.get() + sizeBytes);
  reader.name();
  while (reader.at < encoded_.get() + bytes()) {
    unsigned head = reader.byte();
    StringRef name = reader.name();
    SymbolPlace place{static_cast<SegmentKind>(head >> 1 & 3), static_cast<Offset>(reader.number())};
    if (head & 1)
      onGlobal(readGlobal(reader, name, place, head));
    else
      onFunction(readFunction(reader, name, place));
  }
}

StringRef SymbolTable::functionAt(Offset offset) const {
  if (!encoded_)
    return StringRef();
  Reader reader(encoded_.get() + sizeBytes);
  reader.name();
  while (reader.at < encoded_.get() + bytes()) {
    unsigned head = reader.byte();
    StringRef name = reader.name();
    SymbolPlace place{static_cast<SegmentKind>(head >> 1 & 3), static_cast<Offset>(reader.number())};
    if (head & 1) {
      readGlobal(reader, name, place, head);
      continue;
    }
    Size size = reader.number();
    reader.number();
    for (std::uint64_t named = reader.number(); named > 0; --named)
      reader.name();
    if (place.segment == SegmentKind::Code && place.offset <= offset && offset < place.offset + size)
      return name;
  }
  return StringRef();
}

void SymbolTable::everyFunction(function_ref<void(const FunctionSymbol &)> visit) const {
  everySymbol(visit, [](const GlobalSymbol &) {});
}

void SymbolTable::everyGlobal(function_ref<void(const GlobalSymbol &)> visit) const {
  everySymbol([](const FunctionSymbol &) {}, visit);
}

std::optional<FunctionSymbol> SymbolTable::function(StringRef name) const {
  std::optional<FunctionSymbol> found;
  everyFunction([&](const FunctionSymbol &function) {
    if (function.name == name)
      found = function;
  });
  return found;
}

std::optional<GlobalSymbol> SymbolTable::global(StringRef name) const {
  std::optional<GlobalSymbol> found;
  everyGlobal([&](const GlobalSymbol &global) {
    if (global.name == name)
      found = global;
  });
  return found;
}

FunctionFinder::FunctionFinder(const SymbolTable &symbols) {
  symbols.everyFunction([&](const FunctionSymbol &function) {
    Offset base = function.place.offset;
    if (function.place.segment == SegmentKind::Code && function.size > 0)
      extents_.push_back({base, base + static_cast<Offset>(function.size), function.name});
  });
  llvm::stable_sort(extents_, [](const Extent &a, const Extent &b) { return a.base < b.base; });
  // Aliases are the same function.
  auto isSame = [](const Extent &a, const Extent &b) { return a.base == b.base; };
  extents_.erase(std::unique(extents_.begin(), extents_.end(), isSame), extents_.end());
}

const FunctionFinder::Extent *FunctionFinder::find(Offset offset) const {
  auto next = llvm::upper_bound(extents_, offset, [](Offset at, const Extent &extent) { return at < extent.base; });
  return next != extents_.begin() && offset < std::prev(next)->limit ? &*std::prev(next) : nullptr;
}

StringRef FunctionFinder::at(Offset offset) const {
  const Extent *extent = find(offset);
  return extent ? extent->name : StringRef();
}

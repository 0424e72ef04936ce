#include "link/symbol_table.h"

#include "base/byte_writer.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/LEB128.h"

#include <algorithm>
#include <cstring>

using namespace nomad;
using namespace llvm;

// Layout:  size of all this (uint32) | object name | symbol ... | index
//   name = length, bytes;  numbers are ULEB128
//   symbol = head (1 byte: isGlobal:1 segment:2 isConstant:1 kind:4, 15 = none) | name | offset | function or global
//   function = size | signature | parameter count with names | names;  global = type | size
//   index = where each symbol begins (uint32 each), in the order of their names | how many (uint32). Only of tables with many
//           symbols, whose size has the top bit set: small ones are read through as fast.

namespace {

constexpr unsigned noKind = 15;
using Word = std::uint32_t;
constexpr Size sizeBytes = sizeof(Word);
constexpr Word indexedFlag = Word{1} << 31;
constexpr size_t leastIndexed = 32;

Word wordAt(const std::uint8_t *at) {
  Word word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

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

void write(ByteWriter &writer, const ExportedGlobal &global, const SymbolExtent &extent, TypePool &types) {
  SymbolPlace place = extent.place;
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

void readSymbol(Reader &reader, function_ref<void(const FunctionSymbol &)> onFunction,
                function_ref<void(const GlobalSymbol &)> onGlobal) {
  unsigned head = reader.byte();
  StringRef name = reader.name();
  SymbolPlace place{static_cast<SegmentKind>(head >> 1 & 3), static_cast<Offset>(reader.number())};
  if (head & 1)
    onGlobal(readGlobal(reader, name, place, head));
  else
    onFunction(readFunction(reader, name, place));
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

namespace {

// The symbols of one table as they are written.
class SymbolWriter {
public:
  explicit SymbolWriter(StringRef objectName) { writer_.text(objectName); }

  template <typename Exported>
  void add(const Exported &exported, const SymbolExtent &extent, TypePool &types) {
    begins_.push_back({exported.name, static_cast<Word>(sizeBytes + writer_.bytes.size())});
    write(writer_, exported, extent, types);
  }

  std::unique_ptr<std::uint8_t[]> finish() {
    bool isIndexed = begins_.size() >= leastIndexed;
    if (isIndexed)
      writeIndex();
    auto size = static_cast<Word>(sizeBytes + writer_.bytes.size());
    Word head = isIndexed ? size | indexedFlag : size;
    auto encoded = std::make_unique_for_overwrite<std::uint8_t[]>(size);
    std::memcpy(encoded.get(), &head, sizeBytes);
    std::copy(writer_.bytes.begin(), writer_.bytes.end(), encoded.get() + sizeBytes);
    return encoded;
  }

private:
  void writeIndex() {
    llvm::stable_sort(begins_, llvm::less_first());
    for (auto &[name, begin] : begins_)
      word(begin);
    word(static_cast<Word>(begins_.size()));
  }
  void word(Word value) { writer_.raw(ArrayRef(reinterpret_cast<const std::uint8_t *>(&value), sizeof value)); }

  ByteWriter writer_;
  std::vector<std::pair<StringRef, Word>> begins_;
};

} // namespace

SymbolTable SymbolTable::encode(StringRef objectName, const Exports &exports, TypePool &types, ExtentOf extentOf) {
  SymbolWriter writer(objectName);
  for (const ExportedFunction &function : exports.functions)
    if (auto extent = extentOf(function.name))
      writer.add(function, *extent, types);
  for (const ExportedGlobal &global : exports.globals)
    if (auto extent = extentOf(global.name))
      writer.add(global, *extent, types);
  SymbolTable table;
  table.encoded_ = writer.finish();
  return table;
}

Size SymbolTable::bytes() const { return encoded_ ? wordAt(encoded_.get()) & ~indexedFlag : 0; }

SymbolTable::Index SymbolTable::index() const {
  if (!encoded_ || !(wordAt(encoded_.get()) & indexedFlag))
    return {};
  const std::uint8_t *end = encoded_.get() + bytes() - sizeof(Word);
  Word count = wordAt(end);
  return {end - count * sizeof(Word), count};
}

const std::uint8_t *SymbolTable::beginAt(std::uint32_t position) const {
  return encoded_.get() + wordAt(index().begins + position * sizeof(Word));
}

const std::uint8_t *SymbolTable::symbolsEnd() const {
  Index found = index();
  return found.count > 0 ? found.begins : encoded_.get() + bytes();
}

StringRef SymbolTable::objectName() const { return encoded_ ? Reader(encoded_.get() + sizeBytes).name() : StringRef(); }

void SymbolTable::everySymbol(function_ref<void(const FunctionSymbol &)> onFunction,
                              function_ref<void(const GlobalSymbol &)> onGlobal) const {
  if (!encoded_)
    return;
  Reader reader(encoded_.get() + sizeBytes);
  const std::uint8_t *end = symbolsEnd();
  reader.name();
  while (reader.at < end)
    readSymbol(reader, onFunction, onGlobal);
}

StringRef SymbolTable::functionAt(Offset offset) const {
  if (!encoded_)
    return StringRef();
  Reader reader(encoded_.get() + sizeBytes);
  const std::uint8_t *end = symbolsEnd();
  reader.name();
  while (reader.at < end) {
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

const std::uint8_t *SymbolTable::find(StringRef name) const {
  Index names = index();
  auto nameAt = [&](Word position) { return Reader(beginAt(position) + 1).name(); }; // after the head
  Word first = 0;
  for (Word limit = names.count; first < limit;) {
    Word middle = first + (limit - first) / 2;
    if (nameAt(middle) < name)
      first = middle + 1;
    else
      limit = middle;
  }
  bool isFound = first < names.count && nameAt(first) == name;
  return isFound ? beginAt(first) : nullptr;
}

void SymbolTable::everyNamed(StringRef name, function_ref<void(const FunctionSymbol &)> onFunction,
                             function_ref<void(const GlobalSymbol &)> onGlobal) const {
  if (index().count == 0)
    return everySymbol(onFunction, onGlobal);
  if (const std::uint8_t *found = find(name)) {
    Reader reader(found);
    readSymbol(reader, onFunction, onGlobal);
  }
}

std::optional<FunctionSymbol> SymbolTable::function(StringRef name) const {
  std::optional<FunctionSymbol> found;
  auto take = [&](const FunctionSymbol &function) {
    if (function.name == name)
      found = function;
  };
  everyNamed(name, take, [](const GlobalSymbol &) {});
  return found;
}

std::optional<GlobalSymbol> SymbolTable::global(StringRef name) const {
  std::optional<GlobalSymbol> found;
  auto take = [&](const GlobalSymbol &global) {
    if (global.name == name)
      found = global;
  };
  everyNamed(name, [](const FunctionSymbol &) {}, take);
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

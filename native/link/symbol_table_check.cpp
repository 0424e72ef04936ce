// The symbol table's integrity check. A reader of its own: symbol_table.cpp's believes what it reads.
#include "link/symbol_table.h"

#include "llvm/Support/LEB128.h"

#include <map>

using namespace nomad;
using namespace llvm;

namespace {

// Reads as far as there is something; from then on nothing but 0, and `isWhole` is false.
class CheckedReader {
public:
  explicit CheckedReader(ArrayRef<std::uint8_t> bytes) : bytes_(bytes) {}

  bool isEmpty() const { return bytes_.empty(); }
  bool isWhole() const { return isWhole_; }
  const std::uint8_t *at() const { return bytes_.data(); }
  unsigned byte() {
    const std::uint8_t *at = bytes_.data();
    return take(1) ? *at : 0;
  }
  std::uint64_t number() {
    unsigned length = 0;
    const char *error = nullptr;
    std::uint64_t value = decodeULEB128(bytes_.begin(), &length, bytes_.end(), &error);
    return !error && take(length) ? value : fault();
  }
  StringRef name() {
    std::uint64_t length = number();
    const auto *text = reinterpret_cast<const char *>(bytes_.data());
    return take(length) ? StringRef(text, length) : StringRef();
  }

private:
  bool take(std::uint64_t count) {
    if (count > bytes_.size())
      return fault() != 0;
    bytes_ = bytes_.drop_front(count);
    return true;
  }
  std::uint64_t fault() {
    isWhole_ = false;
    bytes_ = {};
    return 0;
  }

  ArrayRef<std::uint8_t> bytes_;
  bool isWhole_ = true;
};

struct ReadSymbol {
  StringRef name;
  size_t segment;
  std::uint64_t offset;
  std::uint64_t size;
  bool isTyped;
};

ReadSymbol readSymbol(CheckedReader &reader, const TypePool &types) {
  unsigned head = reader.byte();
  ReadSymbol symbol{reader.name(), head >> 1 & 3, reader.number(), 0, false};
  if (head & 1) {
    symbol.isTyped = reader.number() < types.textCount();
    symbol.size = reader.number();
    return symbol;
  }
  symbol.size = reader.number();
  symbol.isTyped = reader.number() < types.signatureCount();
  for (std::uint64_t named = reader.number(); named > 0 && reader.isWhole(); --named)
    reader.name();
  return symbol;
}

} // namespace

Error SymbolTable::checkIntegrity(const std::array<Size, 3> &sizes, const TypePool &types) const {
  if (!encoded_)
    return Error::success();
  constexpr Size headBytes = sizeof(std::uint32_t);
  auto notWhole = [] { return broken("symbols", 1, "the table of symbols is not whole"); };
  std::uint32_t indexed = index().count;
  if (bytes() < headBytes + (indexed > 0 ? (indexed + Size{1}) * sizeof(std::uint32_t) : 0))
    return notWhole();
  CheckedReader reader({encoded_.get() + headBytes, symbolsEnd()});
  reader.name();
  std::map<StringRef, const std::uint8_t *> begins;
  while (!reader.isEmpty()) {
    const std::uint8_t *begin = reader.at();
    ReadSymbol symbol = readSymbol(reader, types);
    if (!reader.isWhole())
      break;
    begins[symbol.name] = begin;
    Size room = symbol.segment < sizes.size() ? sizes[symbol.segment] : 0;
    if (symbol.segment >= sizes.size() || symbol.offset > room || symbol.size > room - symbol.offset)
      return broken("symbols", 2, "'" + symbol.name + "' is outside of its segment");
    if (!symbol.isTyped)
      return broken("symbols", 3, "'" + symbol.name + "' is of an unknown type");
  }
  if (!reader.isWhole())
    return notWhole();
  std::uint32_t next = 0;
  for (auto &[name, begin] : begins)
    if (indexed > 0 && (next >= indexed || beginAt(next++) != begin))
      return broken("symbols", 4, "the index does not lead to '" + name + "'");
  return next == indexed ? Error::success() : broken("symbols", 4, "the index has more than the symbols");
}

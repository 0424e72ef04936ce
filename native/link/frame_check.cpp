#include "link/frame_check.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/LEB128.h"

#include <cstring>

extern "C" {
// libgcc's.
struct dwarf_eh_bases {
  void *tbase;
  void *dbase;
  void *func;
};
const void *_Unwind_Find_FDE(void *address, dwarf_eh_bases *bases);
}

using namespace nomad;
using namespace llvm;

namespace {

constexpr std::uint8_t pcRelative = 0x10, width4 = 0x0b, width8 = 0x0c, absolute = 0x00;

class Cursor {
public:
  explicit Cursor(Range part) : at_(part.base), limit_(part.limit) {}

  bool isWhole() const { return isWhole_; }
  Address at() const { return at_; }
  Size left() const { return static_cast<Size>(limit_ - at_); }
  template <typename Word>
  Word read() {
    Word word{};
    if (!has(sizeof word))
      return word;
    std::memcpy(&word, at_.pointer(), sizeof word);
    at_ = at_ + sizeof word;
    return word;
  }
  void skip(Size bytes) {
    if (has(bytes))
      at_ = at_ + bytes;
  }
  std::uint64_t number() {
    unsigned length = 0;
    const char *error = nullptr;
    std::uint64_t value = decodeULEB128(at_.pointer<std::uint8_t>(), &length, limit_.pointer<std::uint8_t>(), &error);
    isWhole_ &= error == nullptr;
    skip(length);
    return value;
  }
  StringRef text() {
    StringRef rest(at_.pointer<char>(), left());
    size_t end = rest.find('\0');
    skip(end == StringRef::npos ? left() + 1 : end + 1);
    return rest.take_front(end);
  }

private:
  bool has(Size bytes) { return isWhole_ &= isWhole_ && bytes <= left(); }

  Address at_;
  Address limit_;
  bool isWhole_ = true;
};

Size widthOf(std::uint8_t encoding) { return (encoding & 0x0f) == width4 ? 4 : 8; }

// How the records that share this one give the address of their code; none if it is not known.
std::optional<std::uint8_t> encodingOf(Cursor common) {
  auto version = common.read<std::uint8_t>();
  StringRef augmentation = common.text();
  common.number(); // code alignment
  common.number(); // data alignment; as long, if signed
  if (version == 1)
    common.skip(1); // the return address's column
  else
    common.number();
  if (!augmentation.consume_front("z"))
    return absolute;
  common.number();
  for (char each : augmentation) {
    if (each == 'R') {
      auto encoding = common.read<std::uint8_t>();
      bool isKnown = encoding == (pcRelative | width4) || encoding == (pcRelative | width8) || encoding == absolute;
      return common.isWhole() && isKnown ? std::optional(encoding) : std::nullopt;
    }
    if (each == 'P')
      common.skip(widthOf(common.read<std::uint8_t>()));
    else if (each == 'L')
      common.skip(1);
  }
  return absolute;
}

// The code that it describes.
Range codeOf(Cursor record, std::uint8_t encoding) {
  Address from = record.at();
  bool isNarrow = ::widthOf(encoding) == 4;
  Delta base = isNarrow ? record.read<std::int32_t>() : record.read<std::int64_t>();
  Size size = isNarrow ? record.read<std::uint32_t>() : record.read<std::uint64_t>();
  return Range::at((encoding & pcRelative) != 0 ? from.shifted(base) : Address::of(static_cast<std::uint64_t>(base)), size);
}

} // namespace

std::optional<std::vector<Range>> nomad::readFrameRecords(Range section) {
  std::vector<Range> described;
  for (Cursor cursor(section); cursor.isWhole();) {
    auto length = cursor.read<std::uint32_t>();
    if (!cursor.isWhole() || length == ~std::uint32_t{0} || length > cursor.left())
      return std::nullopt;
    if (length == 0) {
      llvm::sort(described, [](Range a, Range b) { return a.base < b.base; });
      return described;
    }
    Address id = cursor.at();
    Cursor record(Range::at(id, length));
    cursor.skip(length);
    if (auto back = record.read<std::uint32_t>(); back != 0) { // else it is one that others share
      Address common = id.shifted(-static_cast<Delta>(back));
      if (common < section.base || !(common < section.limit))
        return std::nullopt;
      auto encoding = encodingOf(Cursor({common + 8, section.limit}));
      if (!encoding)
        return std::nullopt;
      if (Range code = codeOf(record, *encoding); code.size() > 0) // a function that only is unreachable has no bytes
        described.push_back(code);
    }
  }
  return std::nullopt;
}

namespace {

Error checkFunctions(const CodeObject &object, ArrayRef<Range> described) {
  Error result = Error::success();
  object.symbols.everyFunction([&](const FunctionSymbol &function) {
    Range code = Range::at(object.addressOf(function.place), function.size);
    auto found = llvm::lower_bound(described, code.base, [](Range part, Address at) { return part.base < at; });
    if (!result && code.size() > 0 && found != described.end() && found->base == code.base && found->limit != code.limit)
      result = broken("unwind records", 4, "'" + function.name + "' and its record are not of one size");
  });
  return result;
}

} // namespace

Error nomad::checkFrameRecords(const CodeObject &object, bool isRegistered) {
  Range code = object.segment(SegmentKind::Code).range();
  if (object.unwindRecords == noOffset)
    return Error::success();
  auto described = readFrameRecords({code.base + object.unwindRecords, code.limit});
  if (!described)
    return broken("unwind records", 1, "unwind records are not whole");
  Address before = code.base;
  for (Range part : *described) {
    if (!code.contains(part))
      return broken("unwind records", 2, "a record describes " + hex(part.base.value()) + ", which is outside of the code");
    if (part.base < before)
      return broken("unwind records", 3, "two records describe " + hex(part.base.value()));
    before = part.limit;
  }
  if (Error error = checkFunctions(object, *described))
    return error;
  if (!isRegistered || described->empty())
    return Error::success();
  Range any = (*described)[described->size() / 2];
  dwarf_eh_bases bases{};
  const void *found = _Unwind_Find_FDE((any.base + any.size() / 2).pointer<void>(), &bases);
  return found && Address::of(bases.func) == any.base
             ? Error::success()
             : broken("unwind records", 5, "the unwinder does not find the function at " + hex(any.base.value()));
}

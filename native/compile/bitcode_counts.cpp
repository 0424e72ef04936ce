#include "compile/bitcode_counts.h"

#include "base/error.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/LLVMBitCodes.h"
#include "llvm/Bitstream/BitstreamReader.h"
#include "llvm/IR/Attributes.h"

#include <optional>

using namespace nomad;
using namespace llvm;

namespace {

using Record = SmallVector<std::uint64_t, 64>;

class CountReader {
public:
  CountReader(ArrayRef<uint8_t> bytes, StringRef name) : cursor_(bytes), limit_(bytes.size() * 8), name_(name) {
    cursor_.setBlockInfo(&blockInfo_);
  }

  Error readFile() {
    if (auto magic = cursor_.Read(32); !magic)
      return magic.takeError();
    return readBlock(std::nullopt);
  }

private:
  // The reader knows each block's abbreviations only after it has read the block information before it, as LLVM does.
  Error readBlock(std::optional<unsigned> block) {
    while (!cursor_.AtEndOfStream()) {
      auto entry = cursor_.advance();
      if (!entry)
        return entry.takeError();
      if (entry->Kind == BitstreamEntry::Error || entry->Kind == BitstreamEntry::EndBlock)
        return Error::success();
      if (Error error = entry->Kind == BitstreamEntry::SubBlock ? readSubBlock(block, entry->ID) : readRecord(block, entry->ID))
        return error;
    }
    return Error::success();
  }

  Error readSubBlock(std::optional<unsigned> parent, unsigned block) {
    if (block == bitc::BLOCKINFO_BLOCK_ID) {
      auto info = cursor_.ReadBlockInfoBlock();
      if (info && *info)
        blockInfo_ = std::move(**info);
      return info.takeError();
    }
    bool hasCounts = block == bitc::TYPE_BLOCK_ID_NEW || block == bitc::PARAMATTR_GROUP_BLOCK_ID;
    bool descend = parent ? *parent == bitc::MODULE_BLOCK_ID && hasCounts : block == bitc::MODULE_BLOCK_ID;
    if (!descend)
      return cursor_.SkipBlock();
    if (Error error = cursor_.EnterSubBlock(block))
      return error;
    return readBlock(block);
  }

  Error readRecord(std::optional<unsigned> block, unsigned abbreviation) {
    if (block != bitc::TYPE_BLOCK_ID_NEW && block != bitc::PARAMATTR_GROUP_BLOCK_ID)
      return cursor_.skipRecord(abbreviation).takeError();
    Record record;
    auto code = cursor_.readRecord(abbreviation, record);
    if (!code)
      return code.takeError();
    if (block == bitc::TYPE_BLOCK_ID_NEW)
      return *code == bitc::TYPE_CODE_NUMENTRY && !record.empty() ? check(record[0], "number of types") : Error::success();
    bool function = record.size() > 1 && record[1] == AttributeList::FunctionIndex;
    return *code == bitc::PARAMATTR_GRP_CODE_ENTRY && record.size() > 1 && !function
               ? check(record[1], "parameter index of an attribute group")
               : Error::success();
  }

  Error check(std::uint64_t count, const char *what) const {
    if (count <= limit_)
      return Error::success();
    return fail(ErrorCode::IRParse,
                name_ + ": bitcode is damaged: the " + what + " is " + Twine(count) + ", in " + Twine(limit_ / 8) + " bytes");
  }

  BitstreamCursor cursor_;
  BitstreamBlockInfo blockInfo_;
  std::uint64_t limit_;
  StringRef name_;
};

} // namespace

Error nomad::checkBitcodeCounts(StringRef source, StringRef name) {
  auto *begin = reinterpret_cast<const unsigned char *>(source.begin()), *end = begin + source.size();
  if (!isBitcode(begin, end) || (isBitcodeWrapper(begin, end) && SkipBitcodeWrapperHeader(begin, end, true)))
    return Error::success();
  Error error = CountReader(ArrayRef(begin, end), name).readFile();
  return handleErrors(std::move(error), [](std::unique_ptr<ErrorInfoBase> info) -> Error {
    if (info->isA<CodedError>())
      return Error(std::move(info));
    return Error::success(); // LLVM's reader says it better
  });
}

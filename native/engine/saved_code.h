// Code objects as bytes, and back.
#pragma once

#include "engine/relinker.h"
#include "link/saved_object.h"

namespace nomad {

class SavedCode {
public:
  SavedCode(LinkerKind linker, const Arena &arena, const TypePool &types, CodeObjects &objects, Relinker &relinker)
      : linker_(linker), arena_(arena), types_(types), objects_(objects), relinker_(relinker) {}

  /// Of an unplaced code object. Errors: State.
  llvm::Expected<std::vector<std::uint8_t>> encode(Handle handle);
  /// Errors: Link (damaged), Unsupported (made by or for something else).
  llvm::Expected<SavedObject> decode(llvm::ArrayRef<std::uint8_t> bytes, const std::string &name) const;
  /// Of one that has been decoded and revived. Errors: Link if its object file is another's.
  llvm::Error checkObjectFile(Handle handle);

private:
  LinkerKind linker_;
  const Arena &arena_;
  const TypePool &types_;
  CodeObjects &objects_;
  Relinker &relinker_;
};

} // namespace nomad

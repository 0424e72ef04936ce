// setjmp and longjmp in code: a landing, which does not move, stands for a return address in code that does.
#pragma once

#include "engine/code_entry.h"
#include "engine/entry_stubs.h"
#include "move/owner_index.h"
#include "runtime/setjmp.h"

namespace nomad {

class CodeLandings final : public Landings {
public:
  /// `thunks`: code that is no code object's.
  CodeLandings(const Outside &outside, const ActivationChain &chain, CodeObjects &objects, EntryStubs &stubs, OwnerIndex &owners,
               Range thunks, const CodeEntry &entry)
      : outside_(outside), chain_(chain), objects_(objects), stubs_(stubs), owners_(owners), thunks_(thunks), entry_(entry) {}

  std::optional<Address> landing(Address returnsTo, llvm::ArrayRef<std::uint64_t> registers) override;
  bool refuse(Address returnsTo, llvm::StringRef what) override;

private:
  const Outside &outside_;
  const ActivationChain &chain_;
  CodeObjects &objects_;
  EntryStubs &stubs_;
  OwnerIndex &owners_;
  Range thunks_;
  const CodeEntry &entry_;
};

} // namespace nomad

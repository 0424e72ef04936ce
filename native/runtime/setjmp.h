// setjmp for code that moves.
//
// glibc's setjmp keeps its return address, mangled, in memory that only longjmp can read. So code calls it through here:
// before glibc sees the return address, it is replaced by an entry stub (I10) that leads to where code is by then. setjmp
// returns through the stub, and so does any longjmp; copies of the buffer are as good as the buffer. Where a longjmp leads, it
// says itself: to a stack pointer that is in the buffer.
#pragma once

#include "base/address.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <optional>

namespace nomad {

/// Knows code, and a way into it that stays. One for each Jit of a thread.
class Landings {
public:
  Landings();
  Landings(const Landings &) = delete;
  Landings &operator=(const Landings &) = delete;

  /// Where to return to instead of `returnsTo`, with these registers; none for code that is not ours.
  virtual std::optional<Address> landing(Address returnsTo, llvm::ArrayRef<std::uint64_t> registers) = 0;
  /// Code that goes on at `returnsTo` has called what would end JS frames: leaves it with an error. False if the code is not
  /// ours; true if it can't be left.
  virtual bool refuse(Address returnsTo, llvm::StringRef what) = 0;

protected:
  ~Landings();
};

/// Has the code that goes on at `returnsTo` left, by the first of this thread's that knows it. False if none does; true if it
/// can't be left.
bool refuseAt(Address returnsTo, llvm::StringRef what);

/// Our way to the process's function of that name, if it is one of glibc's setjmp.
std::optional<Address> findSetjmp(llvm::StringRef name);
/// The same of longjmp. Ours refuses to jump over JS frames: V8 could not go on (I16).
std::optional<Address> findLongjmp(llvm::StringRef name);

} // namespace nomad

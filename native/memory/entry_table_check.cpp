// The entry table's integrity check.
#include "memory/entry_table.h"

#include "base/error.h"

#include "llvm/ADT/BitVector.h"

using namespace nomad;
using namespace llvm;

Error EntryTable::checkStubs() const {
  if (taken_ > written_ || written_ > capacity() || vacant_.size() > taken_)
    return broken("entry stubs", 1,
                  Twine(taken_) + " are taken, " + Twine(written_) + " written, " + Twine(vacant_.size()) + " given back");
  for (EntryIndex index = 0; index < taken_; ++index)
    if (slotOf(index) != slotBase() + index * slotBytes)
      return broken("entry stubs", 2, "entry stub " + Twine(index) + " does not jump through its slot");
  return Error::success();
}

Error EntryTable::checkIntegrity(ArrayRef<Owned> owned) const {
  if (Error error = checkStubs())
    return error;
  BitVector isVacant(taken_), isOwned(taken_);
  for (EntryIndex index : vacant_) {
    if (index >= taken_ || isVacant[index] || target(index) != Address())
      return broken("entry stubs", 3, "entry stub " + Twine(index) + " was given back wrongly");
    isVacant.set(index);
  }
  for (const auto &[index, leadsTo, owner] : owned) {
    if (index >= taken_ || isVacant[index] || isOwned[index])
      return broken("entry stubs", 4,
                    "code object '" + owner + "' has entry stub " + Twine(index) + ", which another one has, or none");
    if (target(index) != leadsTo)
      return broken("entry stubs", 5,
                    "entry stub " + Twine(index) + " of code object '" + owner + "' leads to " + hex(target(index).value()) +
                        " instead of " + hex(leadsTo.value()));
    isOwned.set(index);
  }
  if (isVacant.count() + isOwned.count() != taken_)
    return broken("entry stubs", 6, Twine(taken_ - isVacant.count() - isOwned.count()) + " entry stubs have no owner");
  return Error::success();
}

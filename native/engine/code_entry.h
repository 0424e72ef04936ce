// The slow paths of call thunks: before code is entered, after it has returned, and after something has left it.
#pragma once

#include "engine/attention.h"
#include "engine/code_objects.h"
#include "engine/outside.h"
#include "enter/call_thunk.h"
#include "stack/activation.h"

#include <string>
#include <unwind.h>
#include <vector>

namespace nomad {

class CodeEntry {
public:
  CodeEntry(const Outside &outside, ActivationChain &activations, const EntryTable &entries, const CodeObjects &objects,
            Attention &attention)
      : outside_(outside), activations_(activations), entries_(entries), objects_(objects), attention_(attention) {}

  /// For thunks, which keep the address of this.
  ThunkEnvironment environment();
  /// The index that the next thunk calls itself.
  std::uint32_t nextThunk() const { return static_cast<std::uint32_t>(thunks_.size()); }
  void addThunk(Address thunk, ThunkStyle style);
  /// Of the function, for messages.
  std::string nameOf(EntryIndex entry) const;

private:
  void *enter(ThunkCode thunk, void *first, void *second, bool isFromJs);
  bool refuseEntry();
  bool attend();
  void reportRefused(Attention::Refused refused);
  void endException(_Unwind_Exception *exception, EntryIndex entry);
  void reportUncaught(const std::string &what, EntryIndex entry);

  const Outside &outside_;
  ActivationChain &activations_;
  const EntryTable &entries_;
  const CodeObjects &objects_;
  Attention &attention_;
  std::vector<Address> thunks_;
  Address direct_; // the only one that JS does not call
};

} // namespace nomad

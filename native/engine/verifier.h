// Verifies that all records of an engine agree with each other and with the bytes of code. Stress tests run it at safepoints.
//
// In: an engine's records, between two public calls. Out: nothing, or an error that names the code object and the number of the
// broken invariant. Each structure checks itself first (`checkIntegrity`); then what several of them say is compared. Nothing is
// believed that can be derived again: what is claimed is compared with what code objects have, references with dependents, and
// where code leads is read from its bytes.
//
//   accounting   1 segments and host stubs own their memory, each granule once, and nothing else is claimed
//   owners       1 the index finds exactly the owners of addresses that can be on the stack (owner_index.h)
//   references   1 what a code object refers to, or was linked to, is there and knows of it; 2 dependents mention it;
//                3 a name that stands for a function has a reference of its own
//   calls        1 a direct call leads to the function that its reference is
//   redirected   1 a reference that is not what it was linked to is what that has been redirected to; 2 forwards have no chains;
//                3 the stubs of a forwarded function lead to the other's stub
//   sites        1 every other place that depends on an address leads where it led when it was first looked at
//   side tables  1 whatever is kept by handle is kept of what lives
#pragma once

#include "engine/code_objects.h"
#include "move/mover.h"

#include <string>
#include <vector>

namespace nomad {

/// What there is to be looked at. All of it outlives the verifier.
struct EngineRecords {
  const Arena &arena;
  const EntryTable &entries;
  const TypePool &types;
  CodeObjects &objects;
  Mover &mover; // its owner indices put themselves in order when they are asked
  const HostTable &hosts;
};

class Verifier {
public:
  explicit Verifier(const EngineRecords &records) : records_(records) {}

  /// Errors: State.
  llvm::Error verify();
  /// A code object is gone, and its handle may be another's.
  void forget(Handle handle) { notes_.erase(handle); }

private:
  /// Where a site led when it was first seen: from the base of the segment that it refers to, or, if that is fixed, from 0.
  struct Note {
    Relocation site;
    std::uint64_t leadsTo;
  };
  llvm::Error verifyRecords() const;
  llvm::Error verifyAccounting() const;
  llvm::Error verifyOwners() const;
  llvm::Error verifyEntries() const;
  llvm::Error verifyHosts() const;

  llvm::Error verifyReferences(Handle handle) const;
  llvm::Error verifyDependents(Handle handle) const;
  llvm::Error verifyNames(Handle handle) const;
  llvm::Error verifyForwards(Handle handle) const;
  llvm::Error verifyRedirected(Handle handle) const;
  Address forwardedTo(Handle handle, const EntryUse &entry) const;

  llvm::Error verifySites(Handle handle);
  llvm::Error verifyNotes(Handle handle, llvm::ArrayRef<Note> sites);
  Address leadsTo(const CodeObject &object, const Relocation &site) const;
  Address baseOfTarget(const CodeObject &object, const Relocation &site) const;

  bool isHost(Handle handle) const { return records_.objects.hostIndex(handle).has_value(); }

  EngineRecords records_;
  llvm::DenseMap<Handle, std::vector<Note>> notes_;
};

} // namespace nomad

// Code objects: their records, and side tables for what few of them have.
//
// Always true: side tables have handles of live code objects only. `add` fills them, `erase` drops all of one code object.
#pragma once

#include "engine/options.h"
#include "enter/host_table.h"
#include "stack/code_shapes.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

#include <map>
#include <optional>

namespace nomad {

class CodeObjects {
public:
  // ---- records ----

  CodeObjectTable &records() { return records_; }
  const CodeObjectTable &records() const { return records_; }
  CodeObject &operator[](Handle handle) { return records_[handle]; }
  const CodeObject &operator[](Handle handle) const { return records_[handle]; }
  bool isLive(Handle handle) const { return records_.isLive(handle); }
  Handle limit() const { return records_.limit(); }
  Handle handleOf(const CodeObject &object) const { return records_.handleOf(object); }

  /// Side tables take from the image what is needed after the first placement, with which the image goes.
  Handle add(CodeObject linked);
  void erase(Handle handle);

  // ---- look up. Errors: State if it is freed or, where an address is asked for, not placed; UnresolvedSymbol ----

  llvm::Expected<CodeObject &> find(Handle handle);
  llvm::Expected<FunctionSymbol> function(Handle handle, llvm::StringRef name);
  llvm::Expected<GlobalSymbol> global(Handle handle, llvm::StringRef name);
  llvm::Expected<Address> addressOf(Handle handle, const SymbolPlace &place);
  llvm::Expected<Address> addressOf(Handle handle, llvm::StringRef symbol);
  /// Of a function; where it is linked for, if its code object is not placed.
  Address codeOf(const CodePlace &function) const {
    return records_[function.object].segment(SegmentKind::Code).base + function.offset;
  }
  /// Placed ones with a segment in these ranges, by address.
  std::vector<Handle> in(const std::array<Range, 3> &ranges) const;

  // ---- side tables ----

  /// Null: its object file is not kept.
  KeptObject *objectFile(Handle handle);
  Size objectFileBytes() const;
  /// Its imported names, for linking another compile of its source alike; null if they are not kept.
  std::vector<ImportedName> *names(Handle handle);
  std::vector<ImportedName> &keepNames(Handle handle) { return names_[handle]; }
  void dropNames(Handle handle) { names_.erase(handle); }

  /// What a function has been redirected to.
  std::optional<CodePlace> forwardOf(const CodePlace &function) const;
  /// Functions of it that have been redirected, with what to.
  std::vector<std::pair<CodePlace, CodePlace>> forwardsOf(Handle handle) const;
  /// Entry stubs of those: they don't follow its moves.
  llvm::ArrayRef<EntryUse> forwardedStubs(Handle handle) const;
  std::vector<EntryUse> &ensureForwardedStubs(Handle handle) { return forwardedStubs_[handle]; }

  std::optional<HostIndex> hostIndex(Handle handle) const;
  void setHost(Handle handle, HostIndex index) { hosts_[handle] = index; }
  const llvm::DenseMap<Handle, HostIndex> &hosts() const { return hosts_; }

  /// Those that can't move, even if the stack does not refer to them.
  const llvm::DenseSet<Handle> &immovable() const { return immovable_; }
  void setImmovable(Handle handle) { immovable_.insert(handle); }
  void setMovable(Handle handle) { immovable_.erase(handle); }
  /// Some code has assembly that changes to other stacks.
  bool haveStackSwitchers() const { return !stackSwitchers_.empty(); }
  /// A function at `code` may return a second time: it has noted its return address where it can't be read, for as long as the
  /// function that called it is active.
  bool mayReturnTwice(const CodeObject &object, Offset code) const;
  void setReturnsTwice(const CodeObject &object, std::vector<CodeExtent> extents);
  const CodeShapes &shapes() const { return shapes_; }

  /// Errors: State that names the table that has a vacant handle.
  llvm::Error checkIntegrity() const;

private:
  friend Damage;

  CodeObjectTable records_;
  llvm::DenseMap<Handle, std::unique_ptr<KeptObject>> objectFiles_;
  std::map<Handle, std::vector<ImportedName>> names_;
  std::map<Handle, std::vector<EntryUse>> forwardedStubs_;
  llvm::DenseMap<Handle, HostIndex> hosts_;
  llvm::DenseMap<Handle, std::vector<CodeExtent>> returnsTwice_;
  llvm::DenseSet<Handle> immovable_;
  llvm::DenseSet<Handle> stackSwitchers_;
  CodeShapes shapes_;
};

} // namespace nomad

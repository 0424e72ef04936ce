// One Jit without JS: compile -> link -> place -> call -> relocate -> free. A facade: its parts document what it calls.
#pragma once

#include "engine/freezer.h"
#include "engine/landings.h"
#include "engine/linking.h"
#include "engine/replacer.h"
#include "engine/stats.h"
#include "fault/watched_code.h"

namespace nomad {

/// Belongs to one thread (I15).
class Engine final : private EntryLog::Owner {
public:
  static constexpr Size blockParameterBytes = Outside::blockParameterBytes;
  static constexpr Size blockBytes = Outside::blockBytes;

  static llvm::Expected<std::unique_ptr<Engine>> create(const EngineOptions &options);
  ~Engine();

  enum class Leftovers { Freed, Kept };
  /// Destructors and exit handlers of its code run, then its memory is given back. Not with Leftovers::Kept, nor where code runs
  /// on another thread or is the handler of a signal: then code and data stay where they are for good, host functions do nothing
  /// and return 0. Else functions whose addresses may still be stored do nothing and return 0. On the engine's own thread.
  static void end(std::unique_ptr<Engine> engine, Leftovers leftovers);

  /// `blockBytes` that stay where they are; before the first thunk.
  void setArgumentBlock(Address block) { outside_.block = block; }
  void setHost(Host *host) { outside_.host = host; } // before code is called

  // ---- code objects ----

  /// For other threads; both may outlive the engine.
  std::shared_ptr<TargetMachinePool> machines() const { return machines_; }
  std::shared_ptr<CompileCache> cache() const { return cache_; } // null: none
  CompileRequest requestOf(const CompileOptions &options) const { return names_.requestOf(options, Granularity::Module); }
  llvm::Expected<Handle> link(ObjectFile object, const CompileOptions &options, llvm::StringRef cacheKey = "") {
    return linking_.link(std::move(object), options, cacheKey);
  }
  llvm::Expected<Handle> compile(llvm::StringRef source, const CompileOptions &options) {
    return linking_.compile(source, options);
  }
  llvm::Expected<std::vector<Handle>> compileParts(llvm::StringRef source, const CompileOptions &options) {
    return linking_.compileParts(source, options);
  }
  llvm::Expected<std::vector<std::uint8_t>> serialize(Handle handle) { return saved_.encode(handle); }
  llvm::Expected<Handle> deserialize(llvm::ArrayRef<std::uint8_t> bytes, const CompileOptions &options) {
    return linking_.deserialize(bytes, options);
  }
  llvm::Error define(Import definition) { return names_.define(std::move(definition)); }
  std::vector<std::string> keepNames(Handle handle) { return linking_.keepNames(handle); }

  llvm::Expected<MoveReport> place(llvm::ArrayRef<MoveRequest> requests) { return placements_.place(requests); }
  llvm::Expected<MoveReport> relocate(llvm::ArrayRef<MoveRequest> requests) { return placements_.relocate(requests); }
  Range placeable(SegmentKind kind) const { return space_.placeable()[indexOf(kind)]; }
  llvm::Error free(Handle handle) { return endings_.free(handle); }
  llvm::Error freeAll(llvm::ArrayRef<Handle> handles) { return endings_.freeAll(handles); }
  void freeMany(llvm::MutableArrayRef<Handle> handles) { endings_.freeMany(handles); }
  llvm::Expected<std::vector<std::uint8_t>> freeze(Handle handle, std::uint64_t id) { return freezer_.freeze(handle, id); }
  llvm::Error thaw(Handle handle, std::uint64_t id, llvm::ArrayRef<std::uint8_t> saved) {
    return freezer_.thaw(handle, id, saved);
  }

  llvm::Expected<CodeObject &> object(Handle handle) { return objects_.find(handle); }
  Handle handleOf(const CodeObject &object) const { return objects_.handleOf(object); }
  std::vector<Handle> objectsIn(const std::array<Range, 3> &ranges) const { return objects_.in(ranges); }
  llvm::Expected<FunctionSymbol> function(Handle handle, llvm::StringRef name) { return objects_.function(handle, name); }
  llvm::Expected<GlobalSymbol> global(Handle handle, llvm::StringRef name) { return objects_.global(handle, name); }
  llvm::Expected<Address> addressOf(Handle handle, llvm::StringRef symbol) { return objects_.addressOf(handle, symbol); }
  llvm::Expected<Address> addressOf(Handle handle, const SymbolPlace &place) { return objects_.addressOf(handle, place); }
  llvm::Expected<EntryIndex> entry(Handle handle, llvm::StringRef functionName);
  llvm::Expected<Address> thunk(SignatureIndex signature, ThunkStyle style) { return thunks_.of(signature, style); }

  llvm::Expected<std::vector<Handle>> redirect(const FunctionPlace &from, const FunctionPlace &to) {
    return redirector_.redirect(from, to);
  }
  llvm::Error checkReplaceable(Handle handle) { return replacer_.checkReplaceable(handle); }
  llvm::Expected<std::vector<Handle>> replace(Handle from, Handle to) { return replacer_.replace(from, to); }

  // ---- host functions and the stack ----

  llvm::Expected<Handle> addHost(llvm::StringRef name, const Signature &signature) { return hosts_.add(name, signature); }
  std::optional<HostIndex> hostIndex(Handle handle) const { return objects_.hostIndex(handle); }
  llvm::Error redirectHost(Handle handle, Address target) { return hosts_.redirect(handle, target); }
  /// Is code of this Jit on the stack, or on another thread?
  bool isRunning();
  const StackRoots &stackRoots() { return roots_.look(); }
  llvm::DenseSet<Handle> pinned() { return roots_.pinned(); }

  // ---- the whole ----

  std::uint32_t id() const { return code_->id(); } // for threads that interrupt code
  const TypePool &types() const { return types_; }
  const EntryTable &entries() const { return entries_; }
  Size trim();
  EngineStats stats() const;
  Size retainedBytes(Handle handle); // of what is kept for moving it
  void poison(Range part) { placements_.poison(part); }
  /// Looks for damage in all records, and while code waits, in what the stack has of it. Errors: State that says what.
  llvm::Error verify();

private:
  friend Damage;

  Engine(std::unique_ptr<Arena> arena, const EngineOptions &options);
  void prepareEntry(bool isOwnThread) override;
  bool mayBeEntered();
  void detach();

  // Each uses those before it.
  Outside outside_;
  ActivationChain &activations_ = threadActivations();
  std::unique_ptr<EntryLog> entryLog_{new EntryLog(activations_, *this)};
  UnwindRefresh refresh_{activations_, *entryLog_};
  Attention attention_;
  std::unique_ptr<Arena> arena_;
  EntryTable entries_;
  TypePool types_;
  CodeObjects objects_;
  EntryStubs stubs_{objects_, entries_};
  References references_{objects_};
  ProcessSymbols process_;
  Names names_{objects_, stubs_, types_, process_};
  Redirector redirector_{*arena_, types_, *entryLog_, objects_, stubs_, references_, names_};
  Replacer replacer_{*arena_, types_, *entryLog_, objects_, stubs_, references_, names_};
  std::shared_ptr<TargetMachinePool> machines_ = std::make_shared<TargetMachinePool>();
  std::shared_ptr<CompileCache> cache_; // null: none
  std::unique_ptr<Linker> linker_;
  Relinker relinker_{objects_, *linker_};
  MoveVerifier moveVerifier_;
  Freezer freezer_;
  Mover mover_{*arena_, entries_, objects_.records(), relinker_, entryLog_->moves()};
  ThunkSpace space_{*arena_};
  StackWalk walk_{arena_->range(), space_.code(), mover_.codeOwners(), mover_.dataOwners(), objects_.shapes()};
  Roots roots_{activations_, *entryLog_, walk_, objects_, space_.code()};
  CodeEntry codeEntry_{outside_, activations_, entries_, objects_, attention_};
  Thunks thunks_{*machines_, *linker_, types_, objects_, mover_, space_, codeEntry_, refresh_};
  HostCalls hostCalls_{outside_, activations_, *entryLog_, roots_, attention_};
  Hosts hosts_{*arena_, types_, objects_, space_, thunks_, outside_, hostCalls_};
  CodeLandings landings_{outside_, activations_, objects_, stubs_, mover_.codeOwners(), space_.code(), codeEntry_};
  Placements placements_;
  Verifier verifier_{{*arena_, entries_, types_, objects_, mover_, hosts_.table()}};
  Endings endings_;
  SavedCode saved_;
  Linking linking_;
  std::optional<WatchedCode> code_; // none: the engine has left its thread
};

} // namespace nomad

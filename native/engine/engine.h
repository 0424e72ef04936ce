// One Jit without JS: compile -> link -> place -> call -> relocate -> free, in one object that owns it all.
#pragma once

#include "compile/object_file.h"
#include "engine/verifier.h"
#include "enter/call_thunk.h"
#include "enter/entry_log.h"
#include "enter/host_table.h"
#include "fault/watched_code.h"
#include "link/linker.h"
#include "memory/entry_table.h"
#include "move/mover.h"
#include "runtime/process_symbols.h"
#include "runtime/setjmp.h"
#include "stack/stack_walk.h"

#include "llvm/ADT/DenseSet.h"

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unwind.h>
#include <vector>

namespace nomad {

enum class LinkerKind { JITLink, RuntimeDyld };

struct EngineOptions {
  Size arenaBytes = Size{1} << 30;
  LinkerKind linker = LinkerKind::JITLink;
  /// After every move, are bytes what a fresh link at that place gives? Keeps all object files, and links twice for each move.
  bool verifiesMoves = false;
  /// Code that a move or `free` leaves becomes traps.
  bool poisonsVacated = false;
  ProcessSymbols::Policy symbols = ProcessSymbols::Policy::All;
  std::vector<std::string> listedSymbols;
  std::string cacheDirectory; // empty: no compile cache
  Size cacheBytes = 0;
};

class CompileCache;
struct SavedObject;

/// What a client says a name stands for: an address, or a function of a code object.
struct Import {
  std::string name;
  Address address;          // if object is noHandle
  Handle object = noHandle; // else its exported function `symbol`
  std::string symbol;
};

/// An exported function of a code object.
struct FunctionPlace {
  Handle object;
  std::string symbol;
};

/// Where that begins.
struct CodePlace {
  Handle object;
  Offset offset; // in its code

  bool operator==(const CodePlace &) const = default;
};

struct CompileOptions {
  std::string name;
  OptLevel level = OptLevel::O2;
  Moves moves = Moves::Code;
  Retain retain = Retain::Relocations;
  std::vector<Import> imports;
  bool isIsolated = false;   // a helper process generates the code
  CompileLimits limits = {}; // of that
  Handle alike = noHandle;   // names stand for what they do in that code object, which has kept them
};

/// Compilations that a compile cache has answered, and those that it has not.
struct CacheStats {
  Size hits = 0;
  Size misses = 0;
};

struct EngineStats {
  Size liveObjects = 0;
  Size placedObjects = 0;
  std::array<Size, 3> liveBytes{};
  std::array<Size, 3> reservedBytes{};
  Size entryStubs = 0;
  Size relocationBytes = 0;
  Size bookkeepingBytes = 0;
  Size mappings = 0;
  std::optional<CacheStats> cache;
};

/// The world outside: who runs host functions, and hears of what leaves code through a call thunk.
class Host {
public:
  virtual ~Host() = default;
  /// What JS is thrown when code has been left, as if a host function had thrown it.
  virtual void willThrow(llvm::Error error) = 0;
  /// Parameters and result are in the argument block. False: it threw, and code has to be left.
  virtual bool call(HostIndex index) = 0;
  /// The same for code that no JS has called: native code has, through an entry stub. What it throws goes to whoever hears of
  /// uncaught exceptions, and there is no result then.
  virtual void callFromNative(HostIndex index) = 0;
  /// Code has been left because a host function threw.
  virtual void left() = 0;
  /// Something went wrong in code that is about to return to JS: a C++ exception left it (Trap), it called a host function on
  /// another thread (State).
  virtual void uncaught(llvm::Error error) = 0;
  /// What code has been left with is nobody's.
  virtual void drop() = 0;
};

/// What a code object was before a move that is to be verified.
struct BeforeMove {
  Handle object;
  Emission emission; // a fresh link where it was
  std::array<Segment, 3> segments;
  std::vector<std::byte> data;
};

/// Belongs to one thread (I15).
class Engine final : private Landings, private Emitter, private EntryLog::Owner {
public:
  /// Bytes of the argument block that are parameters; the entry index comes behind them.
  static constexpr Size blockParameterBytes = 8 * 1000;
  static constexpr Size blockBytes = blockParameterBytes + 8;

  static llvm::Expected<std::unique_ptr<Engine>> create(const EngineOptions &options);
  ~Engine();

  enum class Leftovers { Freed, Kept };
  /// Destructors and exit handlers of its code run, then its memory is given back. Not with Leftovers::Kept, nor where code runs
  /// on another thread or is the handler of a signal: then code and data stay where they are for good, host functions do nothing
  /// and return 0. Else functions whose address somebody may still have do nothing and return 0. On the engine's own thread.
  static void end(std::unique_ptr<Engine> engine, Leftovers leftovers);

  /// The memory of the argument block: `blockBytes` that stay where they are. Set before the first thunk.
  void setArgumentBlock(Address block) { block_ = block; }
  /// Set before code is called.
  void setHost(Host *host) { host_ = host; }

  /// For generating code on other threads; they may outlive the engine.
  std::shared_ptr<TargetMachinePool> machines() const { return machines_; }
  /// For finding out on other threads whether there is anything to generate; null without one.
  std::shared_ptr<CompileCache> cache() const { return cache_; }
  /// What a compilation is told, on whichever thread it is.
  CompileRequest requestOf(const CompileOptions &options, Granularity granularity = Granularity::Module) const;
  /// With a key of the cache, what is linked is stored there.
  llvm::Expected<Handle> link(ObjectFile object, const CompileOptions &options, llvm::StringRef cacheKey = "");
  /// Looks into the cache first.
  llvm::Expected<Handle> compile(llvm::StringRef source, const CompileOptions &options);
  /// Each function as a code object of its own, after the first, which has all else of the module. Errors: as compile;
  /// Unsupported with Retain::Object.
  llvm::Expected<std::vector<Handle>> compileParts(llvm::StringRef source, const CompileOptions &options);
  /// An unplaced code object as bytes for `deserialize`, of this engine or another. Errors: State.
  llvm::Expected<std::vector<std::uint8_t>> serialize(Handle handle);
  /// Generates nothing, and LLVM links nothing. Of `options`, name and imports. Errors: Link (damaged), Unsupported (made by or
  /// for something else), UnresolvedSymbol, Signature, SpaceFull.
  llvm::Expected<Handle> deserialize(llvm::ArrayRef<std::uint8_t> bytes, const CompileOptions &options);
  /// A name for all later links, until its code object is freed; replaces an earlier definition.
  llvm::Error define(Import definition);

  /// Places unplaced code objects, which may refer to each other, and runs their constructors.
  llvm::Expected<MoveReport> place(llvm::ArrayRef<MoveRequest> requests);
  /// Rewrites return addresses on the stack. Errors: Placement, State, Pinned.
  llvm::Expected<MoveReport> relocate(llvm::ArrayRef<MoveRequest> requests);
  /// Runs destructors and exit handlers first. Errors: State while others refer to it, or it is running.
  llvm::Error free(Handle handle);
  /// Drops a placed code object's relocations; returns them for `thaw` of the same `id`. Errors: State.
  llvm::Expected<std::vector<std::uint8_t>> freeze(Handle handle, std::uint64_t id);
  /// Errors: State if it is not frozen, or `saved` is not what `freeze` returned; then nothing has changed.
  llvm::Error thaw(Handle handle, std::uint64_t id, llvm::ArrayRef<std::uint8_t> saved);
  /// Frees those that nobody else refers to and that are idle, circles of references too; writes noHandle over them.
  void freeMany(llvm::MutableArrayRef<Handle> handles);

  /// Errors: State if it is freed or, where an address is asked for, not placed; UnresolvedSymbol.
  llvm::Expected<CodeObject &> object(Handle handle);
  llvm::Expected<FunctionSymbol> function(Handle handle, llvm::StringRef name);
  llvm::Expected<GlobalSymbol> global(Handle handle, llvm::StringRef name);
  llvm::Expected<Address> addressOf(Handle handle, llvm::StringRef symbol);
  llvm::Expected<Address> addressOf(Handle handle, const SymbolPlace &place);
  llvm::Expected<EntryIndex> entry(Handle handle, llvm::StringRef functionName);
  std::vector<Handle> objectsIn(const std::array<Range, 3> &ranges) const;

  /// The address of a signature's call thunk; generates it at the first call.
  llvm::Expected<Address> thunk(SignatureIndex signature, ThunkStyle style);

  /// Who was linked to `from`, or calls it, calls `to` from now on; `from` itself, if it is `to`. Returns the code objects whose
  /// references have changed. Errors: State, Signature, UnresolvedSymbol; then nothing has changed.
  llvm::Expected<std::vector<Handle>> redirect(const FunctionPlace &from, const FunctionPlace &to);
  /// For linking another compile of its source alike, whatever is defined by then. Unplaced. Returns the names.
  std::vector<std::string> keepNames(Handle handle);
  /// Errors: State, if what a code object has can't pass to another that is compiled from the same source.
  llvm::Error checkReplaceable(Handle handle);
  /// `to` takes over from `from`: its callers, its entry stubs, what it is defined as. Both are placed. Returns the callers.
  /// `from` lives as long as `to` if it has constants, and can be freed otherwise. Errors: State; then nothing has changed.
  llvm::Expected<std::vector<Handle>> replace(Handle from, Handle to);
  /// Who calls this host function calls what is at `target`.
  llvm::Error redirectHost(Handle handle, Address target);

  // ---- host functions and the stack ----

  /// A host function as a code object, which never moves: its one function is `name`.
  llvm::Expected<Handle> addHost(llvm::StringRef name, const Signature &signature);
  std::optional<HostIndex> hostIndex(Handle handle) const;
  /// Code calls a host function; called by the exit only. Does not return normally if that throws.
  void callHost(HostIndex index, const Activation::Registers &registers);
  /// Why there is no JS for code that calls a host function.
  enum class Refusal : std::uint32_t { OtherThread, OtherStack, Signal };
  /// Nothing runs, the result is 0, and code that returns to JS next throws. Other threads call it, too.
  void refuseHostCall(HostIndex index, Refusal why) {
    refusedHost_.store((index + 1) | static_cast<std::uint32_t>(why) << refusalShift);
    attention_ |= Refused;
  }
  /// Is code of this Jit on the stack, or on another thread?
  bool isRunning();
  /// What waiting frames have of code objects.
  const StackRoots &stackRoots();
  /// What some segment of can't move now.
  llvm::DenseSet<Handle> pinned();
  /// Overwrites code that belongs to nobody with traps. `part` is in the placeable code range.
  void poison(Range part);
  /// Looks for damage in everything that is kept about code objects. Errors: State that says what.
  llvm::Error verify();
  Handle handleOf(const CodeObject &object) const { return objects_.handleOf(object); }

  /// For those who interrupt code, on whatever thread.
  std::uint32_t id() const { return code_->id(); }

  /// Where clients may place code objects.
  Range placeable(SegmentKind kind) const { return placeable_[indexOf(kind)]; }
  const TypePool &types() const { return types_; }
  const EntryTable &entries() const { return entries_; }
  Size trim() {
    objects_.trim();
    return arena_->trim();
  }
  EngineStats stats() const;
  /// Bytes of what is kept for moving it.
  Size retainedBytes(Handle handle) const;

private:
  friend Damage;
  class Resolver;

  llvm::Expected<SavedObject> decode(llvm::ArrayRef<std::uint8_t> bytes, const std::string &name) const;
  llvm::Error checkKept(Handle handle);
  llvm::Expected<std::optional<Handle>> compileFromCache(llvm::StringRef key, const CompileOptions &options);
  static Mover::Ranges thunkSpaceIn(const Arena &arena);
  explicit Engine(std::unique_ptr<Arena> arena, const EngineOptions &options);
  Handle adopt(CodeObject linked);
  llvm::Expected<Resolution> resolveImport(const Import &import);
  llvm::Expected<Resolution> resolveFunction(const CodePlace &place);
  llvm::Expected<Resolution> resolveAlike(Handle alike, const ImportedName &name);
  bool isOfProcess(const ImportedName &import) const;
  const ImportedName *keptName(Handle handle, llvm::StringRef name) const;
  bool isBound(Handle alike, llvm::StringRef name) const;
  std::string typeOf(const Import &import); // empty: an address, or what is gone
  llvm::Expected<EntryIndex> entry(Handle handle, Offset offset);
  llvm::Expected<EntryIndex> forwardedEntry(Handle handle, Offset offset, const Forward &forward);
  void enterDependents(Handle handle, Handle alike = noHandle);
  llvm::Error checkFree(Handle handle);
  llvm::SmallVector<Handle> holdersOf(const CodeObject &object) const;
  llvm::SmallVector<Handle> idleOf(llvm::ArrayRef<Handle> handles);
  void spareReferred(llvm::SmallVectorImpl<Handle> &ending);
  void tearDown(CodeObject &object);
  void tearDownAll();
  bool mayBeEntered();
  void detach();
  void discardAll(llvm::ArrayRef<Handle> ending);
  void discard(Handle handle);
  /// Does code go on that no call thunk, host exit or entry stub sees going on?
  bool returnsUnseen() {
    return activations_.entryFrame != Address() ||
           entryLog_->present(Address::of(__builtin_frame_address(0))).outermost != Address();
  }
  void afterChange();
  void callCode(Address function, void *argument = nullptr);
  llvm::Expected<Address> directThunk();
  llvm::Expected<Address> hostThunk(const Signature &signature);
  llvm::Error addHostBlock();
  llvm::Error checkIdle(Handle handle);
  void forgetStackRoots();
  EntryIndex &enteredFunction() { return *(block_ + blockParameterBytes).pointer<EntryIndex>(); } // of the innermost call
  bool callWaiting(HostIndex index, const Activation::Registers &registers);
  std::optional<Refusal> refusalOf(const Activation::Registers &registers);
  bool scanOtherStacks();
  bool interruptsOthers(const Activation::Registers &registers);
  void pinAll();
  llvm::Error checkRedirect(llvm::Expected<FunctionSymbol> &from, llvm::Expected<FunctionSymbol> &to,
                            const FunctionPlace &fromPlace, const FunctionPlace &toPlace);
  llvm::Error checkReplace(Handle from, Handle to);
  llvm::Error checkNotConcurrent(const char *what);
  llvm::Expected<std::map<Offset, Offset>> matchFunctions(Handle from, Handle to);
  void takeCaller(const WriteScope &scope, Handle caller, Handle from, Handle to, const std::map<Offset, Offset> &matches);
  void takeEntries(CodeObject &from, CodeObject &to, const std::map<Offset, Offset> &matches);
  const Redirections &redirectionsOf(Handle handle) const;
  const Forward *forwardOf(Handle handle, Offset offset) const;
  /// Where a call by reference leads: `reference` is the index of the code object.
  struct CallTarget {
    std::uint32_t reference;
    Address address;
  };
  using LeadCall = llvm::function_ref<std::optional<CallTarget>(CallSite, const CallTarget &)>;
  bool leadCalls(const WriteScope &scope, Handle caller, LeadCall lead);
  void redirectCalls(const WriteScope &scope, Handle caller, const CodePlace &from, const CodePlace &to);
  void redirectNames(Handle caller, const FunctionReference &from, const FunctionReference &to);
  void everyNameOf(Handle handle, llvm::function_ref<void(ImportedName &)> use);
  void bindCalls(Handle caller, const CodePlace &from);
  void followForwards(Handle caller, Handle alike);
  void followNames(Handle handle, Handle alike);
  void settleReferences(Handle handle);
  std::uint32_t addReference(Handle from, Handle to);
  llvm::Error forwardAll(const CodePlace &from, const CodePlace &to, llvm::ArrayRef<Handle> dependents);
  void forward(const CodePlace &from, const CodePlace &to, EntryIndex stub);
  void takeBack(const CodePlace &from);
  void endReferencesTo(Handle handle);
  llvm::Expected<Emission> emit(const CodeObject &object, const SegmentBases &bases) override;
  std::vector<std::uint8_t> takeObjectFile(Handle handle, std::uint64_t id);
  llvm::Error putObjectFileBack(Handle handle, std::uint64_t id, llvm::ArrayRef<std::uint8_t> saved);
  llvm::Expected<std::vector<BeforeMove>> beforeMoves(llvm::ArrayRef<MoveRequest> requests);
  llvm::Error verifyMoves(llvm::ArrayRef<BeforeMove> moves);
  llvm::SmallVector<Range> codeToPoison(llvm::ArrayRef<MoveRequest> requests) const;
  llvm::Error verifyMove(const BeforeMove &before);
  std::vector<std::pair<const char *, Handle>> sideTables() const;
  bool mayReturnTwice(const StackRoot &root) const;
  std::optional<Address> landing(Address returnsTo, llvm::ArrayRef<std::uint64_t> registers) override;
  bool refuse(Address returnsTo, llvm::StringRef what) override;
  void prepareEntry(bool isOwnThread) override;
  bool attend();
  void endException(_Unwind_Exception *exception, EntryIndex entry);
  void reportUncaught(const std::string &what, EntryIndex entry);
  void reportRefusedHost();
  std::string nameOf(EntryIndex entry) const;
  llvm::Expected<Address> makeThunk(ParsedModule module, const std::string &name);
  static Mover::Ranges placeableIn(const Arena &arena, const Mover::Ranges &thunkSpace);
  llvm::Expected<CodeObject> linkThunk(ParsedModule module, const std::string &name);
  ThunkEnvironment thunkEnvironment();
  void *enter(ThunkCode thunk, void *first, void *second, bool isFromJs);
  bool refuseEntry();

  static constexpr unsigned refusalShift = 29;

  ActivationChain &activations_ = threadActivations();
  std::unique_ptr<EntryLog> entryLog_{new EntryLog(activations_, *this)};
  std::unique_ptr<Arena> arena_;
  EntryTable entries_;
  TypePool types_;
  CodeObjectTable objects_;
  Mover mover_;
  LinkerKind linkerKind_;
  std::unique_ptr<Linker> linker_;
  bool verifiesMoves_;
  bool poisonsVacated_;
  llvm::DenseMap<Handle, std::unique_ptr<KeptObject>> kept_;
  std::map<Handle, Redirections> redirections_;
  std::map<Handle, std::vector<ImportedName>> names_; // what keepNames keeps
  std::shared_ptr<TargetMachinePool> machines_ = std::make_shared<TargetMachinePool>();
  std::shared_ptr<CompileCache> cache_; // null: none
  CacheStats cacheStats_;
  ProcessSymbols process_;
  std::map<std::string, Import, std::less<>> definitions_;
  std::set<std::string> definedLibraryFunctions_; // names of definitions, there now or once
  Address block_;
  Host *host_ = nullptr;
  // The ends of the code and data ranges are for call thunks, which don't move; and where the next one goes.
  Mover::Ranges thunkSpace_;
  std::array<Address, 3> nextThunk_;
  Mover::Ranges placeable_;
  std::map<std::pair<SignatureIndex, ThunkStyle>, std::uint32_t> thunkIndices_;
  std::vector<Address> thunks_;
  Address directThunk_;                 // the only one that JS does not call
  llvm::StringMap<Address> hostThunks_; // by the signature's text
  HostTable hosts_;
  llvm::DenseMap<Handle, HostIndex> hostIndices_;
  llvm::DenseMap<Handle, std::vector<CodeExtent>> returnsTwice_;
  llvm::DenseSet<Handle> immovable_;          // whatever the stack has
  llvm::DenseSet<Handle> stackSwitchers_;     // code objects whose assembly changes to other stacks
  Size hostCalls_ = 0;                        // that have not returned
  std::atomic<std::uint32_t> refusedHost_{0}; // index + 1, and why
  /// What has to be looked after when code returns.
  enum Attention : std::uint32_t { Refused = 1, Floats = 2 };
  std::atomic<std::uint32_t> attention_{0};
  StackWalk stackWalk_;
  StackRoots stackRoots_;
  // As of the last walk. What is suspended elsewhere does not run: only code could resume it.
  bool isOnStack_ = false;          // something of the thread's stack refers to code
  bool runsElsewhere_ = false;      // code has been entered on another thread or stack
  bool waitsElsewhere_ = false;     // code waits on a coroutine's stack, or may
  std::optional<WatchedCode> code_; // none: the engine has left its thread
  bool hasEnded_ = false;
  bool givesAddresses_ = false; // some code has the address of a function, and may have registered it anywhere
  Verifier verifier_{{*arena_, entries_, types_, objects_, mover_, hosts_, hostIndices_, redirections_}};
};

} // namespace nomad

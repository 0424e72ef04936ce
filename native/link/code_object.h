// What lives, moves and dies together: segments, the relocations that moving them needs, the names in them, and who refers to
// whom. A record of 128 bytes in a table; a tiny function's costs must stay small (docs/figures.md, memory).
#pragma once

#include "base/address.h"
#include "base/integrity.h"
#include "compile/exports.h"
#include "compile/movable_module.h"
#include "link/relocation_table.h"
#include "link/symbol_table.h"
#include "memory/arena.h"
#include "memory/entry_table.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/MemoryBuffer.h"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace nomad {

/// Index of a code object in its Jit's table.
using Handle = std::uint32_t;
constexpr Handle noHandle = ~Handle{0};
constexpr Offset noOffset = ~Offset{0};

enum class State : std::uint8_t { Vacant, Unplaced, Placed };
enum class Retain : std::uint8_t { Relocations, Object, None, Frozen };
constexpr bool keepsMovable(Retain retain) { return retain == Retain::Relocations || retain == Retain::Object; }

/// What the stack has of a code object: frames, and words that forbid segments to move.
struct StackUse {
  std::uint8_t pinned : 3 = 0; // a bit for each SegmentKind
  std::uint8_t active : 1 = 0;

  bool isPinned(SegmentKind kind) const { return (pinned >> indexOf(kind) & 1) != 0; }
  bool isUsed() const { return pinned != 0 || active != 0; }
};

struct Segment {
  static constexpr std::uint16_t noOwnerSlot = 0xffff;

  Address base; // nominal until placed
  std::uint32_t size = 0;
  std::uint8_t alignmentLog2 = 0;
  std::uint16_t ownerSlot = noOwnerSlot; // see owner_index.h

  bool exists() const { return size > 0; }
  Range range() const { return Range::at(base, size); }
  Size alignment() const { return Size{1} << alignmentLog2; }
};

/// An entry stub that leads into the code segment at `offset`.
struct EntryUse {
  EntryIndex index;
  Offset offset;
};

/// A function's part of the code segment.
struct CodeExtent {
  Offset base;
  Offset limit;
};

/// How the frames of a code object's functions are found.
struct FrameMap {
  struct Part {
    CodeExtent extent;
    FrameKind kind;
  };
  FrameKind usual = FrameKind::Plain; // of code that is in no part
  bool switchesStacks = false;        // see ModuleFrames
  std::vector<Part> others;           // functions, in address order

  bool isAllPlain() const { return usual == FrameKind::Plain && !switchesStacks && others.empty(); }
  FrameKind at(Offset code) const;
};

/// Where a function begins, for calls; its address, that is its entry stub, which no redirection changes; or, at `noOffset`, a
/// code object as a whole.
struct CodePlace {
  static constexpr Offset addressBit = Offset{1} << 31; // code has fewer bytes

  Handle object = noHandle;
  Offset offset = noOffset; // in its code

  bool isCalled() const { return (offset & addressBit) == 0; }
  bool isWhole() const { return offset == noOffset; }
  CodePlace address() const { return {object, offset | addressBit}; }
  CodePlace function() const { return {object, offset & ~addressBit}; }
  bool operator==(const CodePlace &) const = default;
};

/// What a name that the object file does not define stands for in one code object.
struct ImportedName {
  enum class Kind : std::uint8_t {
    Nothing,       // weak, and undefined: address 0
    Fixed,         // what never moves
    Teardown,      // `__dso_handle`
    OwnEntry,      // an entry stub of this code object
    Function,      // another code object's function, called directly
    FunctionEntry, // its entry stub
  };
  std::string name; // in the object file
  Kind kind = Kind::Nothing;
  Address address;             // of an entry stub or of what is fixed
  std::uint32_t reference = 0; // Function, FunctionEntry: index of its own reference
  Address code;                // Function: where it is during a link
  EntryIndex entry = 0;        // OwnEntry
  bool isWeak = false;         // it may be undefined
};

bool refersToFunction(const ImportedName &import);

/// An object file that is kept to be emitted again, and what its link found.
struct KeptObject {
  std::unique_ptr<llvm::MemoryBuffer> bytes;
  std::vector<ImportedName> imports;
  std::vector<ReturnsTwice> returnsTwice; // names that the link must not drop
  ModuleFrames frames;                    // such names too
  std::optional<std::uint64_t> frozen;    // checksum of `bytes`, which are kept elsewhere

  Size footprint() const;
};

/// A place in the image whose value depends on where an imported name is.
struct ImportSite {
  std::uint32_t import;
  SegmentKind segment;
  Formula formula;
  bool isCall; // leads to the function, not to its entry stub
  Offset offset;
  Delta addend = 0; // see import_site.h
};

/// A function that may find itself returned to again.
struct ReturnsTwiceExtent {
  CodeExtent extent;
  bool bySetjmpOnly; // as in ReturnsTwice
};

/// What exists only until the first placement: the bytes, linked for the nominal base. Data end in zeros that are not stored.
struct Image {
  std::array<std::unique_ptr<std::byte[]>, 3> bytes;
  std::array<std::uint32_t, 3> storedBytes{};
  Offset initializer = noOffset; // in code; runs once, after the first placement
  std::vector<CodeExtent> returnsTwice;
  std::vector<ReturnsTwiceExtent> mayReturnTwice; // whatever setjmp stands for
  std::vector<Offset> jumpTargets;                // see jump_targets.h
  FrameMap frames;
  std::vector<ImportedName> imports;
  std::vector<ImportSite> importSites;
  std::vector<DeclaredFunction> declared;
  bool isPart = false;              // of a module that was compiled function by function
  std::unique_ptr<KeptObject> kept; // with Retain::Object
};

/// References between code objects (I9): the only record of who calls whom. Relocations and imported names have the index of a
/// reference, for good; a redirection changes what is there.
///
///   a function   calls lead there. An imported name has a reference of its own
///   an address   a name of which only the address is taken
///   the whole    code has addresses of something there
///
/// A reference of a code object to a function of its own is no call: it says what the function has been redirected to.
struct Links {
  std::vector<CodePlace> references;
  /// What each was when it was linked, while redirections have made something else of any; else empty.
  std::vector<CodePlace> linkedTo;
  /// The other code objects that mention this one.
  llvm::SmallDenseSet<Handle, 4> dependents;

  CodePlace linkedPlace(std::uint32_t index) const { return linkedTo.empty() ? references[index] : linkedTo[index]; }
  bool isRedirected(std::uint32_t index) const { return references[index] != linkedPlace(index); }
  /// What a function of the code object that has these links has been redirected to.
  std::optional<CodePlace> forwardOf(const CodePlace &function) const;
  /// Does it live as long as this one?
  bool keepsAlive(Handle object) const;
  bool mentions(Handle object) const;

  /// Index of a new reference. The caller enters this one among the dependents, here and below.
  std::uint32_t add(const CodePlace &place);
  void set(std::uint32_t index, const CodePlace &now, const CodePlace &linkedPlace);
  /// `object` ends, which nothing here keeps alive: what was linked to it counts as linked to what it has become.
  void forget(Handle object);
  /// Always true:
  ///   1. `linkedTo` is empty, or has something else than `references`, and as many;
  ///   2. only what is called is redirected, and to such.
  /// And among code objects, as engine/verifier.h has it.
  llvm::Error checkIntegrity() const;
};

/// What has to happen before a code object is freed. Its address is the module's `__dso_handle`: C++ says with it whose exit
/// handlers it registers.
struct Teardown {
  struct ExitHandler {
    void (*function)(void *);
    void *argument;
  };
  std::vector<ExitHandler> exitHandlers; // the last one registered runs first
  Offset finalizer = noOffset;           // in code: the module's destructors, after the exit handlers
  std::vector<Offset> threadLocals;      // in data: control blocks of thread-local variables
};

/// Two cache lines: a collection reads and writes one after the other.
struct alignas(64) CodeObject {
  std::array<Segment, 3> segments;
  State state = State::Vacant;
  Moves moves = Moves::Code;
  Retain retain = Retain::Relocations;
  bool isMoving = false;                // in the batch that the mover checks
  bool isDefinition = false;            // some name that later compiles may link to stands for a function of it
  StackUse stackUse;                    // while a walk of the stack is current
  bool isEnding = false;                // its exit handlers and destructors run
  bool keepsCodeAddresses : 1 = false;  // it may have addresses in code elsewhere than in return slots
  bool sharesData : 1 = false;          // others may refer to its constants and data
  bool storesLabels : 1 = false;        // and in unknown memory: its code can't move
  bool isIrreplaceable : 1 = false;     // another compile of its source can't take its place
  bool hasOuterSites : 1 = false;       // of relocations, outside of code
  bool hasOddFrames : 1 = false;        // some of its functions have no plain frames
  bool hasFramesRegistered : 1 = false; // on its own (move/frame_registration.h)
  Offset unwindRecords = noOffset;      // in code
  llvm::SmallVector<EntryUse, 1> entries;
  RelocationTable relocations;
  std::unique_ptr<Links> links; // null: refers to nothing, and nothing to it
  SymbolTable symbols;
  std::unique_ptr<Image> image;
  std::unique_ptr<Teardown> teardown;

  const Segment &segment(SegmentKind kind) const { return segments[indexOf(kind)]; }
  Segment &segment(SegmentKind kind) { return segments[indexOf(kind)]; }
  Address addressOf(SymbolPlace place) const { return segment(place.segment).base + place.offset; }
  /// Into the cache, to be changed soon.
  void fetch() const {
    __builtin_prefetch(this, 1);
    __builtin_prefetch(reinterpret_cast<const std::byte *>(this) + 64, 1);
  }
  Links &ensureLinks();
  Teardown &ensureTeardown();
  std::array<Size, 3> sizes() const { return {segments[0].size, segments[1].size, segments[2].size}; }
  /// Between batches of moves, of one that lives. Always true:
  ///   1. its state is one that there is, it has an image exactly before its first placement, and no batch has it;
  ///   2. placed segments are aligned;
  ///   3. unwind records, entry stubs and what runs at its end lie in the segments that it has;
  ///   4. its symbols, relocations and links are intact.
  llvm::Error checkIntegrity(const TypePool &types) const;
};

/// All code objects of a Jit, by handle. Records don't move in memory, and neighbours in handles are neighbours in memory.
class CodeObjectTable {
public:
  Handle add(CodeObject object);
  void remove(Handle handle);
  /// Frees what vacant records still have.
  void trim();

  CodeObject &operator[](Handle handle) { return chunks_[handle / chunkLength][handle % chunkLength]; }
  const CodeObject &operator[](Handle handle) const { return chunks_[handle / chunkLength][handle % chunkLength]; }
  bool isLive(Handle handle) const { return handle < limit_ && (*this)[handle].state != State::Vacant; }
  Handle limit() const { return limit_; }
  /// Of a record in this table.
  Handle handleOf(const CodeObject &object) const;
  Size bytes() const { return chunks_.size() * chunkLength * sizeof(CodeObject); }
  /// Always true:
  ///   1. there are as many chunks as handles need;
  ///   2. each record's handle can be found from its address;
  ///   3. the handles to be used again are those of vacant records, each once;
  ///   4. a vacant record has no segments, relocations, links, image or teardown.
  llvm::Error checkIntegrity() const;

private:
  friend Damage;

  static constexpr Handle chunkLength = 256;
  static constexpr Size mostKept = 256; // bytes of names

  std::vector<std::unique_ptr<CodeObject[]>> chunks_;
  std::map<const CodeObject *, Handle> firstOf_; // the first handle of the chunk that begins there
  Handle limit_ = 0;
  std::vector<Handle> vacant_;
};

/// Those that do, as far as a setjmp whose return address follows moves is no reason.
std::vector<CodeExtent> returnsTwice(const std::vector<ReturnsTwiceExtent> &extents, bool setjmpStaysValid);

/// "'name'": how messages call it.
std::string quoted(const CodeObject &object);

} // namespace nomad

// What the core's tests share: an engine with an argument block, placing at the next free offset, calling through entry stubs
// and call thunks, errors as values, random numbers with a seed that a failure shows.
#pragma once

#include "base/error.h"
#include "engine/engine.h"

#include <array>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

// LLVM's headers have no CHECK; doctest's are the only ones.
#include <doctest/doctest.h>

namespace nomad::test {

// ---- errors ----

/// An llvm::Error as a value; `code` is empty for success and "?" for an error without a code of ours.
struct Failure {
  std::string code;
  std::string message;
  ErrorDetails details;
};

Failure failureOf(llvm::Error error);

template <typename T>
Failure failureOf(llvm::Expected<T> value) {
  return value ? Failure{} : failureOf(value.takeError());
}

void need(llvm::Error error);

/// The value; an error ends the test case with its message.
template <typename T>
T need(llvm::Expected<T> value) {
  if (!value)
    need(value.takeError());
  return std::move(*value);
}

template <typename T>
T &need(llvm::Expected<T &> value) {
  if (!value)
    need(value.takeError());
  return *value;
}

bool contains(const std::string &text, const std::string &part);

// ---- entry tables without an engine ----

/// Whose entries nobody needs to prepare for.
struct NoOwner : EntryLog::Owner {
  void prepareEntry(bool) override {}
};

/// An entry table of an arena, with the log that its stubs ask.
struct LoggedEntries {
  explicit LoggedEntries(Arena &arena) : table(arena, log.watch()) {}
  NoOwner owner;
  EntryLog log{threadActivations(), owner};
  EntryTable table;
};

// ---- random numbers ----

/// 20260730 unless NOMAD_SEED is set. A random test begins with SHOW_SEED.
std::uint64_t seed();
#define SHOW_SEED INFO("NOMAD_SEED=" << ::nomad::test::seed())

class Random {
public:
  Random() : engine_(seed()) {}
  explicit Random(std::uint64_t salt) : engine_(seed() ^ salt) {}
  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  std::uint64_t bits() { return engine_(); }
  bool oneIn(std::uint64_t n) { return below(n) == 0; }

private:
  std::mt19937_64 engine_;
};

// ---- leaks ----

/// While it lives, what this thread allocates is no leak. Only for compilations that end in a fatal error or a fault: those are
/// abandoned on purpose, because LLVM's objects are in no state to be destroyed (base/recovery.h).
class AbandonedIsLeaked {
public:
  AbandonedIsLeaked();
  ~AbandonedIsLeaked();
  AbandonedIsLeaked(const AbandonedIsLeaked &) = delete;
  AbandonedIsLeaked &operator=(const AbandonedIsLeaked &) = delete;
};

// ---- /proc/self/maps ----

struct KernelMapping {
  Range range;
  std::string access; // "r-xs"
};

std::vector<KernelMapping> kernelMappings();

// ---- a Jit without JS ----

constexpr std::int64_t stays = -1;
using Offsets = std::array<std::int64_t, 3>; // by SegmentKind, in the placeable ranges; `stays` where the segment does

/// "name" -> the address of something of the test's.
template <typename T>
Import importAddress(const char *name, T *what) {
  Import import;
  import.name = name;
  import.address = Address::of(reinterpret_cast<const void *>(what));
  return import;
}

/// "name" -> function `symbol` of a code object.
Import importFunction(const char *name, Handle object, const char *symbol);

class Jit {
public:
  explicit Jit(Size arenaBytes = Size{64} << 20);
  Jit(const Jit &) = delete;
  Jit &operator=(const Jit &) = delete;

  Engine &engine() { return *engine_; }
  const CodeObject &object(Handle handle) { return need(engine_->object(handle)); }

  Handle compile(llvm::StringRef source, CompileOptions options = {});
  /// Compiles and places at the next free offsets.
  Handle add(llvm::StringRef source, CompileOptions options = {});

  /// The next offsets that nobody has used, for all segments of the code object.
  Offsets nextOffsets(Handle handle);
  /// Offsets at the far end of every range, as far from `nextOffsets` as possible.
  Offsets farOffsets(Handle handle);
  MoveRequest request(Handle handle, const Offsets &offsets);
  void place(Handle handle, const Offsets &offsets) { need(engine_->place(request(handle, offsets))); }
  void place(Handle handle) { place(handle, nextOffsets(handle)); }
  void relocate(Handle handle, const Offsets &offsets) { need(engine_->relocate(request(handle, offsets))); }
  /// Moves every segment to the next free offsets.
  void moveOn(Handle handle) { relocate(handle, nextOffsets(handle)); }
  /// Moves the code segment only, as `moves: 'code'` does.
  void moveCodeOn(Handle handle);
  void free(Handle handle) { need(engine_->free(handle)); }

  Size offsetOf(Handle handle, SegmentKind kind);
  Address stub(Handle handle, const char *function) { return engine_->entries().stub(need(engine_->entry(handle, function))); }
  /// Entered through the entry stub, at whatever place the function has when it is called.
  template <typename Type>
  Type *function(Handle handle, const char *name) {
    return stub(handle, name).pointer<Type>();
  }
  template <typename T>
  T *global(Handle handle, const char *name) {
    return need(engine_->addressOf(handle, name)).template pointer<T>();
  }

  /// Calls through a Block call thunk, which refreshes unwind tables first: for code that throws.
  template <typename Result, typename... Arguments>
  Result call(Handle handle, const char *name, Arguments... arguments) {
    std::size_t index = 0;
    (setParameter(index++, arguments), ...);
    enter(handle, name);
    if constexpr (!std::is_void_v<Result>)
      return result<Result>();
  }

  // The argument block, for tests of the call thunks themselves.
  template <typename T>
  void setParameter(std::size_t index, T value) {
    store(8 * index, wide(value));
  }
  template <typename T>
  T result() const {
    decltype(wide(T{})) value;
    std::memcpy(&value, block_.data(), sizeof value);
    return static_cast<T>(value);
  }
  void enter(Handle handle, const char *name);
  std::byte *block() { return block_.data(); }

private:
  // What the argument block holds for a C type: int32, double, or 8 bytes.
  static std::int32_t wide(bool value) { return value; }
  static std::int32_t wide(std::int8_t value) { return value; }
  static std::int32_t wide(std::int16_t value) { return value; }
  static std::int32_t wide(std::int32_t value) { return value; }
  static std::int64_t wide(std::int64_t value) { return value; }
  static std::uint64_t wide(std::uint64_t value) { return value; }
  static double wide(float value) { return value; }
  static double wide(double value) { return value; }
  template <typename T>
  static std::uint64_t wide(T *value) {
    return reinterpret_cast<std::uint64_t>(value);
  }
  template <typename T>
  void store(std::size_t offset, T value) {
    std::memcpy(block_.data() + offset, &value, sizeof value);
  }

  alignas(8) std::array<std::byte, Engine::blockBytes> block_{};
  std::unique_ptr<Engine> engine_; // after the block: exit handlers run when it is destroyed
  std::array<Size, 3> next_{};
};

/// A host in C++: `onCall` is the host functions, and false leaves code. It listens to its engine as long as both live.
class TestHost : public Host {
public:
  explicit TestHost(Jit &jit) : jit_(jit) { jit.engine().setHost(this); }
  ~TestHost() override { jit_.engine().setHost(nullptr); }
  TestHost(const TestHost &) = delete;
  TestHost &operator=(const TestHost &) = delete;

  /// A host function to be imported as `name`.
  Handle add(const char *name, const char *type);

  bool call(HostIndex index) override {
    ++calls;
    return onCall(index);
  }
  void callFromNative(HostIndex index) override {
    ++callsFromNative;
    call(index);
  }
  void willThrow(llvm::Error error) override { failures.push_back(failureOf(std::move(error))); }
  void left() override { ++lefts; }
  void uncaught(llvm::Error error) override { failures.push_back(failureOf(std::move(error))); }
  void drop() override {}

  std::function<bool(HostIndex)> onCall = [](HostIndex) { return true; };
  int calls = 0;
  int callsFromNative = 0; // of those
  int lefts = 0;
  std::vector<Failure> failures;

private:
  Jit &jit_;
};

/// The bytes of a code object's segments as they run, and where those are.
struct Snapshot {
  std::array<Address, 3> bases;
  std::array<std::vector<std::byte>, 3> bytes;
  std::vector<std::uint64_t> entryTargets;
  bool operator==(const Snapshot &) const = default;
};

Snapshot snapshotOf(Jit &jit, Handle handle);

} // namespace nomad::test

#include "run/runtime_support.h"

#include "run/leave.h"

#include "llvm/ADT/DenseSet.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <exception>
#include <memory>
#include <mutex>
#include <typeinfo>
#include <vector>

using namespace nomad;
using namespace llvm;

namespace {

// ---- exit handlers ----

std::mutex teardownMutex;
DenseSet<Teardown *> &liveTeardowns() {
  static DenseSet<Teardown *> set;
  return set;
}

// __cxa_atexit(function, argument, dso): dso is the address of the module's __dso_handle, which is its Teardown. A module that
// passes another handle gets an error, as from a C library that is out of memory: nobody would know when to run the handler.
int registerExitHandler(void (*function)(void *), void *argument, void *dso) {
  std::lock_guard lock(teardownMutex);
  auto *teardown = static_cast<Teardown *>(dso);
  if (!liveTeardowns().contains(teardown))
    return -1;
  teardown->exitHandlers.push_back({function, argument});
  return 0;
}

// ---- thread-local variables ----

// The control block of emulated TLS, laid out by LLVM. `index` is ours: 0 until the first use, then where the thread's table
// has the variable's address; it stays the same when the block moves.
struct ThreadLocalControl {
  std::uintptr_t size;
  std::uintptr_t alignment;
  std::uintptr_t index;
  const void *initialValue; // null: zeros
};

std::mutex threadLocalMutex;

class ThreadTable;
std::vector<ThreadTable *> &threadTables() {
  static std::vector<ThreadTable *> tables;
  return tables;
}

class ThreadTable {
public:
  ThreadTable() {
    std::lock_guard lock(threadLocalMutex);
    threadTables().push_back(this);
  }
  ~ThreadTable() {
    std::lock_guard lock(threadLocalMutex);
    std::erase(threadTables(), this);
    for (void *copy : copies)
      std::free(copy);
  }
  std::vector<void *> copies; // by index
};

std::vector<std::uintptr_t> &vacantIndices() {
  static std::vector<std::uintptr_t> indices;
  return indices;
}

std::uintptr_t takeIndex() {
  static std::uintptr_t last = 0;
  if (vacantIndices().empty())
    return ++last;
  std::uintptr_t index = vacantIndices().back();
  vacantIndices().pop_back();
  return index;
}

void *makeCopy(const ThreadLocalControl &control) {
  std::size_t alignment = std::max<std::size_t>(control.alignment, sizeof(void *));
  void *copy = std::aligned_alloc(alignment, roundUp(std::max<std::size_t>(control.size, 1), alignment));
  if (!copy)
    std::abort(); // as __emutls_get_address of libgcc: code has no way to hear of it
  if (control.initialValue)
    std::memcpy(copy, control.initialValue, control.size);
  else
    std::memset(copy, 0, control.size);
  return copy;
}

void *threadLocalAddress(ThreadLocalControl *control) {
  thread_local ThreadTable table;
  std::uintptr_t index = control->index;
  if (index != 0 && index < table.copies.size() && table.copies[index]) [[likely]]
    return table.copies[index];
  std::lock_guard lock(threadLocalMutex);
  if (control->index == 0)
    control->index = takeIndex();
  index = control->index;
  if (table.copies.size() <= index)
    table.copies.resize(index + 1);
  return table.copies[index] = makeCopy(*control);
}

} // namespace

std::optional<Address> nomad::findRuntimeSupport(StringRef name) {
  if (name == "__cxa_atexit" || name == "__cxa_thread_atexit")
    return Address::of(reinterpret_cast<const void *>(&registerExitHandler));
  if (name == "__emutls_get_address")
    return Address::of(reinterpret_cast<const void *>(&threadLocalAddress));
  return findPersonality(name);
}

void nomad::announceTeardown(Teardown &teardown) {
  std::lock_guard lock(teardownMutex);
  liveTeardowns().insert(&teardown);
}

void nomad::retireTeardown(Teardown &teardown) {
  std::lock_guard lock(teardownMutex);
  liveTeardowns().erase(&teardown);
}

void nomad::runExitHandlers(Teardown &teardown, function_ref<void(const Teardown::ExitHandler &)> run) {
  while (!teardown.exitHandlers.empty()) {
    Teardown::ExitHandler handler = teardown.exitHandlers.back();
    teardown.exitHandlers.pop_back();
    run(handler);
  }
}

namespace {
std::string typeName(const std::type_info &type) {
  std::unique_ptr<char, void (*)(void *)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr), std::free);
  return name ? name.get() : type.name();
}
} // namespace

std::string nomad::describeCurrentException() {
  const std::type_info *type = abi::__cxa_current_exception_type();
  std::string name = type ? typeName(*type) : "of another language";
  try {
    throw;
  } catch (const std::exception &exception) {
    return name + ": " + exception.what();
  } catch (...) {
    return name;
  }
}

void nomad::freeThreadLocal(Address control) {
  auto *block = control.pointer<ThreadLocalControl>();
  if (block->index == 0)
    return;
  std::lock_guard lock(threadLocalMutex);
  for (ThreadTable *table : threadTables())
    if (block->index < table->copies.size())
      std::free(std::exchange(table->copies[block->index], nullptr));
  vacantIndices().push_back(block->index);
}

#include "runtime/thread_locals.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

using namespace nomad;

namespace {

// Laid out by LLVM. `index` is ours: 0 until the first use, then where the thread's table has the variable's address; it stays
// the same when the block moves.
struct ThreadLocalControl {
  std::uintptr_t size;
  std::uintptr_t alignment;
  std::uintptr_t index;
  const void *initialValue; // null: zeros
};

struct ThreadExitHandler {
  const Teardown *owner;
  std::thread::id home; // owner's thread
  Teardown::ExitHandler handler;
};

std::mutex mutex;

template <typename Predicate>
std::optional<Teardown::ExitHandler> takeLastIf(std::vector<ThreadExitHandler> &handlers, Predicate predicate) {
  auto found = llvm::find_if(llvm::reverse(handlers), predicate);
  if (found == handlers.rend())
    return std::nullopt;
  Teardown::ExitHandler handler = found->handler;
  handlers.erase(std::next(found).base());
  return handler;
}

class ThreadTable;
std::vector<ThreadTable *> &threadTables() {
  static std::vector<ThreadTable *> tables;
  return tables;
}

class ThreadTable {
public:
  ThreadTable() {
    std::lock_guard lock(mutex);
    threadTables().push_back(this);
  }
  // Destructors may use thread-local variables, and register more destructors.
  ~ThreadTable() {
    while (auto handler = takeLast())
      handler->function(handler->argument);
    std::lock_guard lock(mutex);
    std::erase(threadTables(), this);
    for (void *copy : copies)
      std::free(copy);
  }
  static ThreadTable &current() {
    thread_local ThreadTable table;
    return table;
  }

  std::vector<void *> copies; // by index
  std::vector<ThreadExitHandler> exitHandlers;

private:
  std::optional<Teardown::ExitHandler> takeLast() {
    std::lock_guard lock(mutex);
    return takeLastIf(exitHandlers, [](auto &each) { return each.home != std::this_thread::get_id(); });
  }
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
  ThreadTable &table = ThreadTable::current();
  std::uintptr_t index = control->index;
  if (index != 0 && index < table.copies.size() && table.copies[index]) [[likely]]
    return table.copies[index];
  std::lock_guard lock(mutex);
  if (control->index == 0)
    control->index = takeIndex();
  index = control->index;
  if (table.copies.size() <= index)
    table.copies.resize(index + 1);
  return table.copies[index] = makeCopy(*control);
}

} // namespace

Address nomad::threadLocalSupport() { return Address::of(reinterpret_cast<const void *>(&threadLocalAddress)); }

void nomad::freeThreadLocal(Address control) {
  auto *block = control.pointer<ThreadLocalControl>();
  if (block->index == 0)
    return;
  std::lock_guard lock(mutex);
  for (ThreadTable *table : threadTables())
    if (block->index < table->copies.size())
      std::free(std::exchange(table->copies[block->index], nullptr));
  vacantIndices().push_back(block->index);
}

void nomad::addThreadExitHandler(const Teardown &owner, std::thread::id home, Teardown::ExitHandler handler) {
  ThreadTable &table = ThreadTable::current();
  std::lock_guard lock(mutex);
  table.exitHandlers.push_back({&owner, home, handler});
}

std::optional<Teardown::ExitHandler> nomad::takeThreadExitHandler(const Teardown &owner) {
  std::lock_guard lock(mutex);
  for (ThreadTable *table : threadTables())
    if (auto handler = takeLastIf(table->exitHandlers, [&](auto &each) { return each.owner == &owner; }))
      return handler;
  return std::nullopt;
}

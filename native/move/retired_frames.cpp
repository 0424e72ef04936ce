#include "move/retired_frames.h"

#include <atomic>
#include <deque>
#include <mutex>

namespace {

constexpr size_t mostKept = 16 << 10;

std::atomic<bool> keeps{false};

struct Kept {
  std::mutex mutex;
  std::deque<std::shared_ptr<void>> memory;
};

// Never destroyed: Jits of other threads end after the process has begun to.
Kept &kept() {
  static Kept *kept = new Kept;
  return *kept;
}

} // namespace

void nomad::keepRetiredFrames() { keeps = true; }

void nomad::retireFrames(std::shared_ptr<void> memory) {
  if (!keeps)
    return;
  std::lock_guard<std::mutex> lock(kept().mutex);
  kept().memory.push_back(std::move(memory));
  if (kept().memory.size() > mostKept)
    kept().memory.pop_front();
}

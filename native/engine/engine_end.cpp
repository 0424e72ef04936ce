// The end of an engine: of all of its code at once, and of what may still lead into it.
#include "engine/engine.h"

#include "base/signals.h"

#include <deque>
#include <mutex>

using namespace nomad;
using namespace llvm;

// The result of a function whose engine is gone: 0 of its type.
asm(R"(
  .text
  .p2align 4
  .type nomad_nothing, @function
nomad_nothing:
  .cfi_startproc
  xorl %eax, %eax
  pxor %xmm0, %xmm0
  ret
  .cfi_endproc
  .size nomad_nothing, .-nomad_nothing
)");

extern "C" void nomad_nothing();

static Address nothing() { return Address::of(reinterpret_cast<const void *>(&nomad_nothing)); }

Engine::~Engine() { endings_.tearDownAll(); }

bool Engine::mayBeEntered() {
  roots_.look();
  bool isElsewhere = roots_.isElsewhere();
  roots_.forget();
  return isElsewhere || isSignalHandlerIn(arena_->range());
}

// From here on code runs as it can without its thread: the word that identified that may be another's.
void Engine::detach() {
  outside_.host = nullptr;
  hosts_.redirectAll(nothing());
  entryLog_->leaveThread();
  code_.reset();
}

namespace {

// The watch of stubs first: it goes last.
struct Stubs {
  std::unique_ptr<EntryLog> log;
  std::vector<Mapping> mappings;
};

/// What is left of engines. For good: nothing says when the last call is over.
class Remains {
public:
  void add(std::unique_ptr<Engine> engine) {
    std::lock_guard lock(mutex_);
    engines_.push_back(std::move(engine));
  }
  /// Of many, the oldest are forgotten: each takes some pages.
  void add(Stubs stubs) {
    std::lock_guard lock(mutex_);
    if (stubs_.size() == mostStubs)
      stubs_.pop_front();
    stubs_.push_back(std::move(stubs));
  }

private:
  static constexpr size_t mostStubs = 1024; // engines

  std::mutex mutex_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::deque<Stubs> stubs_;
};

Remains &remains() {
  static auto *const all = new Remains;
  return *all;
}

} // namespace

// Signal handlers of this thread find it to be the log's own for as long as others are kept out: no thread waits for itself.
void Engine::end(std::unique_ptr<Engine> engine, Leftovers leftovers) {
  engine->endings_.tearDownAll();
  std::vector<Mapping> stubs;
  bool isKept = leftovers == Leftovers::Kept;
  {
    QuietMoves::OthersKeptOut keepOut(engine->entryLog_->moves());
    isKept = isKept || engine->mayBeEntered();
    if (!isKept && engine->linking_.haveGivenAddresses())
      stubs = engine->entries_.leaveStubs(nothing());
    if (!isKept)
      engine->entryLog_->leaveOwner();
  }
  engine->detach();
  if (isKept)
    return remains().add(std::move(engine));
  std::unique_ptr<EntryLog> log = std::move(engine->entryLog_);
  engine.reset();
  if (!stubs.empty())
    remains().add({std::move(log), std::move(stubs)});
}

#include "stack/code_thread.h"

#include <algorithm>
#include <array>
#include <memory>

using namespace nomad;

namespace {

// Initial-exec: a signal handler must not have it allocated.
thread_local CodeThread *current __attribute__((tls_model("initial-exec"))) = nullptr;

std::uint32_t nextId() {
  static std::atomic<std::uint32_t> last{0};
  return ++last;
}

// Where all threads' code is, for signal handlers: each place is taken and given back by a base.
struct KnownCode {
  std::atomic<std::uint64_t> base{0}, limit{0};
};
std::array<KnownCode, 256> knownCode;

void addKnown(Range code) {
  for (KnownCode &known : knownCode) {
    std::uint64_t vacant = 0;
    if (!known.base.compare_exchange_strong(vacant, code.base.value()))
      continue;
    known.limit = code.limit.value();
    return;
  }
}

void removeKnown(Range code) {
  for (KnownCode &known : knownCode)
    if (known.base == code.base.value()) {
      known.limit = 0;
      known.base = 0;
      return;
    }
}

} // namespace

bool nomad::isCodeOfAny(Address address) {
  return std::any_of(knownCode.begin(), knownCode.end(),
                     [=](const KnownCode &known) { return known.base <= address.value() && address.value() < known.limit; });
}

CodeThread *nomad::codeThread() { return current; }

CodeRange::CodeRange(Range code, Range thunks, OwnerIndex &owners)
    : code_(code), thunks_(thunks), owners_(owners), id_(nextId()) {
  if (!current) {
    auto thread = std::make_unique<CodeThread>();
    thread->stack = threadActivations().stack;
    current = thread.release();
  }
  next_ = current->ranges;
  current->ranges = this;
  addKnown(code_);
}

CodeRange::~CodeRange() {
  removeKnown(code_);
  if (current->ranges == this)
    current->ranges = next_;
  else
    for (CodeRange *range = current->ranges; range; range = range->next_)
      if (range->next_ == this)
        range->next_ = next_;
  if (current->ranges)
    return;
  std::unique_ptr<CodeThread> last(current);
  current = nullptr;
}

bool CodeRange::isOnlyOne() const { return current->ranges == this && !next_; }

const CodeRange *CodeThread::rangeAt(Address address) const {
  for (const CodeRange *range = ranges; range; range = range->next())
    if (range->hasCode(address))
      return range;
  return nullptr;
}

bool CodeThread::isThunk(Address address) const {
  for (const CodeRange *range = ranges; range; range = range->next())
    if (range->hasThunk(address))
      return true;
  return false;
}

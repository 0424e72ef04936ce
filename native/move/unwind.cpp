#include "move/unwind.h"

#include "move/retired_frames.h"

#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace nomad;
using namespace llvm;

namespace {

struct RegistryLink {
  UnwindRegistry *registry;
  RegistryLink *next;
};

// Nothing is done with it when the thread ends, so a Jit may go later.
struct ThreadTables {
  std::uint32_t isStale = 0;
  std::uint32_t changing = 0;
  RegistryLink *registries = nullptr;
};

// Initial-exec: each call of a host function looks at it.
ThreadTables &threadTables() {
  static constinit thread_local ThreadTables tables __attribute__((tls_model("initial-exec")));
  return tables;
}

const void *framesOf(const CodeObject &object) {
  return (object.segment(SegmentKind::Code).base + object.unwindRecords).pointer<void>();
}

void takeBack(CodeObject &object) {
  if (!object.hasFramesRegistered)
    return;
  unregisterFrames(framesOf(object));
  object.hasFramesRegistered = false;
}

} // namespace

const std::uint32_t *nomad::staleUnwindTables() { return &threadTables().isStale; }

const std::uint32_t *nomad::changingUnwindTables() { return &threadTables().changing; }

ReasonToLook::ReasonToLook() : stale_(&threadTables().isStale) {}

UnwindRegistry::Changing::Changing() { __atomic_fetch_add(&threadTables().changing, 1, __ATOMIC_RELAXED); }
UnwindRegistry::Changing::~Changing() { __atomic_fetch_sub(&threadTables().changing, 1, __ATOMIC_RELAXED); }

void nomad::refreshUnwindTables() {
  ThreadTables &tables = threadTables();
  if (!tables.isStale) [[likely]]
    return;
  for (RegistryLink *link = tables.registries; link; link = link->next)
    link->registry->refresh();
  tables.isStale = 0;
}

UnwindRegistry::UnwindRegistry(Range code, OwnerIndex &owners)
    : code_(code), owners_(owners), windows_(code.size() / windowBytes + 1) {
  ThreadTables &tables = threadTables();
  tables.registries = new RegistryLink{this, tables.registries};
}

UnwindRegistry::~UnwindRegistry() {
  RegistryLink **link = &threadTables().registries;
  while (*link && (*link)->registry != this)
    link = &(*link)->next;
  if (RegistryLink *ours = *link) {
    *link = ours->next;
    delete ours;
  }
  if (lookup_ == FrameLookup::Ranges)
    owners_.every(code_, takeBack);
}

// ---- a change ----

void UnwindRegistry::changesRange(CodeObject &object) {
  takeBack(object);
  Range code = object.segment(SegmentKind::Code).range();
  Size first = windowOf(code.base), last = lookup_ == FrameLookup::BrokenRanges ? windowOf(code.limit.shifted(-1)) : first;
  reach_ = std::max(reach_, last - first);
  for (Size index = first; index <= last; ++index)
    if (!windows_[index].isStale)
      makeStale(index, object);
}

void UnwindRegistry::makeStale(Size index, const CodeObject &changing) {
  windows_[index].isStale = true;
  staleWindows_.push_back(index);
  threadTables().isStale = 1;
  if (lookup_ == FrameLookup::Ranges || !windows_[index].frames)
    return;
  if (hasOtherThreads_)
    publish(index, [&](const CodeObject &owner) { return !owner.isMoving && !owner.isEnding && &owner != &changing; });
  else
    windows_[index].frames->publish({});
}

// ---- complete again ----

void UnwindRegistry::publish(Size index, function_ref<bool(const CodeObject &)> isComplete) {
  sections_.clear();
  Range window = range(index);
  owners_.every({range(index - std::min(reach_, index)).base, window.limit}, [&](const CodeObject &owner) {
    if (owner.unwindRecords != noOffset && isComplete(owner))
      sections_.push_back(framesOf(owner));
  });
  std::unique_ptr<WindowFrames> &frames = windows_[index].frames;
  if (!frames && !sections_.empty())
    frames = WindowFrames::make(lookup_, window);
  if (frames)
    frames->publish(sections_);
}

void UnwindRegistry::registerObjects(Size index) {
  owners_.every(range(index), [](CodeObject &owner) {
    if (owner.unwindRecords == noOffset || owner.hasFramesRegistered)
      return;
    registerFrames(framesOf(owner));
    owner.hasFramesRegistered = true;
  });
}

void UnwindRegistry::refreshLocked() {
  for (Size index : staleWindows_) {
    windows_[index].isStale = false;
    if (lookup_ == FrameLookup::Ranges)
      registerObjects(index);
    else
      publish(index, [](const CodeObject &) { return true; });
  }
  staleWindows_.clear();
}

void UnwindRegistry::refresh() {
  Changing changing;
  std::lock_guard<std::mutex> lock(owners_.mutex());
  refreshLocked();
}

void UnwindRegistry::noteOtherThreads() {
  std::lock_guard<std::mutex> lock(owners_.mutex());
  hasOtherThreads_ = true;
  keepRetiredFrames();
  refreshLocked();
}

// ---- integrity ----

Error UnwindRegistry::checkIntegrity() const {
  BitVector isListed(static_cast<unsigned>(windows_.size()));
  for (Size index : staleWindows_) {
    if (index >= windows_.size() || isListed[static_cast<unsigned>(index)] || !windows_[index].isStale)
      return broken("unwind tables", 1, "window " + Twine(index) + " is not stale, or is listed twice");
    isListed.set(static_cast<unsigned>(index));
  }
  if (Size stale = static_cast<Size>(llvm::count_if(windows_, [](const Window &each) { return each.isStale; }));
      stale != staleWindows_.size())
    return broken("unwind tables", 1, Twine(stale) + " windows are stale, and " + Twine(staleWindows_.size()) + " are listed");
  if (!staleWindows_.empty() && threadTables().isStale == 0)
    return broken("unwind tables", 2, "windows are stale, and not listed as such");
  return Error::success();
}

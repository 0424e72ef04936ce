#include "move/unwind.h"

#include "base/assert.h"

extern "C" {
// libgcc's: an array of pointers to .eh_frame sections, with null at its end.
void __register_frame_table(void *tables);
void __deregister_frame(void *tables);
}

using namespace nomad;

UnwindRegistry::UnwindRegistry(Range code) : code_(code), windows_(code.size() / windowBytes + 1) {}

UnwindRegistry::~UnwindRegistry() {
  for (auto &window : windows_)
    if (window)
      unregister(*window);
}

UnwindRegistry::Window &UnwindRegistry::windowOf(const CodeObject &object) {
  auto index = static_cast<Size>(object.segment(SegmentKind::Code).base - code_.base) / windowBytes;
  if (!windows_[index])
    windows_[index] = std::make_unique<Window>();
  return *windows_[index];
}

void UnwindRegistry::unregister(Window &window) {
  if (!window.isRegistered)
    return;
  __deregister_frame(window.tables.data());
  window.tables.pop_back();
  window.isRegistered = false;
}

void UnwindRegistry::markStale(Window &window) {
  if (window.isStale)
    return;
  unregister(window);
  staleWindows_.push_back(&window);
  window.isStale = true;
  stale_ = 1;
}

void UnwindRegistry::removeTable(CodeObject &object) {
  Window &window = windowOf(object);
  markStale(window);
  NOMAD_ASSERT(window.owners[object.unwindSlot] == &object, "a placed code object with unwind records is in its window");
  window.tables[object.unwindSlot] = nullptr;
  ++window.left;
}

void UnwindRegistry::addTable(CodeObject &object) {
  constexpr Size fewLeft = 64;
  Window &window = windowOf(object);
  markStale(window);
  if (window.left > window.tables.size() / 2 + fewLeft)
    compact(window);
  object.unwindSlot = static_cast<std::uint32_t>(window.tables.size());
  window.tables.push_back((object.segment(SegmentKind::Code).base + object.unwind).pointer<void>());
  window.owners.push_back(&object);
}

void UnwindRegistry::compact(Window &window) {
  size_t kept = 0;
  for (size_t slot = 0; slot < window.tables.size(); ++slot) {
    if (!window.tables[slot])
      continue;
    window.tables[kept] = window.tables[slot];
    window.owners[kept] = window.owners[slot];
    window.owners[kept]->unwindSlot = static_cast<std::uint32_t>(kept);
    ++kept;
  }
  window.tables.resize(kept);
  window.owners.resize(kept);
  window.left = 0;
}

void UnwindRegistry::refresh() {
  for (Window *window : staleWindows_) {
    window->isStale = false;
    compact(*window);
    if (window->tables.empty())
      continue;
    window->tables.push_back(nullptr);
    window->isRegistered = true;
    __register_frame_table(window->tables.data());
  }
  staleWindows_.clear();
  stale_ = 0;
}

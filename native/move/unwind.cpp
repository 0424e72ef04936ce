#include "move/unwind.h"

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

void UnwindRegistry::unregister(Window &window) {
  if (window.tables.empty())
    return;
  __deregister_frame(window.tables.data());
  window.tables.clear();
}

UnwindRegistry::Window &UnwindRegistry::makeStale(Size index) {
  if (!windows_[index])
    windows_[index] = std::make_unique<Window>();
  Window &window = *windows_[index];
  unregister(window);
  window.isStale = true;
  staleWindows_.push_back(&window);
  stale_ = 1;
  return window;
}

bool UnwindRegistry::isIn(const Window &window, size_t slot) const {
  const CodeObject &owner = *window.owners[slot];
  return owner.unwindSlot == slot && windows_[indexOfWindow(owner)].get() == &window;
}

void UnwindRegistry::compact(Window &window) {
  size_t kept = 0;
  if (window.left < window.owners.size())
    for (size_t slot = 0; slot < window.owners.size(); ++slot)
      if (isIn(window, slot)) {
        window.owners[slot]->unwindSlot = static_cast<std::uint32_t>(kept);
        window.owners[kept++] = window.owners[slot];
      }
  window.owners.resize(kept);
  window.left = 0;
}

void UnwindRegistry::registerTables(Window &window) {
  if (window.owners.empty())
    return;
  for (const CodeObject *owner : window.owners)
    window.tables.push_back((owner->segment(SegmentKind::Code).base + owner->unwind).pointer<void>());
  window.tables.push_back(nullptr);
  __register_frame_table(window.tables.data());
}

void UnwindRegistry::refresh() {
  for (Window *window : staleWindows_) {
    window->isStale = false;
    compact(*window);
    registerTables(*window);
  }
  staleWindows_.clear();
  stale_ = 0;
}

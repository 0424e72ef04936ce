#include "move/unwind.h"

extern "C" {
// libgcc's: an array of pointers to .eh_frame sections, with null at its end.
void __register_frame_table(void *tables);
void __deregister_frame(void *tables);
}

using namespace nomad;

UnwindRegistry::UnwindRegistry(Range code, const OwnerIndex &owners)
    : code_(code), owners_(owners), windows_(code.size() / windowBytes + 1) {}

namespace {

void unregister(std::vector<const void *> &tables) {
  if (tables.empty())
    return;
  __deregister_frame(tables.data());
  tables.clear();
}

} // namespace

UnwindRegistry::~UnwindRegistry() {
  for (Window &window : windows_)
    unregister(window.tables);
}

void UnwindRegistry::makeStale(Size index) {
  unregister(windows_[index].tables);
  windows_[index].isStale = true;
  staleWindows_.push_back(index);
  stale_ = 1;
}

void UnwindRegistry::registerTables(Size index) {
  std::vector<const void *> &tables = windows_[index].tables;
  owners_.every(Range::at(code_.base + index * windowBytes, windowBytes), [&](const CodeObject &owner) {
    if (owner.unwind != noOffset)
      tables.push_back((owner.segment(SegmentKind::Code).base + owner.unwind).pointer<void>());
  });
  if (tables.empty())
    return;
  tables.push_back(nullptr);
  __register_frame_table(tables.data());
}

void UnwindRegistry::refresh() {
  for (Size index : staleWindows_) {
    windows_[index].isStale = false;
    registerTables(index);
  }
  staleWindows_.clear();
  stale_ = 0;
}

// Unwind records follow their code: C++ exceptions and debuggers find the frame descriptions (.eh_frame) of code where it is now.
//
// libgcc knows them as registered tables. One table per code object would make every throw a linear search, and registering it at
// each move a cost per object (DESIGN, trap 5). So the code range is cut into windows; all code objects that begin in one share
// a table. A move takes its windows' tables back before bytes change; the next entry into code registers them anew: `stale` says
// that there is something to do.
#pragma once

#include "link/code_object.h"

#include <memory>
#include <vector>

namespace nomad {

class UnwindRegistry {
public:
  explicit UnwindRegistry(Range code);
  ~UnwindRegistry();
  UnwindRegistry(const UnwindRegistry &) = delete;
  UnwindRegistry &operator=(const UnwindRegistry &) = delete;

  /// Before the bytes of a placed code object change or go.
  void remove(CodeObject &object) {
    if (object.unwind == noOffset)
      return;
    ++staleWindowOf(object).left;
    object.unwindSlot = noOffset;
  }
  /// After they are in place.
  void add(CodeObject &object) {
    if (object.unwind == noOffset)
      return;
    Window &window = staleWindowOf(object);
    if (window.left > window.owners.size() / 2 + fewLeft) [[unlikely]]
      compact(window);
    object.unwindSlot = static_cast<std::uint32_t>(window.owners.size());
    window.owners.push_back(&object);
  }
  /// Registers what has changed. Call before code runs, if stale.
  void refresh();

  /// Not 0: refresh before code runs. Call thunks read it.
  const std::uint32_t *stale() const { return &stale_; }

private:
  static constexpr Size windowBytes = 256 * 1024;

  static constexpr Size fewLeft = 64;

  struct Window {
    // Code objects that have come. One has left again unless its code is here and its `unwindSlot` is its index: leaving costs
    // no look at this list.
    std::vector<CodeObject *> owners;
    Size left = 0;
    std::vector<const void *> tables; // their .eh_frame sections while registered, then null; else empty
    bool isStale = false;
  };

  Size indexOfWindow(const CodeObject &object) const {
    return static_cast<Size>(object.segment(SegmentKind::Code).base - code_.base) / windowBytes;
  }
  /// The window that has the object's code, or had it; no longer registered.
  Window &staleWindowOf(const CodeObject &object) {
    Window *window = windows_[indexOfWindow(object)].get();
    return window && window->isStale ? *window : makeStale(indexOfWindow(object));
  }
  Window &makeStale(Size index);
  void unregister(Window &window);
  void registerTables(Window &window);
  bool isIn(const Window &window, size_t slot) const;
  void compact(Window &window);

  Range code_;
  std::vector<std::unique_ptr<Window>> windows_;
  std::vector<Window *> staleWindows_;
  std::uint32_t stale_ = 0;
};

} // namespace nomad

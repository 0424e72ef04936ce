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
    if (object.unwind != noOffset)
      removeTable(object);
  }
  /// After they are in place.
  void add(CodeObject &object) {
    if (object.unwind != noOffset)
      addTable(object);
  }
  /// Registers what has changed. Call before code runs, if stale.
  void refresh();

  /// Not 0: refresh before code runs. Call thunks read it.
  const std::uint32_t *stale() const { return &stale_; }

private:
  static constexpr Size windowBytes = 256 * 1024;

  struct Window {
    // .eh_frame sections. While registered the list ends in null and must not change; else a null is one that has left.
    std::vector<const void *> tables;
    std::vector<CodeObject *> owners; // of the table at the same index; CodeObject::unwindSlot is that index
    Size left = 0;
    bool isRegistered = false;
    bool isStale = false;
  };

  void removeTable(CodeObject &object);
  void addTable(CodeObject &object);
  Window &windowOf(const CodeObject &object);
  void unregister(Window &window);
  void markStale(Window &window);
  static void compact(Window &window);

  Range code_;
  std::vector<std::unique_ptr<Window>> windows_;
  std::vector<Window *> staleWindows_;
  std::uint32_t stale_ = 0;
};

} // namespace nomad

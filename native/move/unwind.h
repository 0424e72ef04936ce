// Unwind records follow their code: C++ exceptions and debuggers find the frame descriptions (.eh_frame) of code where it is now.
//
// libgcc knows them as registered tables. One table per code object would make every throw a linear search, and registering it at
// each move a cost per object (DESIGN, trap 5). So the code range is cut into windows; all code objects that begin in one share
// a table. A move takes its windows' tables back before bytes change; the next entry into code registers them anew: `stale` says
// that there is something to do.
#pragma once

#include "move/owner_index.h"

#include <vector>

namespace nomad {

class UnwindRegistry {
public:
  /// `owners` of `code`.
  UnwindRegistry(Range code, const OwnerIndex &owners);
  ~UnwindRegistry();
  UnwindRegistry(const UnwindRegistry &) = delete;
  UnwindRegistry &operator=(const UnwindRegistry &) = delete;

  /// Before the bytes of a placed code object change or go, and after it has come.
  void changes(const CodeObject &object) {
    if (object.unwind == noOffset)
      return;
    Size index = static_cast<Size>(object.segment(SegmentKind::Code).base - code_.base) / windowBytes;
    if (!windows_[index].isStale)
      makeStale(index);
  }
  /// Registers what has changed. Call before code runs, if stale.
  void refresh();

  /// Not 0: refresh before code runs. Call thunks read it.
  const std::uint32_t *stale() const { return &stale_; }

private:
  static constexpr Size windowBytes = 4 * OwnerIndex::windowBytes;

  struct Window {
    std::vector<const void *> tables; // .eh_frame sections while registered, then null; else empty
    bool isStale = false;
  };

  void makeStale(Size index);
  void registerTables(Size index);

  Range code_;
  const OwnerIndex &owners_;
  std::vector<Window> windows_;
  std::vector<Size> staleWindows_;
  std::uint32_t stale_ = 0;
};

} // namespace nomad

// What the walk of the stack knows of code: how frames are found, and which addresses in code are labels'. Kept of those code
// objects only that are not as most are.
#pragma once

#include "link/code_object.h"

#include "llvm/ADT/DenseMap.h"

#include <vector>

namespace nomad {

class CodeShapes {
public:
  /// In ascending order: where `object` may have labels' addresses that look like return addresses.
  void setJumpTargets(const CodeObject &object, std::vector<Offset> offsets) { jumpTargets_[&object] = std::move(offsets); }
  bool isJumpTarget(const CodeObject &object, Offset offset) const;
  /// Of one that has odd frames.
  void setFrames(const CodeObject &object, FrameMap frames) { frames_[&object] = std::move(frames); }
  FrameKind frameAt(const CodeObject &object, Offset code) const;
  void erase(const CodeObject &object);

private:
  llvm::DenseMap<const CodeObject *, std::vector<Offset>> jumpTargets_;
  llvm::DenseMap<const CodeObject *, FrameMap> frames_;
};

} // namespace nomad

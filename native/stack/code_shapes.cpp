#include "stack/code_shapes.h"

#include <algorithm>

using namespace nomad;

bool CodeShapes::isJumpTarget(const CodeObject &object, Offset offset) const {
  auto found = jumpTargets_.find(&object);
  return found != jumpTargets_.end() && std::binary_search(found->second.begin(), found->second.end(), offset);
}

FrameKind CodeShapes::frameAt(const CodeObject &object, Offset code) const { return frames_.find(&object)->second.at(code); }

void CodeShapes::erase(const CodeObject &object) {
  jumpTargets_.erase(&object);
  frames_.erase(&object);
}

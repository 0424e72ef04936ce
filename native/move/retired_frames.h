// Memory that libgcc may still read on another thread after its registration has been taken back. libgcc to 12 looks
// at a registration once more when it has let go of its mutex; 13 and newer search vectors without one. There is no sign when it
// is done, so the last few thousand are kept: a search would have to stand still while that many are taken back.
#pragma once

#include <memory>

namespace nomad {

/// Other threads search from now on.
void keepRetiredFrames();
/// Frees it, or keeps it for some time.
void retireFrames(std::shared_ptr<void> memory);

} // namespace nomad

#pragma once

#include <string>

namespace nomad {

/// What the linker has called the file that this code is in: another one for every change of it. Empty if it has no such name.
std::string buildId();

} // namespace nomad

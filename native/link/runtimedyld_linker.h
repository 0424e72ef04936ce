// The linker on ORC's RTDyldObjectLinkingLayer and RuntimeDyld.
#pragma once

#include "link/linker.h"

#include <memory>

namespace nomad {

std::unique_ptr<Linker> makeRuntimeDyldLinker(const LinkEnvironment &environment);

} // namespace nomad

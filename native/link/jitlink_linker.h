// The linker on ORC's ObjectLinkingLayer and JITLink.
#pragma once

#include "link/linker.h"

#include <memory>

namespace nomad {

std::unique_ptr<Linker> makeJITLinkLinker(const LinkEnvironment &environment);

} // namespace nomad

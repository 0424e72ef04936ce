// A mutator that knows IR: half of what it makes is a changed module, by LLVM's own FuzzMutate, and half is text in which tokens
// and lines have changed places.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nomad::fuzz {

std::size_t mutateIR(std::uint8_t *data, std::size_t size, std::size_t maxSize, unsigned seed);

} // namespace nomad::fuzz

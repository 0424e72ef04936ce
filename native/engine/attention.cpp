#include "engine/attention.h"

using namespace nomad;

std::optional<Attention::Refused> Attention::takeRefused() {
  if (refused_ == 0)
    return std::nullopt;
  word_ &= ~std::uint32_t{HasRefused};
  std::uint32_t refused = refused_.exchange(0);
  return Refused{(refused & ((1u << refusalShift) - 1)) - 1, static_cast<Refusal>(refused >> refusalShift)};
}

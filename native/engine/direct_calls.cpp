#include "engine/direct_calls.h"

#include <cstring>

using namespace nomad;

static bool isCall(const Relocation &relocation) {
  return relocation.target == TargetKind::Reference && relocation.formula == Formula::Relative32 &&
         segmentOfReference(relocation.reference) == SegmentKind::Code;
}

bool nomad::leadCalls(CodeObject &caller, const WriteScope &scope, LeadCall lead) {
  std::vector<Relocation> relocations = caller.relocations.decode();
  bool isChanged = false;
  for (Relocation &relocation : relocations) {
    if (!isCall(relocation))
      continue;
    Address place = caller.segment(relocation.segment).base + relocation.site;
    std::byte *at = caller.state == State::Placed ? scope.writable(place)
                                                  : caller.image->bytes[indexOf(relocation.segment)].get() + relocation.site;
    std::int32_t distance;
    std::memcpy(&distance, at, sizeof distance);
    Address next = place + sizeof distance;
    CallTarget now{indexOfReference(relocation.reference), next.shifted(distance)};
    auto target = lead({relocation.segment, relocation.site}, now);
    if (!target)
      continue;
    distance = static_cast<std::int32_t>(target->address - next);
    std::memcpy(at, &distance, sizeof distance);
    relocation.reference = referenceTo(target->reference, SegmentKind::Code);
    isChanged = true;
  }
  if (isChanged)
    caller.relocations = RelocationTable::encode(std::move(relocations));
  return isChanged;
}

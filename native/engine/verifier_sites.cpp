// Where the bytes of code lead.
#include "engine/verifier.h"

#include "base/error.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

// Programs write to data: what is there says nothing.
bool isOurs(const Relocation &relocation) { return relocation.segment != SegmentKind::Data; }

template <typename Word>
std::uint64_t read(const std::byte *at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(word));
}

const std::byte *bytesOf(const CodeObject &object, const Relocation &site) {
  const std::byte *image = object.image ? object.image->bytes[indexOf(site.segment)].get() : nullptr;
  return image ? image + site.site : (object.segment(site.segment).base + site.site).pointer();
}

std::string at(const Relocation &site) { return "at " + hex(site.site) + " of its " + segmentName(site.segment); }

} // namespace

// As its formula has it; distances are taken from the end of the site, as in calls.
Address Verifier::leadsTo(const CodeObject &object, const Relocation &site) const {
  const std::byte *bytes = bytesOf(object, site);
  bool isWide = widthOf(site.formula) == sizeof(std::uint64_t);
  std::uint64_t value = isWide ? read<std::int64_t>(bytes) : read<std::int32_t>(bytes);
  Address from = object.segment(site.segment).base + site.site + widthOf(site.formula);
  switch (site.formula) {
  case Formula::Relative32:
  case Formula::Relative64:
    return from + value;
  case Formula::Negative32:
  case Formula::Negative64:
    return from + (~value + 1);
  case Formula::Absolute64:
  case Formula::DataPointer:
    break;
  }
  return Address::of(value);
}

Error Verifier::verifySites(Handle handle) {
  const CodeObject &object = records_.objects[handle];
  if (isHost(handle))
    return Error::success();
  std::vector<Note> sites;
  for (const Relocation &relocation : object.relocations.decode()) {
    if (!isOurs(relocation))
      continue;
    bool isReference = relocation.target == TargetKind::Reference;
    CodePlace place = isReference ? object.links->references[indexOfReference(relocation.reference)] : CodePlace();
    if (!place.isCalled())
      sites.push_back({relocation, 0});
    else if (leadsTo(object, relocation) != records_.objects.codeOf(place))
      return broken("calls", 1,
                    "a call leads elsewhere than to its function in " + quoted(records_.objects[place.object]) + ", " +
                        at(relocation));
  }
  return object.state == State::Placed ? verifyNotes(handle, sites) : Error::success();
}

Address Verifier::baseOfTarget(const CodeObject &object, const Relocation &site) const {
  if (site.target == TargetKind::Fixed)
    return {};
  if (site.target != TargetKind::Reference)
    return object.segments[static_cast<size_t>(site.target)].base;
  const CodePlace &place = object.links->references[indexOfReference(site.reference)];
  return records_.objects[place.object].segment(segmentOfReference(site.reference)).base;
}

// What has been frozen has no relocations any more, but the notes of them.
Error Verifier::verifyNotes(Handle handle, ArrayRef<Note> sites) {
  const CodeObject &object = records_.objects[handle];
  auto now = [&](const Relocation &site) { return leadsTo(object, site).value() - baseOfTarget(object, site).value(); };
  std::vector<Note> &notes = notes_[handle];
  if (sites.size() > notes.size()) {
    notes = sites;
    for (Note &note : notes)
      note.leadsTo = now(note.site);
  }
  for (const Note &note : notes)
    if (now(note.site) != note.leadsTo)
      return broken("sites", 1, "it does not lead to where it led before, " + at(note.site));
  return Error::success();
}

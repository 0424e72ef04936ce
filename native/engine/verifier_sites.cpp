// Where the bytes of code lead.
#include "engine/verifier.h"

#include "base/error.h"

#include <cstring>

using namespace nomad;
using namespace llvm;

namespace {

// Programs write to data: what is there says nothing.
bool isOurs(const Relocation &relocation) { return relocation.segment != SegmentKind::Data; }

bool isCall(const Relocation &relocation) {
  return relocation.formula == Formula::Relative32 && segmentOfReference(relocation.reference) == SegmentKind::Code;
}

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

bool Verifier::isFunction(Handle handle, std::uint64_t offset) {
  auto [known, isNew] = functions_.try_emplace(handle);
  if (isNew)
    records_.objects[handle].symbols.everyFunction([&](const FunctionSymbol &function) {
      if (function.place.segment == SegmentKind::Code)
        known->second.insert(function.place.offset);
    });
  return known->second.contains(offset);
}

Error Verifier::verifySites(Handle handle) {
  const CodeObject &object = records_.objects[handle];
  if (isHost(handle))
    return Error::success();
  std::vector<Note> own;
  for (const Relocation &relocation : object.relocations.decode()) {
    if (!isOurs(relocation))
      continue;
    if (relocation.target != TargetKind::Reference)
      own.push_back({relocation, 0});
    else if (Error error = verifyFarSite(handle, relocation))
      return error;
  }
  if (Error error = verifyRedirectedCalls(handle))
    return error;
  return object.state == State::Placed ? verifyOwnSites(handle, own) : Error::success();
}

// A call leads to the start of a function; of a module that was split, to one without a name perhaps.
Error Verifier::verifyFarSite(Handle handle, const Relocation &site) {
  const CodeObject &object = records_.objects[handle];
  std::uint32_t index = indexOfReference(site.reference);
  Handle callee = object.links->references[index];
  if (callee == noHandle || (isCall(site) && !object.links->keepsAlive(index)))
    return broken("references", 3, "it calls what it does not keep alive, " + at(site));
  const Segment &target = records_.objects[callee].segment(segmentOfReference(site.reference));
  std::uint64_t offset = leadsTo(object, site).value() - target.base.value();
  if (isCall(site) && site.segment == SegmentKind::Code && offset >= target.size)
    return broken("calls", 1, "a call leads outside of " + quoted(records_.objects[callee]) + ", " + at(site));
  if (isCall(site) && isFunction(callee, offset))
    return Error::success();
  FarNote now{callee, offset};
  auto [known, isNew] = notes_[handle].far.try_emplace({site.segment, site.site}, now);
  if (known->second.object != callee)
    known->second = now;
  return known->second == now
             ? Error::success()
             : broken("calls", 2, "it does not lead to where it led in " + quoted(records_.objects[callee]) + ", " + at(site));
}

// What has been frozen has no relocations any more, but the notes of them.
Error Verifier::verifyOwnSites(Handle handle, ArrayRef<Note> sites) {
  const CodeObject &object = records_.objects[handle];
  auto now = [&](const Relocation &site) {
    Address base = site.target == TargetKind::Fixed ? Address() : object.segments[static_cast<size_t>(site.target)].base;
    return leadsTo(object, site).value() - base.value();
  };
  std::vector<Note> &notes = notes_[handle].own;
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

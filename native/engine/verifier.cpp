#include "engine/verifier.h"

#include "link/frame_check.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

Error Verifier::verify() {
  for (auto step : {&Verifier::verifyRecords, &Verifier::verifyHosts, &Verifier::verifyAccounting, &Verifier::verifyOwners})
    if (Error error = (this->*step)())
      return error;
  if (Error error = records_.objects.checkIntegrity())
    return error;
  CodeObjects &objects = records_.objects;
  bool isRegistered = *staleUnwindTables() == 0;
  for (Handle handle = 0; handle < objects.limit(); ++handle)
    if (objects[handle].state == State::Placed)
      if (Error error = checkFrameRecords(objects[handle], isRegistered))
        return brokenIn("code object " + quoted(objects[handle]), std::move(error));
  for (auto step : {&Verifier::verifyReferences, &Verifier::verifyDependents, &Verifier::verifyNames, &Verifier::verifyForwards,
                    &Verifier::verifyRedirected})
    for (Handle handle = 0; handle < objects.limit(); ++handle)
      if (objects.isLive(handle))
        if (Error error = (this->*step)(handle))
          return brokenIn("code object " + quoted(objects[handle]), std::move(error));
  if (Error error = verifyEntries())
    return error;
  for (Handle handle = 0; handle < objects.limit(); ++handle)
    if (objects.isLive(handle))
      if (Error error = verifySites(handle))
        return brokenIn("code object " + quoted(objects[handle]), std::move(error));
  return Error::success();
}

// Before anything else: what the rest reads is there. A name is believed only if the table of symbols is intact.
Error Verifier::verifyRecords() const {
  if (Error error = records_.objects.records().checkIntegrity())
    return error;
  for (Handle handle = 0; handle < records_.objects.limit(); ++handle) {
    const CodeObject &object = records_.objects[handle];
    if (object.state == State::Vacant)
      continue;
    Error error = object.checkIntegrity(records_.types);
    if (!error)
      continue;
    bool isNamed = !errorToBool(object.symbols.checkIntegrity(object.sizes(), records_.types));
    return brokenIn("code object " + (isNamed ? quoted(object) : "of handle " + std::to_string(handle)), std::move(error));
  }
  return Error::success();
}

Error Verifier::verifyHosts() const {
  std::vector<HostIndex> owned;
  for (auto &[handle, index] : records_.objects.hosts())
    owned.push_back(index);
  if (Error error = records_.hosts.checkIntegrity(owned))
    return error;
  for (auto &[handle, index] : records_.objects.hosts())
    if (!records_.objects.isLive(handle) ||
        records_.objects[handle].segment(SegmentKind::Code).base != records_.hosts.stub(index))
      return broken("host stubs", 3, "host stub " + Twine(index) + " is not that of its host function");
  return Error::success();
}

namespace {

bool startsBefore(const OccupancyMap::Owned &a, const OccupancyMap::Owned &b) { return a.range.base < b.range.base; }

} // namespace

Error Verifier::verifyAccounting() const {
  std::array<std::vector<OccupancyMap::Owned>, 3> owned;
  for (Handle handle = 0; handle < records_.objects.limit(); ++handle) {
    const CodeObject &object = records_.objects[handle];
    for (SegmentKind kind : segmentKinds)
      if (object.state == State::Placed && !isHost(handle) && object.segment(kind).exists())
        owned[indexOf(kind)].push_back({object.segment(kind).range(), object.symbols.objectName()});
  }
  records_.hosts.everyBlock([&](Range code, Range slots) {
    owned[indexOf(SegmentKind::Code)].push_back({code, "host stubs"});
    owned[indexOf(SegmentKind::Data)].push_back({slots, "slots of host stubs"});
  });
  for (SegmentKind kind : segmentKinds) {
    llvm::sort(owned[indexOf(kind)], startsBefore);
    if (Error error = records_.arena.occupancy(kind).checkIntegrity(owned[indexOf(kind)]))
      return brokenIn(segmentName(kind), std::move(error));
  }
  return Error::success();
}

// Data that stay have no owner, and host functions have a table of their own.
Error Verifier::verifyOwners() const {
  std::vector<CodeObject *> code, data;
  for (Handle handle = 0; handle < records_.objects.limit(); ++handle) {
    CodeObject &object = records_.objects[handle];
    if (object.state != State::Placed || isHost(handle))
      continue;
    if (object.segment(SegmentKind::Code).exists())
      code.push_back(&object);
    if (object.segment(SegmentKind::Data).exists() && object.moves == Moves::All)
      data.push_back(&object);
  }
  auto sortBy = [](std::vector<CodeObject *> &list, SegmentKind kind) {
    llvm::sort(list, [=](const CodeObject *a, const CodeObject *b) { return a->segment(kind).base < b->segment(kind).base; });
  };
  sortBy(code, SegmentKind::Code);
  sortBy(data, SegmentKind::Data);
  if (Error error = records_.mover.codeOwners().checkIntegrity(code))
    return error;
  if (Error error = records_.mover.dataOwners().checkIntegrity(data))
    return error;
  return records_.mover.unwind().checkIntegrity();
}

// ---- entry stubs ----

Error Verifier::verifyEntries() const {
  std::vector<EntryTable::Owned> owned;
  for (Handle handle = 0; handle < records_.objects.limit(); ++handle) {
    const CodeObject &object = records_.objects[handle];
    if (object.state == State::Vacant)
      continue;
    Address code = object.segment(SegmentKind::Code).base;
    for (const EntryUse &entry : object.entries)
      owned.push_back(
          {entry.index, object.state == State::Placed ? code + entry.offset : Address(), object.symbols.objectName()});
    for (const EntryUse &entry : records_.objects.forwardedStubs(handle))
      owned.push_back({entry.index, forwardedTo(handle, entry), object.symbols.objectName()});
  }
  return records_.entries.checkIntegrity(owned);
}

// A stub of the function that it has been redirected to: of several the one that it leads to.
Address Verifier::forwardedTo(Handle handle, const EntryUse &entry) const {
  auto to = records_.objects.forwardOf({handle, entry.offset});
  Address found;
  for (const EntryUse &other : to ? ArrayRef(records_.objects[to->object].entries) : ArrayRef<EntryUse>())
    if (Address stub = records_.entries.stub(other.index); other.offset == to->offset)
      if (found == Address() || (entry.index < records_.entries.capacity() && records_.entries.target(entry.index) == stub))
        found = stub;
  return found;
}

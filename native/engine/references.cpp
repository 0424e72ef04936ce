#include "engine/references.h"

#include "move/segments.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

std::uint32_t References::add(Handle from, const CodePlace &place) {
  noteDependent(from, place.object);
  return objects_[from].ensureLinks().add(place);
}

void References::hold(Handle from, Handle to) {
  if (!is_contained(objects_[from].ensureLinks().references, CodePlace{to}))
    add(from, {to});
}

void References::enter(Handle linked) {
  const auto &links = objects_[linked].links;
  if (!links)
    return;
  for (const CodePlace &reference : links->references)
    noteDependent(linked, reference.object);
  SmallDenseSet<Handle, 4> held;
  for (const CodePlace &reference : links->references)
    if (!reference.isCalled())
      held.insert(reference.object);
  const Image &image = *objects_[linked].image;
  for (const ImportSite &site : image.importSites)
    if (const ImportedName &import = image.imports[site.import]; !site.isCall && refersToFunction(import))
      if (Handle object = links->references[import.reference].object; held.insert(object).second)
        add(linked, {object});
}

void References::lead(const WriteScope &scope, Handle from, std::uint32_t index, const CodePlace &now,
                      const CodePlace &linkedPlace) {
  CodeObject &object = objects_[from];
  CodePlace before = object.links->references[index], linkedBefore = object.links->linkedPlace(index);
  object.links->set(index, now, linkedPlace);
  noteDependent(from, now.object);
  for (Handle other : {before.object, linkedBefore.object})
    if (other != now.object && other != linkedPlace.object && !object.links->mentions(other))
      dropDependent(from, other);
  if (now != before && now.isCalled())
    object.relocations.applyReferences(segmentsOf(object, scope), objects_.codeOf(now) - objects_.codeOf(before),
                                       [=](SegmentReference reference) { return indexOfReference(reference) == index; });
}

void References::leave(Handle handle) {
  const auto &links = objects_[handle].links;
  if (!links)
    return;
  for (Handle dependent : links->dependents)
    if (!objects_[dependent].isEnding)
      objects_[dependent].links->forget(handle);
  for (const std::vector<CodePlace> *places : {&links->references, &links->linkedTo})
    for (const CodePlace &place : *places)
      dropDependent(handle, place.object);
}

void References::noteDependent(Handle dependent, Handle object) {
  if (object != dependent)
    objects_[object].ensureLinks().dependents.insert(dependent);
}

void References::dropDependent(Handle dependent, Handle object) {
  if (object != dependent && objects_.isLive(object)) // else both end, and it has gone first
    objects_[object].links->dependents.erase(dependent);
}

// ---- what keeps what alive ----

SmallVector<Handle> References::dependentsOf(Handle handle) const {
  const auto &links = objects_[handle].links;
  return links ? SmallVector<Handle>(links->dependents.begin(), links->dependents.end()) : SmallVector<Handle>();
}

SmallVector<Handle> References::holdersOf(Handle handle) const {
  SmallVector<Handle> holders = dependentsOf(handle);
  erase_if(holders, [&](Handle dependent) { return !objects_[dependent].links->keepsAlive(handle); });
  return holders;
}

SmallVector<Handle> References::dependentsOutside(ArrayRef<Handle> ending) const {
  SmallDenseSet<Handle, 16> outside;
  for (Handle handle : ending)
    if (const auto &links = objects_[handle].links)
      for (Handle dependent : links->dependents)
        if (!objects_[dependent].isEnding)
          outside.insert(dependent);
  return {outside.begin(), outside.end()};
}

// Each that lives is looked through once, however many of `ending` it refers to.
void References::spareHeld(SmallVectorImpl<Handle> &ending) {
  SmallVector<Handle> living = dependentsOutside(ending);
  while (!living.empty()) {
    Handle handle = living.pop_back_val();
    if (const auto &links = objects_[handle].links)
      for (const CodePlace &reference : links->references)
        if (CodeObject &held = objects_[reference.object]; std::exchange(held.isEnding, false))
          living.push_back(reference.object);
  }
  erase_if(ending, [&](Handle handle) { return !objects_[handle].isEnding; });
}

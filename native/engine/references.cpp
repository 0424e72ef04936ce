#include "engine/references.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

std::uint32_t References::add(Handle from, Handle to) {
  std::uint32_t index = objects_[from].ensureLinks().referTo(to);
  objects_[to].ensureLinks().dependents[from] = index;
  return index;
}

void References::enter(Handle linked) {
  const auto &links = objects_[linked].links;
  if (!links)
    return;
  for (std::uint32_t i = 0; i < links->references.size(); ++i)
    objects_[links->references[i]].ensureLinks().dependents[linked] = i;
  const Image &image = *objects_[linked].image;
  for (const ImportSite &site : image.importSites)
    if (const ImportedName &import = image.imports[site.import]; !site.isCall && refersToFunction(import))
      links->hold(import.reference);
  if (image.isPart) // data of the others, whose sites are not among those
    links->held = SmallBitVector(static_cast<unsigned>(links->references.size()), true);
}

void References::leave(Handle handle) {
  if (!objects_[handle].links)
    return;
  endReferencesTo(handle);
  for (Handle reference : objects_[handle].links->references)
    if (objects_.isLive(reference)) // else it has ended
      objects_[reference].links->dependents.erase(handle);
}

// Those that are left among its dependents have a spent reference, or are freed together with it.
void References::endReferencesTo(Handle handle) {
  for (auto &[dependent, index] : objects_[handle].links->dependents) {
    objects_[dependent].links->forget(index);
    if (Redirections *redirections = objects_.findRedirections(dependent))
      std::erase_if(redirections->calls, [&](const auto &call) { return call.second.reference == index; });
    objects_.everyNameOf(dependent, [index = index](ImportedName &import) {
      if (import.linkedTo && import.linkedTo->reference == index)
        import.linkedTo.reset();
    });
  }
}

void References::settle(Handle handle) {
  CodeObject &object = objects_[handle];
  if (!object.links)
    return;
  Links &links = *object.links;
  SmallBitVector used(static_cast<unsigned>(links.references.size()));
  for (const Relocation &relocation : object.relocations.decode())
    if (relocation.target == TargetKind::Reference)
      used.set(indexOfReference(relocation.reference));
  objects_.everyNameOf(handle, [&](const ImportedName &import) {
    if (refersToFunction(import))
      used.set(import.reference);
  });
  for (const Forward &forward : objects_.redirectionsOf(handle).forwards)
    if (forward.object != handle)
      used.set(objects_[forward.object].links->dependents[handle]);
  for (std::uint32_t i = 0; i < links.references.size(); ++i)
    links.setSpent(i, !used[i]);
}

// ---- who keeps whom alive ----

SmallVector<Handle> References::dependentsOf(Handle handle) const {
  SmallVector<Handle> dependents;
  if (const auto &links = objects_[handle].links)
    for (auto &[dependent, index] : links->dependents)
      dependents.push_back(dependent);
  return dependents;
}

SmallVector<Handle> References::holdersOf(Handle handle) const {
  SmallVector<Handle> holders;
  if (const auto &links = objects_[handle].links)
    for (auto &[dependent, index] : links->dependents)
      if (objects_[dependent].links->keepsAlive(index))
        holders.push_back(dependent);
  return holders;
}

bool References::isHeldFromOutside(Handle handle) const {
  const auto &links = objects_[handle].links;
  return links && any_of(links->dependents, [&](auto &dependent) {
           const CodeObject &holder = objects_[dependent.first];
           return !holder.isEnding && holder.links->keepsAlive(dependent.second);
         });
}

void References::spareHeld(SmallVectorImpl<Handle> &ending) {
  SmallVector<Handle> spared;
  auto spare = [&](Handle handle) {
    objects_[handle].isEnding = false;
    spared.push_back(handle);
  };
  for (Handle handle : ending)
    if (isHeldFromOutside(handle))
      spare(handle);
  while (!spared.empty()) {
    Handle handle = spared.pop_back_val();
    const Links &links = *objects_[handle].links;
    for (std::uint32_t i = 0; i < links.references.size(); ++i)
      if (links.keepsAlive(i) && objects_[links.references[i]].isEnding)
        spare(links.references[i]);
  }
  erase_if(ending, [&](Handle handle) { return !objects_[handle].isEnding; });
}

// Who refers to whom, from both sides, and what redirections say of it.
#include "engine/verifier.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

Error Verifier::verifyReferences(Handle handle) const {
  const auto &links = records_.objects[handle].links;
  if (!links)
    return Error::success();
  for (auto [index, reference] : enumerate(links->references)) {
    if (reference == noHandle)
      continue;
    const CodeObject *target = records_.objects.isLive(reference) ? &records_.objects[reference] : nullptr;
    if (!target)
      return broken("references", 1, "it refers to handle " + Twine(reference) + ", which is nobody's");
    auto known = target->links ? target->links->dependents.find(handle) : decltype(target->links->dependents.find(handle))();
    if (!target->links || known == target->links->dependents.end() || known->second != index)
      return broken("references", 1, "what it refers to does not know of it: " + quoted(*target));
  }
  return Error::success();
}

Error Verifier::verifyDependents(Handle handle) const {
  const auto &links = records_.objects[handle].links;
  if (!links)
    return Error::success();
  for (auto [dependent, index] : links->dependents) {
    const CodeObject *other = records_.objects.isLive(dependent) ? &records_.objects[dependent] : nullptr;
    if (!other || !other->links || index >= other->links->references.size() || other->links->references[index] != handle)
      return broken("references", 2, "handle " + Twine(dependent) + " is said to refer to it, and does not");
  }
  return Error::success();
}

// The new function's code object lives as long as the forward.
Error Verifier::verifyForwards(Handle handle) const {
  DenseSet<Offset> seen;
  for (const Forward &forward : records_.objects.redirectionsOf(handle).forwards) {
    if (!records_.objects.isLive(forward.object) || !seen.insert(forward.from).second)
      return broken("redirected", 2, "a function is redirected twice, or to what does not live");
    const auto &links = records_.objects[forward.object].links;
    auto known = links ? links->dependents.find(handle) : SmallDenseMap<Handle, std::uint32_t, 4>::iterator();
    bool isKept = links && known != links->dependents.end() && records_.objects[handle].links->keepsAlive(known->second);
    if (forward.object != handle && !isKept)
      return broken("redirected", 2, "what a function is redirected to is not kept alive");
    bool isItself = forward.object == handle && forward.to == forward.from;
    if (isItself || records_.objects.forwardOf(forward.object, forward.to))
      return broken("redirected", 2, "a function is redirected to one that is redirected itself");
  }
  for (const EntryUse &entry : records_.objects.redirectionsOf(handle).entries)
    if (!records_.objects.forwardOf(handle, entry.offset))
      return broken("redirected", 3, "an entry stub is redirected, but not its function");
  return Error::success();
}

// A call that has been redirected leads where its function has been redirected to.
Error Verifier::verifyRedirectedCalls(Handle handle) const {
  const CodeObject &object = records_.objects[handle];
  if (records_.objects.redirectionsOf(handle).calls.empty())
    return Error::success();
  std::map<CallSite, std::uint32_t> calls;
  for (const Relocation &relocation : object.relocations.decode())
    if (relocation.target == TargetKind::Reference && relocation.formula == Formula::Relative32)
      calls[{relocation.segment, relocation.site}] = indexOfReference(relocation.reference);
  for (const auto &[site, linkedTo] : records_.objects.redirectionsOf(handle).calls) {
    auto call = calls.find(site);
    const std::vector<Handle> &references = object.links->references;
    if (call == calls.end() || linkedTo.reference >= references.size() || references[linkedTo.reference] == noHandle)
      return broken("redirected", 1, "a redirected call is no call, or was linked to nobody");
    const Forward *forward = records_.objects.forwardOf(references[linkedTo.reference], linkedTo.function);
    Handle callee = references[call->second];
    if (!forward || callee != forward->object ||
        leadsTo(object, {site.segment, Formula::Relative32, TargetKind::Reference, {}, site.offset}) !=
            records_.objects[callee].segment(SegmentKind::Code).base + forward->to)
      return broken("redirected", 1, "a redirected call leads elsewhere, at offset " + Twine(site.offset));
  }
  return Error::success();
}

// References from both sides, and what redirections say of them.
#include "engine/verifier.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

Error Verifier::verifyReferences(Handle handle) const {
  const auto &links = records_.objects[handle].links;
  if (!links)
    return Error::success();
  for (const CodePlace &place : concat<const CodePlace>(links->references, links->linkedTo)) {
    const CodeObject *target = records_.objects.isLive(place.object) ? &records_.objects[place.object] : nullptr;
    if (!target)
      return broken("references", 1, "it refers to handle " + Twine(place.object) + ", which is vacant");
    bool isKnown = target->links && target->links->dependents.contains(handle);
    if (place.object != handle && !isKnown)
      return broken("references", 1, "what it refers to does not know of it: " + quoted(*target));
    if (!place.isWhole() && place.function().offset >= target->segment(SegmentKind::Code).size)
      return broken("references", 1, "what it refers to is outside of " + quoted(*target));
  }
  return Error::success();
}

Error Verifier::verifyDependents(Handle handle) const {
  const auto &links = records_.objects[handle].links;
  if (!links)
    return Error::success();
  for (Handle dependent : links->dependents) {
    const CodeObject *other = records_.objects.isLive(dependent) ? &records_.objects[dependent] : nullptr;
    if (!other || !other->links || dependent == handle || !other->links->mentions(handle))
      return broken("references", 2, "handle " + Twine(dependent) + " is said to refer to it, and does not");
  }
  return Error::success();
}

// References of two names may be one only by mistake: one of the names may be a wrapper's.
Error Verifier::verifyNames(Handle handle) const {
  const auto &links = records_.objects[handle].links;
  auto check = [&](ArrayRef<ImportedName> names) {
    DenseSet<std::uint32_t> seen;
    return all_of(names, [&](const ImportedName &name) {
      return !refersToFunction(name) ||
             (links && name.reference < links->references.size() &&
              links->references[name.reference].isCalled() == (name.kind == ImportedName::Kind::Function) &&
              seen.insert(name.reference).second);
    });
  };
  const KeptObject *file = records_.objects.objectFile(handle);
  const std::vector<ImportedName> *kept = records_.objects.names(handle);
  if ((file && !check(file->imports)) || (kept && !check(*kept)))
    return broken("references", 3, "a name has no reference of its own");
  return Error::success();
}

// To what has been redirected itself: a chain.
Error Verifier::verifyForwards(Handle handle) const {
  for (auto &[from, to] : records_.objects.forwardsOf(handle))
    if (records_.objects.forwardOf(to))
      return broken("redirected", 2, "a function is redirected to one that is redirected itself");
  for (const EntryUse &entry : records_.objects.forwardedStubs(handle))
    if (!records_.objects.forwardOf({handle, entry.offset}))
      return broken("redirected", 3, "an entry stub is redirected, but not its function");
  return Error::success();
}

Error Verifier::verifyRedirected(Handle handle) const {
  const auto &links = records_.objects[handle].links;
  for (std::uint32_t i = 0; links && i < links->references.size(); ++i)
    if (links->isRedirected(i) && records_.objects.forwardOf(links->linkedPlace(i)) != links->references[i])
      return broken("redirected", 1, "reference " + Twine(i) + " is not what its function has been redirected to");
  return Error::success();
}

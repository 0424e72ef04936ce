#include "engine/code_objects.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

Handle CodeObjects::add(CodeObject linked) {
  Handle handle = records_.add(std::move(linked));
  CodeObject &object = records_[handle];
  if (object.storesLabels)
    immovable_.insert(handle);
  if (!object.image)
    return handle;
  Image &image = *object.image;
  if (image.kept)
    objectFiles_[handle] = std::move(image.kept);
  if (!image.returnsTwice.empty())
    returnsTwice_[handle] = image.returnsTwice;
  if (!image.jumpTargets.empty())
    shapes_.setJumpTargets(object, image.jumpTargets);
  if (object.hasOddFrames)
    shapes_.setFrames(object, image.frames);
  if (image.frames.switchesStacks)
    stackSwitchers_.insert(handle);
  return handle;
}

void CodeObjects::erase(Handle handle) {
  objectFiles_.erase(handle);
  names_.erase(handle);
  forwardedStubs_.erase(handle);
  hosts_.erase(handle);
  returnsTwice_.erase(handle);
  immovable_.erase(handle);
  stackSwitchers_.erase(handle);
  shapes_.erase(records_[handle]);
  records_.remove(handle);
}

// ---- what is kept of some ----

KeptObject *CodeObjects::objectFile(Handle handle) {
  auto found = objectFiles_.find(handle);
  return found == objectFiles_.end() ? nullptr : found->second.get();
}

Size CodeObjects::objectFileBytes() const {
  Size bytes = 0;
  for (auto &[handle, file] : objectFiles_)
    bytes += file->footprint();
  return bytes;
}

std::vector<ImportedName> *CodeObjects::names(Handle handle) {
  auto found = names_.find(handle);
  return found == names_.end() ? nullptr : &found->second;
}

std::optional<CodePlace> CodeObjects::forwardOf(const CodePlace &function) const {
  const auto &links = records_[function.object].links;
  return links ? links->forwardOf(function) : std::nullopt;
}

std::vector<std::pair<CodePlace, CodePlace>> CodeObjects::forwardsOf(Handle handle) const {
  std::vector<std::pair<CodePlace, CodePlace>> forwards;
  if (const auto &links = records_[handle].links)
    for (std::uint32_t i = 0; i < links->references.size(); ++i)
      if (links->isRedirected(i) && links->linkedPlace(i).object == handle)
        forwards.push_back({links->linkedPlace(i), links->references[i]});
  return forwards;
}

ArrayRef<EntryUse> CodeObjects::forwardedStubs(Handle handle) const {
  auto found = forwardedStubs_.find(handle);
  return found == forwardedStubs_.end() ? ArrayRef<EntryUse>() : ArrayRef(found->second);
}

std::optional<HostIndex> CodeObjects::hostIndex(Handle handle) const {
  auto found = hosts_.find(handle);
  return found == hosts_.end() ? std::nullopt : std::optional(found->second);
}

bool CodeObjects::mayReturnTwice(const CodeObject &object, Offset code) const {
  if (returnsTwice_.empty())
    return false;
  auto found = returnsTwice_.find(handleOf(object));
  return found != returnsTwice_.end() &&
         any_of(found->second, [&](CodeExtent extent) { return extent.base < code && code <= extent.limit; });
}

void CodeObjects::setReturnsTwice(const CodeObject &object, std::vector<CodeExtent> extents) {
  returnsTwice_[handleOf(object)] = std::move(extents);
}

Error CodeObjects::checkIntegrity() const {
  std::optional<std::pair<StringRef, Handle>> stale;
  auto check = [&](StringRef table, Handle handle) {
    if (!stale && !isLive(handle))
      stale = {table, handle};
  };
  auto checkKeys = [&](StringRef table, const auto &map) {
    for (const auto &entry : map)
      check(table, entry.first);
  };
  checkKeys("kept object files", objectFiles_);
  checkKeys("kept names", names_);
  checkKeys("functions that return twice", returnsTwice_);
  checkKeys("host functions", hosts_);
  checkKeys("redirected stubs", forwardedStubs_);
  for (Handle handle : immovable_)
    check("those that can't move", handle);
  for (Handle handle : stackSwitchers_)
    check("those that change stacks", handle);
  if (stale)
    return broken("side tables", 1, Twine(stale->first) + " mention handle " + Twine(stale->second) + ", which is vacant");
  return Error::success();
}

// The engine's end of code objects: one, or many that refer to each other.
#include "engine/engine.h"

#include "base/error.h"
#include "runtime/runtime_support.h"
#include "runtime/thread_locals.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

namespace {
// As the mover has it: how many code objects ahead the next record is fetched.
constexpr size_t readAhead = 8;
} // namespace

Error Engine::free(Handle handle) {
  if (Error error = checkFree(handle))
    return error;
  tearDown(objects_[handle]);
  discardAll(handle);
  return Error::success();
}

Error Engine::checkFree(Handle handle) {
  if (!objects_.isLive(handle))
    return fail(ErrorCode::State, "the code object is freed");
  if (Error error = checkIdle(handle))
    return error;
  const CodeObject &object = objects_[handle];
  SmallVector<Handle> holders = holdersOf(object);
  if (holders.empty())
    return Error::success();
  std::string who = quoted(objects_[holders.front()]);
  size_t others = holders.size() - 1;
  return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " is still referred to by " + who +
                                    (others > 0 ? " and " + std::to_string(others) + " more" : ""));
}

// Who refers to it for good.
SmallVector<Handle> Engine::holdersOf(const CodeObject &object) const {
  SmallVector<Handle> holders;
  if (object.links)
    for (auto &[dependent, index] : object.links->dependents)
      if (objects_[dependent].links->keepsAlive(index))
        holders.push_back(dependent);
  return holders;
}

Error Engine::checkIdle(Handle handle) {
  const CodeObject &object = objects_[handle];
  if (object.isEnding)
    return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " is being freed");
  stackRoots();
  if (object.stackUse.isUsed())
    return fail(ErrorCode::State,
                "code object " + Twine(quoted(object)) + " is still running, or the stack may have its address");
  return Error::success();
}

void Engine::freeMany(MutableArrayRef<Handle> handles) {
  SmallVector<Handle> ending = idleOf(handles);
  spareReferred(ending);
  for (Handle handle : ending)
    if (objects_[handle].teardown) {
      tearDown(objects_[handle]);
      if (host_)
        host_->drop(); // else the next destructor's host functions would not run
    }
  discardAll(ending);
  for (Handle &handle : handles)
    if (!objects_.isLive(handle))
      handle = noHandle;
}

void Engine::discardAll(ArrayRef<Handle> ending) {
  auto ahead = [&](size_t i, size_t by) -> const CodeObject & { return objects_[ending[std::min(ending.size() - 1, i + by)]]; };
  {
    UnwindRegistry::Change change(mover_.unwind());
    for (size_t i = 0; i < ending.size(); ++i) {
      ahead(i, readAhead).fetch();
      ahead(i, readAhead / 2).symbols.fetch(); // a vacant record keeps its names if they are few
      discard(ending[i]);
    }
  }
  afterChange();
}

SmallVector<Handle> Engine::idleOf(ArrayRef<Handle> handles) {
  stackRoots();
  SmallVector<Handle> idle;
  for (size_t i = 0; i < handles.size(); ++i) {
    if (Handle next = handles[std::min(handles.size() - 1, i + readAhead)]; next < objects_.limit())
      objects_[next].fetch();
    CodeObject *object = objects_.isLive(handles[i]) ? &objects_[handles[i]] : nullptr;
    if (!object || object->isEnding || object->stackUse.isUsed())
      continue;
    object->isEnding = true;
    idle.push_back(handles[i]);
  }
  return idle;
}

// What somebody outside refers to stays, and so does what that refers to.
void Engine::spareReferred(SmallVectorImpl<Handle> &ending) {
  auto isReferred = [&](Handle handle) {
    const auto &links = objects_[handle].links;
    return links && any_of(links->dependents, [&](auto &dependent) {
             const CodeObject &holder = objects_[dependent.first];
             return !holder.isEnding && holder.links->keepsAlive(dependent.second);
           });
  };
  SmallVector<Handle> spared;
  auto spare = [&](Handle handle) {
    objects_[handle].isEnding = false;
    spared.push_back(handle);
  };
  for (Handle handle : ending)
    if (isReferred(handle))
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

void Engine::tearDown(CodeObject &object) {
  if (!object.teardown)
    return;
  object.isEnding = true;
  if (object.state == State::Placed) {
    runExitHandlers(*object.teardown, [&](const Teardown::ExitHandler &handler) {
      callCode(Address::of(reinterpret_cast<const void *>(handler.function)), handler.argument);
    });
    if (object.teardown->finalizer != noOffset)
      callCode(object.segment(SegmentKind::Code).base + object.teardown->finalizer);
    for (Offset control : object.teardown->threadLocals)
      freeThreadLocal(object.segment(SegmentKind::Data).base + control);
  }
  retireTeardown(*object.teardown);
  object.teardown.reset();
}

void Engine::discard(Handle handle) {
  CodeObject &object = objects_[handle];
  if (object.links) {
    endReferencesTo(handle);
    for (Handle reference : object.links->references)
      if (objects_.isLive(reference)) // else it has ended
        objects_[reference].links->dependents.erase(handle);
  }
  if (object.isDefinition)
    std::erase_if(definitions_, [=](const auto &definition) { return definition.second.object == handle; });
  for (const EntryUse &entry : object.entries)
    entries_.giveBack(entry.index);
  if (auto redirections = redirections_.find(handle); redirections != redirections_.end()) {
    for (const EntryUse &entry : redirections->second.entries)
      entries_.giveBack(entry.index);
    redirections_.erase(redirections);
  }
  if (auto host = hostIndices_.find(handle); host != hostIndices_.end()) {
    hosts_.giveBack(host->second); // its stub stays where it is
    hostIndices_.erase(host);
  } else if (object.state == State::Placed) {
    mover_.vacate(object);
    if (poisonsVacated_)
      poison(object.segment(SegmentKind::Code).range());
  }
  returnsTwice_.erase(handle);
  immovable_.erase(handle);
  stackSwitchers_.erase(handle);
  kept_.erase(handle);
  names_.erase(handle);
  stackWalk_.setJumpTargets(object, {});
  stackWalk_.setFrames(object, {});
  verifier_.forget(handle);
  objects_.remove(handle);
}

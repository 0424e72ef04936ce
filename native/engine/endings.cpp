#include "engine/endings.h"

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

Error Endings::free(Handle handle) {
  if (Error error = check(handle))
    return error;
  tearDown(objects_[handle]);
  discardAll(handle);
  return Error::success();
}

Error Endings::check(Handle handle) {
  if (!objects_.isLive(handle))
    return fail(ErrorCode::State, "the code object is freed");
  if (Error error = checkIdle(handle))
    return error;
  return checkHolders(handle, {});
}

// `ending` ascend: they don't count.
Error Endings::checkHolders(Handle handle, ArrayRef<Handle> ending) {
  SmallVector<Handle> holders = references_.holdersOf(handle);
  erase_if(holders, [&](Handle holder) { return std::binary_search(ending.begin(), ending.end(), holder); });
  if (holders.empty())
    return Error::success();
  std::string first = quoted(objects_[holders.front()]);
  size_t others = holders.size() - 1;
  return fail(ErrorCode::State, "code object " + Twine(quoted(objects_[handle])) + " is still referred to by " + first +
                                    (others > 0 ? " and " + std::to_string(others) + " more" : ""));
}

Error Endings::checkIdle(Handle handle) {
  const CodeObject &object = objects_[handle];
  if (object.isEnding)
    return fail(ErrorCode::State, "code object " + Twine(quoted(object)) + " is being freed");
  roots_.look();
  if (object.stackUse.isUsed())
    return fail(ErrorCode::State,
                "code object " + Twine(quoted(object)) + " is still running, or the stack may have its address");
  return Error::success();
}

Error Endings::freeAll(ArrayRef<Handle> handles) {
  SmallVector<Handle> ending(handles);
  llvm::sort(ending);
  ending.erase(llvm::unique(ending), ending.end());
  for (Handle handle : ending) {
    if (!objects_.isLive(handle))
      return fail(ErrorCode::State, "the code object is freed");
    if (Error error = checkIdle(handle))
      return error;
    if (Error error = checkHolders(handle, ending))
      return error;
  }
  for (Handle handle : ending) // a destructor of one may try to free another
    objects_[handle].isEnding = true;
  for (Handle handle : ending)
    tearDown(objects_[handle]);
  discardAll(ending);
  return Error::success();
}

void Endings::freeMany(MutableArrayRef<Handle> handles) {
  SmallVector<Handle> ending = idleOf(handles);
  references_.spareHeld(ending);
  for (Handle handle : ending)
    if (objects_[handle].teardown) {
      tearDown(objects_[handle]);
      if (outside_.host)
        outside_.host->drop(); // else the next destructor's host functions would not run
    }
  discardAll(ending);
  for (Handle &handle : handles)
    if (!objects_.isLive(handle))
      handle = noHandle;
}

SmallVector<Handle> Endings::idleOf(ArrayRef<Handle> handles) {
  roots_.look();
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

void Endings::discardAll(ArrayRef<Handle> ending) {
  auto ahead = [&](size_t i, size_t by) -> const CodeObject & { return objects_[ending[std::min(ending.size() - 1, i + by)]]; };
  {
    UnwindRegistry::Change change(mover_.unwind());
    for (size_t i = 0; i < ending.size(); ++i) {
      ahead(i, readAhead).fetch();
      ahead(i, readAhead / 2).symbols.fetch(); // a vacant record keeps its names if they are few
      discard(ending[i]);
    }
  }
  refresh_.afterChange();
}

void Endings::discard(Handle handle) {
  CodeObject &object = objects_[handle];
  references_.leave(handle);
  names_.dropDefinitionsOf(handle);
  stubs_.giveBack(handle);
  if (!hosts_.giveBack(handle) && object.state == State::Placed)
    placements_.vacate(object);
  verifier_.forget(handle);
  objects_.erase(handle);
}

// ---- destructors and exit handlers ----

void Endings::tearDownAll() {
  if (std::exchange(haveAllEnded_, true))
    return;
  for (Handle handle = objects_.limit(); handle-- > 0;)
    if (objects_.isLive(handle))
      tearDown(objects_[handle]);
}

void Endings::tearDown(CodeObject &object) {
  if (!object.teardown)
    return;
  object.isEnding = true;
  if (object.state == State::Placed)
    runTeardown(object);
  retireTeardown(*object.teardown);
  object.teardown.reset();
}

void Endings::runTeardown(CodeObject &object) {
  runExitHandlers(*object.teardown, [&](const Teardown::ExitHandler &handler) {
    thunks_.call(Address::of(reinterpret_cast<const void *>(handler.function)), handler.argument);
  });
  if (object.teardown->finalizer != noOffset)
    thunks_.call(object.segment(SegmentKind::Code).base + object.teardown->finalizer);
  for (Offset control : object.teardown->threadLocals)
    freeThreadLocal(object.segment(SegmentKind::Data).base + control);
}

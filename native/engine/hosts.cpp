#include "engine/hosts.h"

#include "base/error.h"
#include "enter/host_thunk.h"

using namespace nomad;
using namespace llvm;

extern "C" [[gnu::visibility("hidden")]] void nomad_refuse_host_call(HostCalls *calls, HostIndex index) {
  calls->refuse(index, Refusal::OtherThread);
}

Expected<Address> Hosts::thunkOf(const Signature &signature) {
  HostThunkEnvironment environment{.argumentBlock = outside_.block,
                                   .exit = hostExit(),
                                   .refuse = Address::of(reinterpret_cast<const void *>(&nomad_refuse_host_call)),
                                   .context = Address::of(&calls_),
                                   .thread = Address::of(__builtin_thread_pointer())};
  return thunks_.ofHost(signature, [&] { return buildHostThunk(signature, environment); });
}

Error Hosts::addBlock() {
  ThunkSpace::Ends ends = space_.ends();
  auto code = space_.next(ends, SegmentKind::Code, HostTable::blockCodeBytes, HostTable::stubBytes);
  auto slots = space_.next(ends, SegmentKind::Data, HostTable::blockSlotBytes, HostTable::stubBytes);
  if (!code || !slots)
    return fail(ErrorCode::SpaceFull, "no room for more host functions");
  bool isClaimed = arena_.occupancy(SegmentKind::Code).claim(*code) && arena_.occupancy(SegmentKind::Data).claim(*slots);
  NOMAD_ASSERT(isClaimed, "only the engine places anything in the thunk space");
  table_.addBlock(arena_, code->base, slots->base);
  space_.take(ends);
  return Error::success();
}

Expected<Handle> Hosts::add(StringRef name, const Signature &signature) {
  auto thunk = thunkOf(signature);
  if (!thunk)
    return thunk.takeError();
  if (table_.isFull())
    if (Error error = addBlock())
      return error;
  HostIndex index = table_.take(*thunk);
  CodeObject object;
  object.segment(SegmentKind::Code) = {table_.stub(index), HostTable::stubBytes, 4};
  object.state = State::Placed;
  object.retain = Retain::None;
  Exports exports;
  exports.functions.push_back({name.str(), signature, {}});
  object.symbols = SymbolTable::encode(name, exports, types_,
                                       [](StringRef) { return SymbolExtent{{SegmentKind::Code, 0}, HostTable::stubBytes}; });
  Handle handle = objects_.add(std::move(object));
  objects_.setHost(handle, index);
  return handle;
}

Error Hosts::redirect(Handle handle, Address target) {
  auto index = objects_.hostIndex(handle);
  if (!index)
    return fail(ErrorCode::State, "the declaration is gone");
  table_.redirect(*index, target);
  return Error::success();
}

bool Hosts::giveBack(Handle handle) {
  auto index = objects_.hostIndex(handle);
  if (index)
    table_.giveBack(*index);
  return index.has_value();
}

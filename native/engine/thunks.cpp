#include "engine/thunks.h"

#include "base/error.h"
#include "enter/float_state.h"

using namespace nomad;
using namespace llvm;

namespace {

// Thunks are ours: what they call does not depend on what users' code may link to.
class WholeProcess : public SymbolResolver {
public:
  Expected<Resolution> resolve(StringRef name) override {
    auto address = process_.find(name);
    return address ? Resolution::fixed(*address) : Resolution();
  }

private:
  ProcessSymbols process_{ProcessSymbols::Policy::All};
};

} // namespace

Expected<Address> Thunks::of(SignatureIndex signature, ThunkStyle style) {
  auto known = thunks_.find({signature, style});
  if (known != thunks_.end())
    return known->second;
  const Signature &type = types_.signature(signature);
  auto made = make(buildThunk(type, style, entry_.nextThunk(), entry_.environment()), "call thunk " + type.text);
  if (!made)
    return made.takeError();
  entry_.addThunk(*made, style);
  thunks_[{signature, style}] = *made;
  return made;
}

Expected<Address> Thunks::ofHost(const Signature &signature, function_ref<ParsedModule()> build) {
  auto known = hostThunks_.find(signature.text);
  if (known != hostThunks_.end())
    return known->second;
  auto made = make(build(), "host thunk " + signature.text);
  if (made)
    hostThunks_[signature.text] = *made;
  return made;
}

// The type is C's void (*)(void *); code that takes no argument does not see it.
Expected<Address> Thunks::direct() {
  Signature signature;
  signature.text = "void (ptr)";
  signature.parameters = {{ValueKind::Ptr, Extension::None}};
  return of(types_.intern(signature), ThunkStyle::Direct);
}

// Code with constructors has made the thunk. Without one (no room is left) what ends can only be called as C would.
void Thunks::call(Address function, void *argument) {
  auto thunk = direct();
  if (thunk)
    thunk->pointer<void *(void *, void *)>()(function.pointer<void>(), argument), resetFloatState();
  else
    consumeError(thunk.takeError());
}

Expected<CodeObject> Thunks::link(ParsedModule module, const std::string &name) {
  LinkRequest request{name, Moves::All, Retain::None};
  auto object = compileModule(std::move(module), {request.name, OptLevel::O1, request.moves}, machines_);
  if (!object)
    return object.takeError();
  WholeProcess resolver;
  return linker_.link(std::move(*object), request, resolver);
}

Expected<Address> Thunks::make(ParsedModule module, const std::string &name) {
  auto thunk = link(std::move(module), name);
  if (!thunk)
    return thunk.takeError();
  SymbolPlace symbol = thunk->symbols.function(thunkName)->place;
  CodeObjectTable &records = objects_.records();
  Handle handle = records.add(std::move(*thunk));
  if (Error error = place(handle, name)) {
    records.remove(handle);
    return error;
  }
  refresh_.afterChange();
  return records[handle].addressOf(symbol);
}

Error Thunks::place(Handle handle, const std::string &name) {
  constexpr std::int32_t stays = MoveRequest::stays;
  MoveRequest request{handle, {stays, stays, stays}};
  ThunkSpace::Ends ends = space_.ends();
  for (SegmentKind kind : segmentKinds) {
    const Segment &segment = objects_[handle].segment(kind);
    if (!segment.exists())
      continue;
    auto range = space_.next(ends, kind, segment.size, segment.alignment());
    if (!range)
      return fail(ErrorCode::SpaceFull, "no room for another " + name);
    request.to[indexOf(kind)] = static_cast<std::int32_t>(range->base - space_.ranges()[indexOf(kind)].base);
  }
  if (auto report = mover_.place(request, space_.ranges()); !report)
    return report.takeError();
  space_.take(ends);
  return Error::success();
}

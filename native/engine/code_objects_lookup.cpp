// Code objects and their symbols, by what clients know of them.
#include "engine/code_objects.h"

#include "base/error.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

namespace {

Error exportsNo(const CodeObject &object, const char *what, StringRef name) {
  ErrorDetails details;
  details.symbols = {name.str()};
  return fail(ErrorCode::UnresolvedSymbol, "code object " + Twine(quoted(object)) + " exports no " + what + " '" + name + "'",
              std::move(details));
}

} // namespace

Expected<CodeObject &> CodeObjects::find(Handle handle) {
  if (!isLive(handle))
    return fail(ErrorCode::State, "the code object is freed");
  return records_[handle];
}

Expected<FunctionSymbol> CodeObjects::function(Handle handle, StringRef name) {
  auto object = find(handle);
  if (!object)
    return object.takeError();
  if (auto function = object->symbols.function(name))
    return *function;
  return exportsNo(*object, "function", name);
}

Expected<GlobalSymbol> CodeObjects::global(Handle handle, StringRef name) {
  auto object = find(handle);
  if (!object)
    return object.takeError();
  if (auto global = object->symbols.global(name))
    return *global;
  return exportsNo(*object, "global", name);
}

Expected<Address> CodeObjects::addressOf(Handle handle, const SymbolPlace &place) {
  auto object = find(handle);
  if (!object)
    return object.takeError();
  if (object->state != State::Placed)
    return fail(ErrorCode::State, "code object " + Twine(quoted(*object)) + " is not placed");
  return object->addressOf(place);
}

Expected<Address> CodeObjects::addressOf(Handle handle, StringRef symbol) {
  auto object = find(handle);
  if (!object)
    return object.takeError();
  if (auto function = object->symbols.function(symbol))
    return addressOf(handle, function->place);
  auto asGlobal = global(handle, symbol);
  if (!asGlobal)
    return asGlobal.takeError();
  return addressOf(handle, asGlobal->place);
}

std::vector<Handle> CodeObjects::in(const std::array<Range, 3> &ranges) const {
  std::vector<std::pair<Address, Handle>> found;
  for (Handle handle = 0; handle < limit(); ++handle) {
    const CodeObject &object = records_[handle];
    for (size_t kind = 0; object.state == State::Placed && kind < segmentKinds.size(); ++kind) {
      const Segment &segment = object.segments[kind];
      if (!segment.exists() || !ranges[kind].overlaps(segment.range()))
        continue;
      found.push_back({segment.base, handle});
      break;
    }
  }
  llvm::sort(found);
  std::vector<Handle> handles;
  for (auto &[address, handle] : found)
    handles.push_back(handle);
  return handles;
}

#include "engine/linking.h"

#include "base/error.h"
#include "enter/float_state.h"
#include "link/revive.h"
#include "runtime/runtime_support.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace nomad;
using namespace llvm;

Expected<Handle> Linking::link(ObjectFile object, const CompileOptions &options, StringRef cacheKey) {
  cacheStats_.misses += !cacheKey.empty();
  if (options.alike != noHandle && !objects_.names(options.alike))
    return fail(ErrorCode::State, options.name + ": what it was to be linked like is gone");
  Resolver resolver(names_, process_, attention_, options);
  if (Error error = resolver.checkTypes(object.exports.declared, options.name))
    return error;
  LinkRequest request{options.name, options.moves, options.retain, options.retain == Retain::Object || verifier_.isOn()};
  auto linked = linker_.link(std::move(object), request, resolver);
  if (!linked)
    return linked.takeError();
  Handle handle = add(std::move(*linked));
  connect(handle, options.alike);
  if (!cacheKey.empty())
    cache_->store(cacheKey, cantFail(saved_.encode(handle)));
  return handle;
}

Expected<Handle> Linking::compile(StringRef source, const CompileOptions &options) {
  CompileRequest request = names_.requestOf(options, Granularity::Module);
  std::string key = cache_ ? cache_->key(source, request, options) : "";
  if (cache_) {
    auto found = compileFromCache(key, options);
    if (!found)
      return found.takeError();
    if (*found)
      return **found;
  }
  auto object = compileSource(source, request, machines_);
  if (!object)
    return object.takeError();
  return link(std::move(*object), options, key);
}

Expected<std::vector<Handle>> Linking::compileParts(StringRef source, const CompileOptions &options) {
  if (options.retain == Retain::Object)
    return fail(ErrorCode::Unsupported,
                options.name + ": retain 'object' and granularity 'function': an object file is emitted whole");
  auto object = compileSource(source, names_.requestOf(options, Granularity::Function), machines_);
  if (!object)
    return object.takeError();
  Resolver resolver(names_, process_, attention_, options);
  if (Error error = resolver.checkTypes(object->exports.declared, options.name))
    return error;
  auto parts = linker_.linkParts(std::move(*object), {options.name, options.moves, options.retain}, resolver);
  if (!parts)
    return parts.takeError();
  std::vector<Handle> handles;
  for (CodeObject &part : *parts)
    handles.push_back(add(std::move(part)));
  for (Handle handle : handles)
    if (const auto &links = objects_[handle].links)
      for (CodePlace &reference : links->references)
        if (isPartHandle(reference.object))
          reference.object = handles[partOfHandle(reference.object)];
  for (Handle handle : handles)
    connect(handle, noHandle);
  return handles;
}

Expected<Handle> Linking::deserialize(ArrayRef<std::uint8_t> bytes, const CompileOptions &options) {
  auto saved = saved_.decode(bytes, options.name);
  if (!saved)
    return saved.takeError();
  auto handle = revive(*saved, options);
  if (!handle)
    return handle;
  Error error = saved_.checkObjectFile(*handle);
  if (!error)
    return handle;
  if (Error other = endings_.free(*handle))
    return joinErrors(std::move(error), std::move(other));
  return error;
}

Expected<Handle> Linking::revive(const SavedObject &saved, const CompileOptions &options) {
  CompileOptions actual = options;
  actual.moves = saved.moves;
  Resolver resolver(names_, process_, attention_, actual);
  if (Error error = resolver.checkTypes(saved.exports.declared, options.name))
    return error;
  LinkRequest request{options.name, saved.moves, saved.retain, saved.retain == Retain::Object || verifier_.isOn()};
  auto revived = nomad::revive(saved, request, environment_, resolver);
  if (!revived)
    return revived.takeError();
  Handle handle = add(std::move(*revived));
  connect(handle, options.alike);
  return handle;
}

// A file that can't be used, because it is damaged or because a name stands for something else now, counts as none.
Expected<std::optional<Handle>> Linking::compileFromCache(StringRef key, const CompileOptions &options) {
  std::unique_ptr<MemoryBuffer> file = cache_->find(key);
  if (!file)
    return std::nullopt;
  auto handle = deserialize(arrayRefFromStringRef(file->getBuffer()), options);
  if (handle) {
    ++cacheStats_.hits;
    return *handle;
  }
  Error error = handleErrors(handle.takeError(), [](std::unique_ptr<CodedError> coded) -> Error {
    bool isOfFile = coded->code == ErrorCode::Link || coded->code == ErrorCode::Unsupported;
    return isOfFile ? Error::success() : Error(std::move(coded));
  });
  if (error)
    return error;
  return std::nullopt;
}

Handle Linking::add(CodeObject linked) {
  Handle handle = objects_.add(std::move(linked));
  CodeObject &object = objects_[handle];
  const Image &image = *object.image;
  haveGivenAddresses_ = haveGivenAddresses_ || any_of(image.imports, [](const ImportedName &name) {
                          return name.kind == ImportedName::Kind::OwnEntry || name.kind == ImportedName::Kind::FunctionEntry;
                        });
  size_t code = indexOf(SegmentKind::Code);
  if (mayLoadFloatState({reinterpret_cast<const std::uint8_t *>(image.bytes[code].get()), image.storedBytes[code]}))
    attention_.watchFloats();
  if (object.teardown)
    announceTeardown(*object.teardown);
  return handle;
}

void Linking::connect(Handle linked, Handle alike) {
  references_.enter(linked);
  redirector_.follow(linked, alike);
}

std::vector<std::string> Linking::keepNames(Handle handle) {
  names_.keep(handle);
  return names_.keptNames(handle);
}

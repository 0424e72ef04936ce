#include "link/code_object.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;

static_assert(sizeof(CodeObject) == 128);

bool nomad::refersToFunction(const ImportedName &import) {
  return import.kind == ImportedName::Kind::Function || import.kind == ImportedName::Kind::FunctionEntry;
}

std::optional<CodePlace> Links::forwardOf(const CodePlace &function) const {
  for (std::uint32_t i = 0; i < linkedTo.size(); ++i)
    if (linkedTo[i] == function && references[i] != function)
      return references[i];
  return std::nullopt;
}

static bool hasPlaceIn(const std::vector<CodePlace> &places, Handle object) {
  return llvm::any_of(places, [=](const CodePlace &place) { return place.object == object; });
}

bool Links::keepsAlive(Handle object) const { return hasPlaceIn(references, object); }

bool Links::mentions(Handle object) const { return hasPlaceIn(references, object) || hasPlaceIn(linkedTo, object); }

std::uint32_t Links::add(const CodePlace &place) {
  references.push_back(place);
  if (!linkedTo.empty())
    linkedTo.push_back(place);
  return static_cast<std::uint32_t>(references.size() - 1);
}

void Links::set(std::uint32_t index, const CodePlace &now, const CodePlace &linkedPlace) {
  if (linkedTo.empty())
    linkedTo = references;
  references[index] = now;
  linkedTo[index] = linkedPlace;
  if (now == linkedPlace && linkedTo == references)
    linkedTo = {};
}

void Links::forget(Handle object) {
  for (std::uint32_t i = 0; i < linkedTo.size(); ++i)
    if (linkedTo[i].object == object)
      linkedTo[i] = references[i];
  if (linkedTo == references)
    linkedTo = {};
}

Links &CodeObject::ensureLinks() {
  if (!links)
    links = std::make_unique<Links>();
  return *links;
}

Teardown &CodeObject::ensureTeardown() {
  if (!teardown)
    teardown = std::make_unique<Teardown>();
  return *teardown;
}

Size KeptObject::footprint() const {
  Size size = sizeof *this + (bytes ? bytes->getBufferSize() : 0);
  for (const ImportedName &import : imports)
    size += sizeof import + import.name.size();
  return size;
}

Handle CodeObjectTable::add(CodeObject object) {
  Handle handle = limit_;
  if (!vacant_.empty()) {
    handle = vacant_.back();
    vacant_.pop_back();
  } else if (limit_++ % chunkLength == 0) {
    chunks_.push_back(std::make_unique<CodeObject[]>(chunkLength));
    firstOf_[chunks_.back().get()] = handle;
  }
  (*this)[handle] = std::move(object);
  return handle;
}

Handle CodeObjectTable::handleOf(const CodeObject &object) const {
  auto chunk = std::prev(firstOf_.upper_bound(&object));
  return chunk->second + static_cast<Handle>(&object - chunk->first);
}

// A collection frees thousands at once, so what is small goes when the record is used again.
void CodeObjectTable::remove(Handle handle) {
  CodeObject &object = (*this)[handle];
  object.state = State::Vacant;
  object.segments = {};
  object.relocations.clear();
  object.links.reset();
  object.image.reset();
  object.teardown.reset();
  if (object.symbols.bytes() > mostKept)
    object.symbols = SymbolTable();
  vacant_.push_back(handle);
}

void CodeObjectTable::trim() {
  for (Handle handle : vacant_)
    (*this)[handle] = CodeObject();
}

FrameKind FrameMap::at(Offset code) const {
  auto after = llvm::upper_bound(others, code, [](Offset offset, const Part &part) { return offset < part.extent.base; });
  if (after == others.begin())
    return usual;
  const Part &part = *std::prev(after);
  return code < part.extent.limit ? part.kind : usual;
}

std::vector<CodeExtent> nomad::returnsTwice(const std::vector<ReturnsTwiceExtent> &extents, bool setjmpStaysValid) {
  std::vector<CodeExtent> result;
  for (auto &[extent, bySetjmpOnly] : extents)
    if (!(bySetjmpOnly && setjmpStaysValid))
      result.push_back(extent);
  return result;
}

std::string nomad::quoted(const CodeObject &object) { return "'" + object.symbols.objectName().str() + "'"; }

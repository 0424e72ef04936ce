#include "link/code_object.h"

using namespace nomad;

static_assert(sizeof(CodeObject) == 128);

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

void CodeObjectTable::remove(Handle handle) {
  (*this)[handle] = CodeObject();
  vacant_.push_back(handle);
}

std::string nomad::quoted(const CodeObject &object) { return "'" + object.symbols.objectName().str() + "'"; }

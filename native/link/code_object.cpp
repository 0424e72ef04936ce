#include "link/code_object.h"

using namespace nomad;

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
  if (vacant_.empty()) {
    objects_.push_back(std::move(object));
    return limit() - 1;
  }
  Handle handle = vacant_.back();
  vacant_.pop_back();
  objects_[handle] = std::move(object);
  return handle;
}

void CodeObjectTable::remove(Handle handle) {
  objects_[handle] = CodeObject();
  vacant_.push_back(handle);
}

std::string nomad::quoted(const CodeObject &object) { return "'" + object.symbols.objectName().str() + "'"; }

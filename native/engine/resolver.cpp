#include "engine/resolver.h"

#include "base/error.h"
#include "compile/exports.h"
#include "enter/float_state.h"
#include "memory/write_scope.h"
#include "runtime/setjmp.h"

using namespace nomad;
using namespace llvm;

Engine::Resolver::Resolver(Engine &engine, const CompileOptions &options, const ProcessSymbols &process)
    : engine_(engine), process_(process), moves_(options.moves), alike_(options.alike) {
  for (const Import &import : options.imports)
    imports_[import.name] = &import;
}

Expected<Resolution> Engine::Resolver::resolve(StringRef name) {
  if (const ImportedName *known = engine_.keptName(alike_, name))
    return engine_.resolveAlike(alike_, *known);
  if (const Import *import = given(name))
    return engine_.resolveImport(*import);
  auto address = process_.find(name);
  if (!address)
    return Resolution();
  if (isFloatControl(name))
    engine_.attention_ |= Floats;
  return isSetjmp(name) ? resolveSetjmp(name, *address) : Resolution::fixed(*address);
}

Error Engine::Resolver::checkTypes(ArrayRef<DeclaredFunction> declared, const std::string &objectName) const {
  for (const auto &[name, type] : declared) {
    const Import *import = engine_.keptName(alike_, name) ? nullptr : given(name);
    std::string givenType = import ? engine_.typeOf(*import) : "";
    if (!givenType.empty() && givenType != type)
      return fail(ErrorCode::Signature, objectName + ": '" + name + "' is declared as " + type +
                                            ", but the function given for it is of type " + givenType);
  }
  return Error::success();
}

const Import *Engine::Resolver::given(StringRef name) const {
  if (auto import = imports_.find(name); import != imports_.end())
    return import->second;
  auto definition = engine_.definitions_.find(name);
  return definition == engine_.definitions_.end() ? nullptr : &definition->second;
}

// The buffer has registers, too, and with Moves::All one of them may be the address of something that moves. And a shadow stack
// allows nobody to exchange return addresses.
Resolution Engine::Resolver::resolveSetjmp(StringRef name, Address ofProcess) const {
  auto ours = moves_ == Moves::Code && !hasShadowStack() ? findSetjmp(name) : std::nullopt;
  Resolution resolution = Resolution::fixed(ours.value_or(ofProcess));
  resolution.staysValid = ours.has_value();
  return resolution;
}

#include "engine/resolver.h"

#include "base/error.h"
#include "compile/exports.h"
#include "enter/float_state.h"
#include "memory/write_scope.h"
#include "runtime/setjmp.h"

using namespace nomad;
using namespace llvm;

Resolver::Resolver(Names &names, const ProcessSymbols &process, Attention &attention, const CompileOptions &options)
    : names_(names), process_(process), attention_(attention), moves_(options.moves), alike_(options.alike) {
  for (const Import &import : options.imports)
    imports_[import.name] = &import;
}

Expected<Resolution> Resolver::resolve(StringRef name) {
  if (const ImportedName *known = names_.kept(alike_, name))
    return names_.resolveAlike(alike_, *known);
  if (const Import *import = given(name))
    return names_.resolve(*import);
  auto address = process_.find(name);
  if (!address)
    return Resolution();
  if (isFloatControl(name))
    attention_.watchFloats();
  return isSetjmp(name) ? resolveSetjmp(name, *address) : Resolution::fixed(*address);
}

Error Resolver::checkTypes(ArrayRef<DeclaredFunction> declared, const std::string &objectName) const {
  for (const auto &[name, type] : declared) {
    const Import *import = names_.kept(alike_, name) ? nullptr : given(name);
    std::string givenType = import ? names_.typeOf(*import) : "";
    if (!givenType.empty() && givenType != type)
      return fail(ErrorCode::Signature, objectName + ": '" + name + "' is declared as " + type +
                                            ", but the function given for it is of type " + givenType);
  }
  return Error::success();
}

const Import *Resolver::given(StringRef name) const {
  if (auto import = imports_.find(name); import != imports_.end())
    return import->second;
  return names_.definition(name);
}

// The buffer has registers, too, and with Moves::All one of them may be the address of something that moves. And a shadow stack
// does not allow return addresses to be exchanged.
Resolution Resolver::resolveSetjmp(StringRef name, Address ofProcess) const {
  auto ours = moves_ == Moves::Code && !hasShadowStack() ? findSetjmp(name) : std::nullopt;
  Resolution resolution = Resolution::fixed(ours.value_or(ofProcess));
  resolution.staysValid = ours.has_value();
  return resolution;
}

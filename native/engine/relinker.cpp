#include "engine/relinker.h"

using namespace nomad;
using namespace llvm;

Expected<Emission> Relinker::emit(const CodeObject &object, const SegmentBases &bases) {
  KeptObject &kept = *objects_.objectFile(objects_.handleOf(object));
  for (ImportedName &import : kept.imports)
    if (import.kind == ImportedName::Kind::Function)
      import.code = objects_.codeOf(object.links->references[import.reference]);
  LinkRequest request{object.symbols.objectName().str(), object.moves};
  return linker_.emit(kept, request, bases);
}

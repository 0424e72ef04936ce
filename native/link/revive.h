// A saved code object -> an unplaced one, as a link would have made it: at nominal addresses, its imports found by name again.
#pragma once

#include "link/linker.h"
#include "link/saved_object.h"

namespace nomad {

/// Of `request`, name and `keepsObject`. Errors: Link (its relocations are damaged), UnresolvedSymbol (all names at once),
/// Unsupported (a call can't reach what a name stands for now), SpaceFull; then nothing is kept.
llvm::Expected<CodeObject> revive(const SavedObject &saved, const LinkRequest &request, const LinkEnvironment &environment,
                                  SymbolResolver &resolver);

} // namespace nomad

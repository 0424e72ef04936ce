// Integrity checks. Each structure has one, `checkIntegrity`, whose invariants are numbered in its comment and in what it
// reports. It re-derives them from the bytes that there are and trusts no count; what it is about to read it has checked before.
#pragma once

#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"

namespace nomad {

/// Of the tests: breaks records on purpose.
struct Damage;

/// "damage: `what` [`structure` `invariant`]", an error with ErrorCode::State: a mistake of ours, or memory that a program has
/// written over.
llvm::Error broken(const char *structure, int invariant, const llvm::Twine &what);

/// "damage: `whose`: ...": the same for a part of something that has a name.
llvm::Error brokenIn(const llvm::Twine &whose, llvm::Error error);

} // namespace nomad

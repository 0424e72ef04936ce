// Verifies moves: a code object that has moved has the bytes that a fresh link at its new place gives. In data, a byte that was
// the one of a fresh link at the old place is now the one of a fresh link at the new place; every other byte was written by the
// program: it is the same as before, unless it is part of a pointer into the code object.
#pragma once

#include "engine/relinker.h"

namespace nomad {

/// A code object before a move that is to be verified.
struct BeforeMove {
  Handle object;
  Emission emission; // a fresh link where it was
  std::array<Segment, 3> segments;
  std::vector<std::byte> data;
};

class MoveVerifier {
public:
  enum class Mode { Off, On };

  MoveVerifier(Mode mode, CodeObjects &objects, Relinker &relinker) : mode_(mode), objects_(objects), relinker_(relinker) {}

  bool isOn() const { return mode_ == Mode::On; }
  /// Nothing, if it is off. Errors: Link.
  llvm::Expected<std::vector<BeforeMove>> before(llvm::ArrayRef<MoveRequest> requests);
  /// Errors: State if a move was wrong; Link.
  llvm::Error verify(llvm::ArrayRef<BeforeMove> moves);

private:
  llvm::Error verifyMove(const BeforeMove &before);

  Mode mode_;
  CodeObjects &objects_;
  Relinker &relinker_;
};

} // namespace nomad

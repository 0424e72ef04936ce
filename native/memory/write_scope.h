// The only way to write the bytes of code, constants and entry stubs (I5): an address where they run -> the same byte in the
// writable view. Ending the scope makes the core forget what it has decoded of the old bytes, once for all writes in it.
#pragma once

#include "memory/arena.h"

namespace nomad {

/// Does the kernel keep return addresses on a shadow stack for this thread? Then the ones on the stack can't be rewritten.
bool hasShadowStack();

class WriteScope {
public:
  explicit WriteScope(const Arena &arena)
      : viewDelta_(arena.writableViewDelta()), private_(arena.segments(SegmentKind::Data).base) {}
  ~WriteScope();
  WriteScope(const WriteScope &) = delete;
  WriteScope &operator=(const WriteScope &) = delete;

  /// Where to write what lies at `address`; data are written where they are.
  std::byte *writable(Address address) const { return (address < private_ ? address.shifted(viewDelta_) : address).pointer(); }

private:
  Delta viewDelta_;
  Address private_; // from here on the arena is private memory
};

} // namespace nomad

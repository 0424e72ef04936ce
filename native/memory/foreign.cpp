#include "memory/foreign.h"

#include <cerrno>
#include <sys/uio.h>
#include <unistd.h>

using namespace nomad;

Reading nomad::readForeign(Range range, void *to) {
  iovec here{to, range.size()}, there{range.base.pointer<void>(), range.size()};
  ssize_t read = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
  if (read < 0)
    return errno == EFAULT || errno == ESRCH ? Reading::Gone : Reading::Refused;
  return static_cast<Size>(read) == range.size() ? Reading::Done : Reading::Gone;
}

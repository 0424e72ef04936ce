// How long this process may take, and how much memory.
#pragma once

#include "compile/helper_protocol.h"

#include <cstddef>
#include <sys/resource.h>

namespace nomad::helper {

/// Lowers a limit of the process: its parent may have set a lower one.
void limit(__rlimit_resource_t resource, rlim_t wanted);

/// For a process that reads so many bytes of bitcode and then ends.
void limitReading(std::size_t bytes);
/// Takes back what times limitReading set.
void stopTimers();

/// In bytes: all of the process's address space, and what of it is in memory.
struct Memory {
  std::size_t all = 0;
  std::size_t resident = 0;
};
Memory memoryOfProcess();

/// While it lives, this process can't take longer, or more memory, than a request allows.
class RequestLimits {
public:
  explicit RequestLimits(const RequestHeader &request);
  ~RequestLimits();
  RequestLimits(const RequestLimits &) = delete;
  RequestLimits &operator=(const RequestLimits &) = delete;

private:
  rlimit before_ = {};
};

} // namespace nomad::helper

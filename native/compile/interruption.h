// Tells threads that wait for a helper process to wait no longer.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

namespace nomad {

class Interruption {
public:
  Interruption() : file_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Interruption() {
    if (file_ >= 0)
      close(file_);
  }
  Interruption(const Interruption &) = delete;
  Interruption &operator=(const Interruption &) = delete;

  void interrupt() { (void)eventfd_write(file_, 1); }
  /// Readable once it is interrupted; -1 if the process has no more files, and then it can't be.
  int file() const { return file_; }

private:
  const int file_;
};

} // namespace nomad

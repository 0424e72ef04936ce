#include "memory/write_scope.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

void serialiseByCpuid() {
  unsigned a, b, c, d;
  __cpuid(0, a, b, c, d);
  asm volatile("" ::: "memory");
}

// IRET to the next instruction serialises like CPUID, and does not leave a virtual machine as CPUID does.
void serialiseByIret() {
  unsigned long scratch;
  asm volatile("lea -128(%%rsp), %%rsp\n\t" // the red zone
               "mov %%ss, %0\n\t"
               "push %0\n\t"
               "lea 136(%%rsp), %0\n\t"
               "push %0\n\t"
               "pushfq\n\t"
               "mov %%cs, %0\n\t"
               "push %0\n\t"
               "lea 1f(%%rip), %0\n\t"
               "push %0\n\t"
               "iretq\n"
               "1:"
               : "=&r"(scratch)
               :
               : "cc", "memory");
}

} // namespace

bool nomad::hasShadowStack() {
  static const bool has = [] {
    constexpr int archShstkStatus = 0x5005;
    unsigned long features = 0;
    return syscall(SYS_arch_prctl, archShstkStatus, &features) == 0 && (features & 1) != 0;
  }();
  return has;
}

// Intel SDM volume 3, 10.1.3 and AMD APM volume 2, 7.6.1: bytes written through one linear address may run through another only
// after a serialising instruction. Other cores need nothing: they never run this Jit's code (I15), and a thread that comes to
// another core came through the kernel's IRET.
// With a user shadow stack, IRET would look for its return there.
nomad::WriteScope::~WriteScope() {
  if (hasShadowStack())
    serialiseByCpuid();
  else
    serialiseByIret();
}

#include "runtime/setjmp.h"

#include "fault/trap.h"
#include "memory/foreign.h"
#include "runtime/js_frames.h"
#include "runtime/noted_call.h"
#include "stack/clear_stack.h"
#include "stack/other_stacks.h"

#include "llvm/ADT/STLExtras.h"

#include <bit>
#include <csetjmp>
#include <dlfcn.h>
#include <vector>

using namespace nomad;
using namespace llvm;

namespace {

std::vector<Landings *> &threadLandings() {
  static thread_local std::vector<Landings *> landings;
  return landings;
}

} // namespace

bool nomad::refuseAt(Address returnsTo, StringRef what) {
  return any_of(threadLandings(), [&](Landings *each) { return each->refuse(returnsTo, what); });
}

Landings::Landings() { threadLandings().push_back(this); }
Landings::~Landings() { llvm::erase(threadLandings(), this); }

extern "C" {

// What setjmp saves beside the stack and frame pointers: rbx, r12, r13, r14, r15.
__attribute__((visibility("hidden"))) std::uint64_t nomad_landing(std::uint64_t returnsTo, const std::uint64_t *registers,
                                                                  const void *buffer) {
  leaveIfNowhere(buffer, "setjmp");
  std::optional<Address> landing;
  for (Landings *each : threadLandings())
    if (!landing)
      landing = each->landing(Address::of(returnsTo), ArrayRef(registers, 5));
  clearStackBelow(shortReach);
  return landing ? landing->value() : returnsTo;
}

// Where the process's functions are.
__attribute__((visibility("hidden"))) void *nomad_glibc_setjmp = dlsym(RTLD_DEFAULT, "setjmp");
__attribute__((visibility("hidden"))) void *nomad_glibc__setjmp = dlsym(RTLD_DEFAULT, "_setjmp");
__attribute__((visibility("hidden"))) void *nomad_glibc___sigsetjmp = dlsym(RTLD_DEFAULT, "__sigsetjmp");

void nomad_setjmp();
void nomad__setjmp();
void nomad___sigsetjmp();
}

// The parameters and the registers that code may have kept something in are saved (and the stack is aligned: 8 words and the
// return address), the return address is exchanged, and glibc's setjmp goes on as if code had called it.
#define NOMAD_SETJMP(name)                                                                                                       \
  asm(".text\n"                                                                                                                  \
      ".hidden nomad_" #name "\n"                                                                                                \
      ".globl nomad_" #name "\n"                                                                                                 \
      ".type nomad_" #name ", @function\n"                                                                                       \
      "nomad_" #name ":\n"                                                                                                       \
      "  .cfi_startproc\n"                                                                                                       \
      "  .irp register, rdi, rsi, r15, r14, r13, r12, rbx\n"                                                                     \
      "  pushq %\\register\n"                                                                                                    \
      "  .cfi_adjust_cfa_offset 8\n"                                                                                             \
      "  .endr\n"                                                                                                                \
      "  movq %rdi, %rdx\n"                                                                                                      \
      "  movq 56(%rsp), %rdi\n"                                                                                                  \
      "  movq %rsp, %rsi\n"                                                                                                      \
      "  call nomad_landing\n"                                                                                                   \
      "  movq %rax, 56(%rsp)\n"                                                                                                  \
      "  addq $40, %rsp\n"                                                                                                       \
      "  .cfi_adjust_cfa_offset -40\n"                                                                                           \
      "  popq %rsi\n"                                                                                                            \
      "  .cfi_adjust_cfa_offset -8\n"                                                                                            \
      "  popq %rdi\n"                                                                                                            \
      "  .cfi_adjust_cfa_offset -8\n"                                                                                            \
      "  jmpq *nomad_glibc_" #name "(%rip)\n"                                                                                    \
      "  .cfi_endproc\n"                                                                                                         \
      ".size nomad_" #name ", .-nomad_" #name "\n")

// ---- longjmp ----

namespace {

// glibc mangles it: xor with a word of the thread's, then rotated by 17 bits to the left.
std::optional<Address> stackPointerIn(const jmp_buf buffer) {
  constexpr int place = 6, rotation = 17;
  constexpr std::uintptr_t guard = 0x30;
  std::uint64_t key;
  asm("movq %%fs:(%1), %0" : "=r"(key) : "r"(guard));
  std::uint64_t mangled;
  Range word = Range::at(Address::of(buffer) + place * sizeof mangled, sizeof mangled);
  if (readForeign(word, &mangled) != Reading::Done)
    return std::nullopt;
  return Address::of(std::rotr(mangled, rotation) ^ key);
}

} // namespace

extern "C" __attribute__((visibility("hidden"))) void nomad_note_longjmp(const jmp_buf buffer, const void *,
                                                                         const FrameContext &from) {
  leaveIfWanted();
  auto to = stackPointerIn(buffer);
  if (!to)
    raiseTrap("memory", "memory fault at " + hex(Address::of(buffer).value()) + ", in longjmp");
  if (!to)
    return; // libc's will say so
  refuseOverJs(*to, from, "longjmp");
  noteSwitch(from, *to, Leaving::Dropped);
}

#define NOMAD_LONGJMP(name)                                                                                                      \
  asm(".set nomad_note_" #name ", nomad_note_longjmp");                                                                          \
  NOMAD_NOTED_CALL(name)

NOMAD_NOTED_CALL(longjmp)
NOMAD_LONGJMP(_longjmp)
NOMAD_LONGJMP(siglongjmp)
NOMAD_LONGJMP(__longjmp_chk)

std::optional<Address> nomad::findLongjmp(StringRef name) {
  if (name == "longjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad_longjmp));
  if (name == "_longjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad__longjmp));
  if (name == "siglongjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad_siglongjmp));
  if (name == "__longjmp_chk")
    return Address::of(reinterpret_cast<const void *>(&nomad___longjmp_chk));
  return std::nullopt;
}

NOMAD_SETJMP(setjmp);
NOMAD_SETJMP(_setjmp);
NOMAD_SETJMP(__sigsetjmp);

std::optional<Address> nomad::findSetjmp(StringRef name) {
  if (name == "setjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad_setjmp));
  if (name == "_setjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad__setjmp));
  if (name == "__sigsetjmp")
    return Address::of(reinterpret_cast<const void *>(&nomad___sigsetjmp));
  return std::nullopt;
}

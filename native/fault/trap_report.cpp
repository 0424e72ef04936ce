#include "fault/trap_report.h"

#include "llvm/ADT/StringRef.h"

#include <cinttypes>
#include <cstdio>
#include <dlfcn.h>
#include <unistd.h>

using namespace nomad;

namespace {

std::string describeMemory(const Fault &fault, TrapException &trap) {
  if (fault.info.si_code == SI_KERNEL) // x86 says no more
    return "memory fault at an address that no memory can have";
  trap.details.address = reinterpret_cast<std::uint64_t>(fault.info.si_addr);
  return std::string(fault.signal == SIGBUS ? "bus error" : "memory fault") + " at " + hex(*trap.details.address);
}

std::string describeArithmetic(int code) {
  if (code == FPE_INTDIV)
    return "integer division by zero, or of the smallest integer by -1";
  return "floating-point exception";
}

std::string describeJump(const Fault &fault, TrapException &trap) {
  trap.details.address = fault.jumpedTo->value();
  if (fault.signal == SIGSEGV || fault.signal == SIGBUS) {
    trap.details.kind = "memory";
    return "call of " + hex(fault.jumpedTo->value()) + ", where no code is";
  }
  trap.details.kind = "illegal";
  return "call of " + hex(fault.jumpedTo->value()) + ", where no code object is: what was there has been moved or freed";
}

} // namespace

void nomad::describeFault(const Fault &fault, TrapException &trap) {
  if (fault.jumpedTo) {
    trap.message = describeJump(fault, trap);
  } else if (fault.isStackOverflow) {
    trap.details.kind = "stack";
    trap.details.address = reinterpret_cast<std::uint64_t>(fault.info.si_addr);
    trap.message = "stack overflow";
  } else if (fault.signal == SIGFPE) {
    trap.details.kind = "arithmetic";
    trap.message = describeArithmetic(fault.info.si_code);
  } else if (fault.signal == SIGSEGV || fault.signal == SIGBUS) {
    trap.details.kind = "memory";
    trap.message = describeMemory(fault, trap);
  } else {
    trap.details.kind = "illegal";
    trap.message = fault.signal == SIGTRAP ? "breakpoint instruction" : "illegal instruction (llvm.trap is one)";
  }
}

TrapFrame nomad::frameAt(const CodeThread &thread, Address code) {
  const CodeRange *range = thread.rangeAt(code);
  CodeObject *object = range ? range->owners().find(code) : nullptr;
  if (!object)
    return {};
  auto offset = static_cast<Offset>(code - object->segment(SegmentKind::Code).base);
  TrapFrame frame{"", offset, object->symbols.objectName().str()};
  FunctionFinder finder(object->symbols);
  if (const auto *function = finder.find(offset)) {
    frame.symbol = function->name.str();
    frame.offset = offset - function->base;
  }
  return frame;
}

std::string nomad::placeOf(const ErrorDetails &details) {
  if (details.frames.empty())
    return details.symbols.empty() ? "code" : details.symbols.front();
  const TrapFrame &frame = details.frames.front();
  std::string where = (frame.symbol.empty() ? "code of '" + frame.object + "'" : frame.symbol);
  return where + "+" + hex(frame.offset);
}

namespace {

// In a file that is loaded: not V8's own code, whose handler knows what to do.
bool isOfFile(Address address) {
#if __GLIBC_PREREQ(2, 35)
  dl_find_object found;
  return _dl_find_object(address.pointer<void>(), &found) == 0;
#else
  return true;
#endif
}

// "'f' of code object 'm'+0x12"
void describeCode(const CodeThread *thread, Address pc, char (&text)[160]) {
  const CodeRange *range = thread ? thread->rangeAt(pc) : nullptr;
  if (!range) {
    std::snprintf(text, sizeof text, "%s", isCodeOfAny(pc) ? "code, on a thread where no call has entered it" : "not in code");
    return;
  }
  const CodeObject *object = range->owners().find(pc);
  if (!object) {
    std::snprintf(text, sizeof text, "where no code object is");
    return;
  }
  auto offset = static_cast<Offset>(pc - object->segment(SegmentKind::Code).base);
  llvm::StringRef name = object->symbols.objectName(), symbol = object->symbols.functionAt(offset);
  std::snprintf(text, sizeof text, "'%.*s' in code object '%.*s'+0x%x", static_cast<int>(symbol.size()), symbol.data(),
                static_cast<int>(name.size()), name.data(), offset);
}

} // namespace

void nomad::warnOfFault(const CodeThread *thread, const Fault &fault) {
  bool isInCode = thread && thread->isInCode();
  bool isJump = Address::of(fault.info.si_addr) == fault.pc;
  if (!isCodeOfAny(fault.pc) && !(isInCode && (isJump || isOfFile(fault.pc))))
    return;
  char where[160], line[400];
  describeCode(thread, fault.pc, where);
  int length = std::snprintf(line, sizeof line,
                             "nomad-jit: signal %d at 0x%" PRIx64 " (%s), address 0x%" PRIx64 ", can't become a TrapError\n",
                             fault.signal, fault.pc.value(), where, reinterpret_cast<std::uint64_t>(fault.info.si_addr));
  [[maybe_unused]] auto written = write(STDERR_FILENO, line, static_cast<size_t>(length));
}

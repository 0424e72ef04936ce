#include "runtime/process_symbols.h"

#include "fault/abort.h"
#include "fault/terminate.h"
#include "fault/unexpected.h"
#include "runtime/code_handlers.h"
#include "runtime/contexts.h"
#include "runtime/guards.h"
#include "runtime/js_frames.h"
#include "runtime/runtime_support.h"
#include "runtime/setjmp.h"

#include <dlfcn.h>

using namespace nomad;
using namespace llvm;

namespace {

// Code generation calls these of its own accord, whatever the module declares; a program without them is no program.
bool isCompilersOwn(StringRef name) {
  return name == "memcpy" || name == "memmove" || name == "memset" || name == "memcmp" || name == "bcmp";
}

} // namespace

std::optional<Address> nomad::findInProcess(const std::string &name) {
  static void *const program = dlopen(nullptr, RTLD_NOW);
  if (void *address = dlsym(program, name.c_str()))
    return Address::of(address);
  return std::nullopt;
}

ProcessSymbols::ProcessSymbols(Policy policy, const std::vector<std::string> &listed) : policy_(policy) {
  for (const std::string &name : listed)
    listed_.insert(name);
}

std::optional<Address> ProcessSymbols::find(StringRef name) const {
  if (auto own = findRuntimeSupport(name))
    return own;
  bool allowed = policy_ == Policy::All || (policy_ == Policy::Listed && listed_.contains(name)) || isCompilersOwn(name);
  if (!allowed)
    return std::nullopt;
  for (auto *findOurs : {findContextFunction, findHandlerFunction, findLongjmp, findThreadExit, findAbort, findTerminate,
                         findGuardFunction, findCallUnexpected})
    if (auto ours = findOurs(name))
      return ours;
  return findInProcess(name.str());
}

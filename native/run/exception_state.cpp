#include "run/exception_state.h"

#include <cxxabi.h>

using namespace nomad;

ExceptionState &nomad::exceptionState() { return *reinterpret_cast<ExceptionState *>(abi::__cxa_get_globals()); }

void nomad::restoreExceptionState(const ExceptionState &before) {
  ExceptionState &now = exceptionState();
  if (now.stackChanges != before.stackChanges)
    return;
  while (now.handled && now.handled != before.handled)
    abi::__cxa_end_catch();
  now.onTheirWay = before.onTheirWay;
}

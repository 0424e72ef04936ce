#include "stack/cpp_exception.h"

#include "base/error.h"

#include "llvm/ADT/StringExtras.h"

#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <memory>

using namespace nomad;
using namespace llvm;

std::string nomad::typeName(const std::type_info &type) {
  std::unique_ptr<char, void (*)(void *)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr), std::free);
  return name ? name.get() : type.name();
}

namespace {

// Of what is being handled; null if it is none.
const std::exception *currentException() {
  try {
    throw;
  } catch (const std::exception &exception) {
    return &exception;
  } catch (...) {
    return nullptr;
  }
}

// `what` is code, and may be left: by way of here, where nothing catches. Nor may the compiler take it for noexcept, as it is
// declared: then it leaves no way.
std::string describeCurrentException() {
  const std::type_info *type = abi::__cxa_current_exception_type();
  std::string name = type ? typeName(*type) : "of another runtime";
  const std::exception *exception = currentException();
  const char *(std::exception::*what)() const = &std::exception::what;
  return exception ? name + ": " + (exception->*what)() : name;
}

constexpr std::uint64_t classOf(const char (&text)[9]) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i)
    value = value << 8 | static_cast<std::uint8_t>(text[i]);
  return value;
}

// Code other than Rust that ends a caught panic of Rust aborts in the panic's cleanup. So it is left where it
// is; and so is what ends a thread, whose class glibc leaves 0: a thread that cancels itself.
bool canBeEnded(std::uint64_t exceptionClass) { return exceptionClass != classOf("MOZ\0RUST") && exceptionClass != 0; }

// "MOZ.RUST (0x4d4f5a0052555354)"
std::string describeClass(std::uint64_t exceptionClass) {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) {
    auto byte = static_cast<char>(exceptionClass >> shift);
    text += isPrint(byte) ? byte : '.';
  }
  return text + " (" + hex(exceptionClass) + ")";
}

} // namespace

// The last byte says whether an object is shared by std::exception_ptr.
bool nomad::isOfCpp(std::uint64_t exceptionClass) { return exceptionClass >> 8 == classOf("GNUCC++\0") >> 8; }

// libstdc++ looks in front of an exception for what only its own have there: its functions are asked about those alone.
std::string nomad::takeException(_Unwind_Exception *exception) {
  std::uint64_t exceptionClass = exception->exception_class;
  if (isOfCpp(exceptionClass)) {
    abi::__cxa_begin_catch(exception);
    std::string what = "C++ exception that compiled code did not catch: " + describeCurrentException();
    abi::__cxa_end_catch();
    return what;
  }
  std::string what = "exception of class " + describeClass(exceptionClass) + " that compiled code did not catch";
  if (canBeEnded(exceptionClass))
    _Unwind_DeleteException(exception);
  return what;
}

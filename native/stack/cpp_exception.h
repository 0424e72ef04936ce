// An exception of C++ or of another language: whose it is, and what to say of it.
#pragma once

#include <cstdint>
#include <string>
#include <typeinfo>
#include <unwind.h>

namespace nomad {

/// As C++ spells it.
std::string typeName(const std::type_info &type);
/// Is that libstdc++'s class of exceptions?
bool isOfCpp(std::uint64_t exceptionClass);
/// Describes an uncaught exception, of C++ or another language; the exception ends here.
std::string takeException(_Unwind_Exception *exception);

} // namespace nomad

// What crosses to a helper process that compiles, and back: a request with its source; an object file with what it exports; an
// error. The decoder trusts nothing: bytes that are not a message are an error.
#pragma once

#include "compile/object_file.h"

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <vector>

namespace nomad {

std::vector<std::uint8_t> encodeRequest(llvm::StringRef source, const CompileRequest &request);
/// `source` refers to the bytes. Errors: Codegen.
llvm::Error decodeRequest(llvm::ArrayRef<std::uint8_t> bytes, llvm::StringRef &source, CompileRequest &request);

std::vector<std::uint8_t> encodeObjectFile(const ObjectFile &object);
/// Errors: Codegen.
llvm::Expected<ObjectFile> decodeObjectFile(llvm::ArrayRef<std::uint8_t> bytes, const std::string &name);

/// `more` is appended to the message.
std::vector<std::uint8_t> encodeError(llvm::Error error, llvm::StringRef more);
llvm::Error decodeError(llvm::ArrayRef<std::uint8_t> bytes, const std::string &name);

} // namespace nomad

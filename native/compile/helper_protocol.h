// What this process and a helper (native/reader) say to each other over a socket, one request after the other.
//
// Request: a RequestHeader, then that many bytes. Answer: an AnswerHeader of kind Begun as soon as the request is there, so that
// a request to a helper that was about to end can be told from one that ended it; then an AnswerHeader with the same number, then
// that many bytes. Both run on one machine and are built together: numbers cross as they lie in memory. Either side checks what
// it is told before it takes memory for it.
#pragma once

#include <cstdint>

namespace nomad::helper {

enum class Task : std::uint32_t {
  Read,    // bitcode. Answer: clean bitcode
  Compile, // a compile request (compile_message.h). Answer: an object file
};

enum class Answer : std::uint32_t {
  Begun,       // the request is there as a whole; another answer follows
  Clean,       // bitcode that LLVM's writer wrote, of a module that the verifier accepts
  ParseError,  // what LLVM's reader says
  VerifyError, // what LLVM's verifier says
  CannotGoOn,  // why LLVM ended the reading: a fatal error
  Crashed,     // the signal that ended the child that was at work, and what it wrote to stderr
  TookTooLong, // what it wrote to stderr
  Compiled,    // an object file (compile_message.h)
  Failed,      // an error (compile_message.h)
};

struct RequestHeader {
  std::uint64_t number = 0; // from 1, never the same one again
  std::uint64_t bytes = 0;
  Task task = Task::Read;
  std::uint32_t reserved = 0;
  std::uint64_t milliseconds = 0; // of Compile: how long it may take; 0 for no limit
  std::uint64_t memoryBytes = 0;  // of Compile: how much address space it may take besides; 0 for no limit
};

struct AnswerHeader {
  std::uint64_t number;
  std::uint64_t bytes;
  Answer kind;
};

/// Processor time that a reading may take, 4 s per MiB beside 2 s: ten times what good bitcode takes on a slow machine.
constexpr std::uint64_t secondsFor(std::uint64_t requestBytes) { return 2 + (requestBytes >> 18); }

/// Until an answer has to be there, on a machine that is busy with other things too.
constexpr std::uint64_t patienceSecondsFor(std::uint64_t requestBytes) { return 10 * secondsFor(requestBytes); }

/// Address space that a reading may take, LLVM's code included. A module takes less than 64 times its bitcode.
constexpr std::uint64_t addressSpaceFor(std::uint64_t requestBytes) { return (std::uint64_t{1} << 30) + 64 * requestBytes; }

/// What answers a request may have; more is no answer. An object file has at most 2 GiB (compile/pipeline.cpp).
constexpr std::uint64_t answerLimitFor(const RequestHeader &request) {
  return request.task == Task::Compile ? (std::uint64_t{5} << 29) + 64 * request.bytes
                                       : (std::uint64_t{16} << 20) + 64 * request.bytes;
}

} // namespace nomad::helper

// What this process and its bitcode reader (native/reader) say to each other over a socket, one request after the other.
//
// Request: a RequestHeader, then that many bytes of bitcode. Answer: an AnswerHeader with the same number, then that many bytes
// of bitcode or text. Both run on one machine and are built together: numbers cross as they lie in memory.
#pragma once

#include <cstdint>

namespace nomad::bitcode {

enum class Answer : std::uint32_t {
  Clean,       // bitcode that LLVM's writer wrote, of a module that the verifier accepts
  ParseError,  // what LLVM's reader says
  VerifyError, // what LLVM's verifier says
  CannotGoOn,  // why LLVM ended the reading: a fatal error
  Crashed,     // the signal that ended the reading
  TookTooLong, // nothing follows
};

struct RequestHeader {
  std::uint64_t number; // from 1, never the same one again
  std::uint64_t bytes;
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

/// What answers a request of this size may have; more is no answer.
constexpr std::uint64_t answerLimitFor(std::uint64_t requestBytes) { return (std::uint64_t{16} << 20) + 64 * requestBytes; }

} // namespace nomad::bitcode

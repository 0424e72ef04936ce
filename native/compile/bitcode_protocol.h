// What this process and its bitcode reader (native/reader) say to each other over a socket, one request after the other.
//
// Request: its length in bytes as 64 bits, then bitcode. Answer: an AnswerHeader, then that many bytes of bitcode or text.
// Both run on one machine and are built together: numbers cross as they lie in memory.
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

struct AnswerHeader {
  Answer kind;
  std::uint32_t unused;
  std::uint64_t bytes;
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

// Bitcode goes through a process of its own: what comes back is clean, what can't be read is an error, whatever that process
// does.
#include "support.h"

#include "compile/bitcode_reader.h"
#include "compile/helper_process.h"
#include "compile/module.h"

#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/Bitcode/LLVMBitCodes.h"
#include "llvm/Bitstream/BitstreamWriter.h"
#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <cerrno>
#include <thread>
#include <unistd.h>

using namespace nomad;
using namespace nomad::test;
using helper::End;
using helper::HelperProcess;

namespace {

constexpr std::chrono::milliseconds patience{300};

std::string goodBitcode() {
  std::string bytes;
  llvm::raw_string_ostream stream(bytes);
  ParsedModule module = need(parseModule("define i32 @f(i32 %x) {\n  ret i32 %x\n}\n", "good"));
  llvm::WriteBitcodeToFile(*module.ir, stream);
  return bytes;
}

// Bitcode of one module block with a type table that says it is this long.
std::string typeTable(std::uint64_t length) {
  llvm::SmallVector<char, 0> bytes;
  {
    llvm::BitstreamWriter writer(bytes);
    writer.Emit(0xdec04342, 32); // "BC" 0xC0DE
    writer.EnterSubblock(llvm::bitc::MODULE_BLOCK_ID, 3);
    writer.EnterSubblock(llvm::bitc::TYPE_BLOCK_ID_NEW, 3);
    writer.EmitRecord(llvm::bitc::TYPE_CODE_NUMENTRY, llvm::ArrayRef<std::uint64_t>{length});
    writer.ExitBlock();
    writer.ExitBlock();
  }
  return std::string(bytes.begin(), bytes.end());
}

} // namespace

TEST_CASE("bitcode reader: it lies beside the executable") { CHECK(access(helperPath().c_str(), X_OK) == 0); }

TEST_CASE("bitcode reader: good bitcode comes back as bitcode of the same module") {
  auto clean = need(readBitcode(goodBitcode(), "good"));
  ParsedModule module = need(parseModule(clean->getBuffer(), "again"));
  REQUIRE(module.ir->getFunction("f"));
  CHECK(module.ir->getFunction("f")->getArg(0)->getName() == "x");
}

TEST_CASE("bitcode reader: cut bitcode is a parse error in LLVM's words") {
  std::string good = goodBitcode();
  Failure failure = failureOf(readBitcode(llvm::StringRef(good).take_front(good.size() / 2), "cut"));
  CHECK(failure.code == "ERR_IR_PARSE");
  CHECK(contains(failure.message, "cut: "));
  CHECK_FALSE(failure.details.line);
}

TEST_CASE("bitcode reader: what the verifier refuses is said in its words") {
  llvm::LLVMContext context;
  llvm::Module module("broken", context);
  auto *type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), false);
  auto *function = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, "f", module);
  function->setVisibility(llvm::GlobalValue::DefaultVisibility); // an internal function without a body
  std::string bytes;
  llvm::raw_string_ostream stream(bytes);
  llvm::WriteBitcodeToFile(module, stream);
  Failure failure = failureOf(readBitcode(bytes, "broken"));
  CHECK(failure.code == "ERR_IR_VERIFY");
  CHECK(contains(failure.message, "broken: Global is external, but doesn't have external or weak linkage!"));
}

TEST_CASE("bitcode reader: a count that asks for all memory is an error, and the next request is answered") {
  Failure failure = failureOf(readBitcode(typeTable((1ull << 32) - 4), "many"));
  CHECK(failure.code == "ERR_CODEGEN");
  CHECK(contains(failure.message, "many: LLVM cannot go on: "));
  CHECK(need(readBitcode(goodBitcode(), "good")));
}

TEST_CASE("bitcode reader: four threads ask at once, good and bad mixed") {
  std::string good = goodBitcode(), bad = typeTable((1ull << 32) - 4);
  std::atomic<int> right = 0;
  auto work = [&](int first) {
    for (int i = first; i < first + 20; ++i)
      right += i % 3 == 0 ? failureOf(readBitcode(bad, "bad")).code == "ERR_CODEGEN"
                          : failureOf(readBitcode(good, "good")).code.empty();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back(work, i);
  for (std::thread &thread : threads)
    thread.join();
  CHECK(right == 80);
}

TEST_CASE("reader process: executables that can't be started, end at once, or never answer") {
  HelperProcess process;
  const helper::RequestHeader readRequest{.task = helper::Task::Read};
  auto missing = process.ask("/nonexistent/reader", readRequest, "BC", {patience});
  CHECK(missing.end == End::CannotStart);
  CHECK(missing.error == ENOENT);
  CHECK(process.ask("/bin/true", readRequest, "BC", {patience}).end == End::Gone);
  CHECK(process.ask("/bin/cat", readRequest, "BC", {patience}).end == End::Late); // it reads, and writes elsewhere
  // After each of them it starts anew.
  auto answered = process.ask(helperPath().c_str(), readRequest, goodBitcode(), {std::chrono::seconds(20)});
  CHECK(answered.end == End::Answered);
  CHECK(answered.answer == helper::Answer::Clean);
}

#include "support/ir_mutator.h"

#include "base/recovery.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/FuzzMutate/IRMutator.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Support/SourceMgr.h"

#include <cstring>
#include <random>

using namespace nomad;
using namespace llvm;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t *data, std::size_t size, std::size_t maxSize);

namespace {

// What changes the path through our own code: attributes, linkages, sections, conventions, globals of every kind.
constexpr const char *tokens[] = {
    "i1",
    "i8",
    "i17",
    "i64",
    "ptr",
    "double",
    "<4 x i32>",
    "[70000 x i8]",
    "x86_fp80",
    "void",
    "internal",
    "private",
    "weak",
    "linkonce_odr",
    "extern_weak",
    "appending",
    "common",
    "external",
    "hidden",
    "protected",
    "dllexport",
    "thread_local",
    "thread_local(localexec)",
    "unnamed_addr",
    "constant",
    "global",
    "alias",
    "ifunc",
    "comdat",
    "section \".init_array\"",
    "section \"odd\"",
    "align 1",
    "align 4096",
    "align 65536",
    "align 131072",
    "noinline",
    "naked",
    "nounwind",
    "uwtable",
    "noreturn",
    "returns_twice",
    "alwaysinline",
    "\"frame-pointer\"=\"none\"",
    "ghccc",
    "fastcc",
    "preserve_allcc",
    "tailcc",
    "musttail",
    "notail",
    "blockaddress(@f, %a)",
    "null",
    "undef",
    "poison",
    "zeroinitializer",
    "-1",
    "0",
    "2147483648",
    "ptrtoint (ptr @f to i64)",
    "getelementptr (i8, ptr @x, i64 -100000)",
    "module asm \".p2align 4\"",
    "module asm \".comm c, 64, 16\"",
    "module asm \".globl f\"",
    "module asm \".byte 0\"",
    "@llvm.global_ctors",
    "@llvm.used",
    "@llvm.trap()",
    "@llvm.frameaddress.p0(i32 0)",
    "@setjmp",
    "@__cxa_atexit",
    "personality ptr @__gxx_personality_v0",
    "asm sideeffect \"nop\", \"~{rbx}\"()",
    "addrspace(1)",
    "inalloca",
    "byval(i64)",
    "sret(i64)",
    "swiftself",
    "swifterror",
    "prefix i32 1",
    "prologue i32 1",
    "gc \"statepoint-example\"",
    "partition \"p\"",
    "%a",
    "%b",
    "@f",
    "@g",
    "@x",
};

class TextMutation {
public:
  TextMutation(std::string text, unsigned seed) : text_(std::move(text)), random_(seed) {}

  std::string run() {
    for (std::size_t count = 1 + below(4); count > 0; --count)
      step();
    return std::move(text_);
  }

private:
  void step() {
    switch (below(5)) {
    case 0:
      return replace(token(), tokens[below(std::size(tokens))]);
    case 1:
      return replace(token(), text_.substr(token().first, 20));
    case 2:
      return replace(line(), "");
    case 3: {
      auto [from, length] = line();
      return replace({line().first, 0}, text_.substr(from, length));
    }
    default:
      return replace({token().first, 0}, std::string(tokens[below(std::size(tokens))]) + " ");
    }
  }

  using Part = std::pair<std::size_t, std::size_t>;
  Part token() { return part(" ,()\n[]{}="); }
  Part line() {
    Part found = part("\n");
    return {found.first, std::min(found.second + 1, text_.size() - found.first)};
  }
  Part part(const char *ends) {
    std::size_t at = below(text_.size() + 1);
    std::size_t before = at == 0 ? std::string::npos : text_.find_last_of(ends, at - 1);
    std::size_t from = before == std::string::npos ? 0 : before + 1;
    return {from, std::min(text_.find_first_of(ends, from), text_.size()) - from};
  }
  void replace(Part part, const std::string &by) { text_.replace(part.first, part.second, by); }
  std::size_t below(std::size_t limit) { return random_() % limit; }

  std::string text_;
  std::minstd_rand random_;
};

std::unique_ptr<IRMutator> makeMutator() {
  std::vector<TypeGetter> types{Type::getInt1Ty,   Type::getInt8Ty,
                                Type::getInt32Ty,  Type::getInt64Ty,
                                Type::getDoubleTy, [](LLVMContext &context) { return PointerType::get(context, 0); }};
  std::vector<std::unique_ptr<IRMutationStrategy>> strategies;
  strategies.push_back(std::make_unique<InjectorIRStrategy>(InjectorIRStrategy::getDefaultOps()));
  strategies.push_back(std::make_unique<InstDeleterIRStrategy>());
  strategies.push_back(std::make_unique<InstModificationIRStrategy>());
  strategies.push_back(std::make_unique<InsertFunctionStrategy>());
  strategies.push_back(std::make_unique<InsertCFGStrategy>());
  strategies.push_back(std::make_unique<SinkInstructionStrategy>());
  return std::make_unique<IRMutator>(std::move(types), std::move(strategies));
}

// Empty if it is no module, or LLVM fails on the way.
std::string mutatedModule(StringRef text, std::size_t maxSize, unsigned seed) {
  std::string result;
  bool isAbandoned = false;
  consumeError(runRecoverably(
      "mutation",
      [&]() -> Error {
        LLVMContext context;
        SMDiagnostic diagnostic;
        std::unique_ptr<Module> ir = parseAssemblyString(text, diagnostic, context);
        if (!ir || verifyModule(*ir))
          return Error::success();
        makeMutator()->mutateModule(*ir, static_cast<int>(seed), maxSize);
        raw_string_ostream(result) << *ir;
        return Error::success();
      },
      isAbandoned));
  return isAbandoned ? "" : result;
}

} // namespace

std::size_t fuzz::mutateIR(std::uint8_t *data, std::size_t size, std::size_t maxSize, unsigned seed) {
  std::string text(reinterpret_cast<const char *>(data), size), mutated;
  if (seed % 16 == 0)
    return LLVMFuzzerMutate(data, size, maxSize);
  if (seed % 2 == 0)
    mutated = mutatedModule(text, maxSize, seed);
  if (mutated.empty())
    mutated = TextMutation(std::move(text), seed).run();
  std::size_t length = std::min(mutated.size(), maxSize);
  std::memcpy(data, mutated.data(), length);
  return length;
}

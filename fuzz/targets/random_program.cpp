// Programs of arithmetic and calls, computed twice: by code that moves at each host call, and here.
//
// A program is functions f0, f1, ..., each of which calls only later ones. Its last function calls the host, as others may.
#include "support/input.h"
#include "support/jit.h"

#include "llvm/Support/raw_ostream.h"

#include <array>
#include <string>

using namespace nomad;
using namespace nomad::fuzz;
using namespace llvm;

namespace {

enum class Kind : std::uint8_t { Add, Sub, Mul, Xor, And, Shl, LShr, Select, Load, Store, Call, CallPointer, Host, Double };
constexpr std::size_t kindCount = 14, mostFunctions = 6, mostInstructions = 12, tableLength = 8;
constexpr std::uint32_t hostAdds = 12345;

struct Instruction {
  Kind kind;
  std::size_t left, right; // earlier values of the function; 0 is its parameter
  std::uint32_t constant;
  std::size_t callee;
};

using Function = std::vector<Instruction>;

struct Program {
  std::vector<Function> functions;
  std::array<std::uint32_t, tableLength> table{};
};

Program read(Input &input) {
  Program program;
  std::size_t count = 1 + input.below(mostFunctions);
  for (std::uint32_t &entry : program.table)
    entry = input.word() * 65599u;
  for (std::size_t i = 0; i < count; ++i) {
    Function function;
    for (std::size_t j = 0, length = 1 + input.below(mostInstructions); j < length; ++j) {
      auto kind = static_cast<Kind>(input.below(kindCount));
      bool isLast = i + 1 == count;
      if (isLast && (kind == Kind::Call || kind == Kind::CallPointer))
        kind = Kind::Host;
      function.push_back({kind, input.below(j + 1), input.below(j + 1), input.word() * 2654435761u,
                          isLast ? 0 : i + 1 + input.below(count - i - 1)});
    }
    program.functions.push_back(std::move(function));
  }
  return program;
}

// ---- as IR ----

void write(raw_ostream &ir, const Instruction &instruction, std::size_t index) {
  std::string left = "%v" + std::to_string(instruction.left), right = "%v" + std::to_string(instruction.right),
              result = "%v" + std::to_string(index), scratch = "%s" + std::to_string(index);
  auto binary = [&](const char *name) { ir << "  " << result << " = " << name << " i32 " << left << ", " << right << '\n'; };
  auto slot = [&](const char *table) {
    ir << "  " << scratch << "i = and i32 " << left << ", " << tableLength - 1 << "\n  " << scratch
       << "p = getelementptr i32, ptr " << table << ", i32 " << scratch << "i\n";
  };
  switch (instruction.kind) {
  case Kind::Add:
    return binary("add");
  case Kind::Sub:
    return binary("sub");
  case Kind::Mul:
    return binary("mul");
  case Kind::Xor:
    ir << "  " << result << " = xor i32 " << left << ", " << instruction.constant << '\n';
    return;
  case Kind::And:
    return binary("and");
  case Kind::Shl:
  case Kind::LShr:
    ir << "  " << scratch << " = and i32 " << right << ", 31\n  " << result << " = "
       << (instruction.kind == Kind::Shl ? "shl" : "lshr") << " i32 " << left << ", " << scratch << '\n';
    return;
  case Kind::Select:
    ir << "  " << scratch << " = icmp ult i32 " << left << ", " << right << "\n  " << result << " = select i1 " << scratch
       << ", i32 " << instruction.constant << ", i32 " << left << '\n';
    return;
  case Kind::Load:
    slot("@table");
    ir << "  " << result << " = load i32, ptr " << scratch << "p\n";
    return;
  case Kind::Store: // and what was there
    slot("@memory");
    ir << "  " << result << " = load i32, ptr " << scratch << "p\n  store i32 " << right << ", ptr " << scratch << "p\n";
    return;
  case Kind::Call:
    ir << "  " << result << " = call i32 @f" << instruction.callee << "(i32 " << left << ")\n";
    return;
  case Kind::CallPointer:
    ir << "  " << scratch << " = load volatile ptr, ptr getelementptr (ptr, ptr @functions, i32 " << instruction.callee << ")\n  "
       << result << " = call i32 " << scratch << "(i32 " << left << ")\n";
    return;
  case Kind::Host:
    ir << "  " << result << " = call i32 @host(i32 " << left << ")\n";
    return;
  case Kind::Double: // a constant pool; exact
    ir << "  " << scratch << "a = uitofp i32 " << left << " to double\n  " << scratch << "b = fmul double " << scratch
       << "a, 0.5\n  " << scratch << "c = fadd double " << scratch << "b, 3.25\n  " << result << " = fptoui double " << scratch
       << "c to i32\n";
    return;
  }
}

std::string textOf(const Program &program) {
  std::string text;
  raw_string_ostream ir(text);
  ir << "declare i32 @host(i32)\n@memory = global [" << tableLength << " x i32] zeroinitializer\n@table = constant ["
     << tableLength << " x i32] [";
  for (std::size_t i = 0; i < tableLength; ++i)
    ir << (i ? ", i32 " : "i32 ") << program.table[i];
  ir << "]\n@functions = global [" << program.functions.size() << " x ptr] [";
  for (std::size_t i = 0; i < program.functions.size(); ++i)
    ir << (i ? ", ptr @f" : "ptr @f") << i;
  ir << "]\n";
  for (std::size_t i = 0; i < program.functions.size(); ++i) {
    ir << "define i32 @f" << i << "(i32 %v0) noinline {\n";
    std::size_t index = 0;
    for (const Instruction &instruction : program.functions[i])
      write(ir, instruction, ++index);
    ir << "  ret i32 %v" << index << "\n}\n";
  }
  return text;
}

// ---- here ----

class Interpreter {
public:
  explicit Interpreter(const Program &program) : program_(program) {}

  std::uint32_t call(std::size_t function, std::uint32_t x) {
    std::vector<std::uint32_t> values{x};
    for (const Instruction &instruction : program_.functions[function])
      values.push_back(compute(instruction, values[instruction.left], values[instruction.right]));
    return values.back();
  }

private:
  std::uint32_t compute(const Instruction &instruction, std::uint32_t left, std::uint32_t right) {
    switch (instruction.kind) {
    case Kind::Add:
      return left + right;
    case Kind::Sub:
      return left - right;
    case Kind::Mul:
      return left * right;
    case Kind::Xor:
      return left ^ instruction.constant;
    case Kind::And:
      return left & right;
    case Kind::Shl:
      return left << (right & 31);
    case Kind::LShr:
      return left >> (right & 31);
    case Kind::Select:
      return left < right ? instruction.constant : left;
    case Kind::Load:
      return program_.table[left % tableLength];
    case Kind::Store:
      return std::exchange(memory_[left % tableLength], right);
    case Kind::Call:
    case Kind::CallPointer:
      return call(instruction.callee, left);
    case Kind::Host:
      return left + hostAdds;
    case Kind::Double:
      return static_cast<std::uint32_t>(left * 0.5 + 3.25);
    }
    return 0;
  }

  const Program &program_;
  std::array<std::uint32_t, tableLength> memory_{};
};

// Calls multiply: only so many in all.
std::size_t callsOf(const Program &program, std::size_t function) {
  std::size_t calls = 1;
  for (const Instruction &instruction : program.functions[function])
    if (instruction.kind == Kind::Call || instruction.kind == Kind::CallPointer)
      calls += callsOf(program, instruction.callee);
    else if (instruction.kind == Kind::Host)
      ++calls;
  return calls;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  Input input(data, size);
  fuzz::Jit jit(input.oneIn(4) ? LinkerKind::RuntimeDyld : LinkerKind::JITLink);
  CompileOptions options;
  options.name = "program";
  options.level = static_cast<OptLevel>(input.below(4));
  options.moves = input.oneIn(2) ? Moves::Code : Moves::All;
  options.retain = input.oneIn(4) ? Retain::Object : Retain::Relocations;
  bool isSplit = options.retain == Retain::Relocations && input.oneIn(3);
  auto argument = static_cast<std::uint32_t>(input.word() * 40503u);
  Program program = read(input);
  if (callsOf(program, 0) > 300)
    return 0;
  options.imports = {{"host", {}, need(jit.engine().addHost("host", need(parseSignature("i32 (i32)")))), "host"}};

  std::string text = textOf(program);
  std::vector<Handle> parts;
  if (isSplit) {
    auto made = jit.engine().compileParts(text, options);
    if (!made)
      return expected(made.takeError()), 0;
    parts = std::move(*made);
  } else {
    parts = {need(jit.engine().compile(text, options))};
  }
  std::int32_t next = 0;
  std::vector<MoveRequest> places;
  auto somewhereElse = [&] {
    places.clear();
    for (Handle part : parts) {
      places.push_back(jit.request(part, next));
      next = (next + 8192) % (1 << 19);
    }
  };
  somewhereElse();
  need(jit.engine().place(places));
  jit.verify();
  jit.onCall = [&](std::int32_t x) {
    somewhereElse();
    auto report = jit.engine().relocate(places);
    if (!report)
      expected(report.takeError());
    jit.verify();
    return std::optional(static_cast<std::int32_t>(static_cast<std::uint32_t>(x) + hostAdds));
  };
  Handle first = noHandle;
  for (Handle part : parts)
    if (jit.engine().object(part)->symbols.function("f0"))
      first = part;
  auto result = jit.call(first, "f0", static_cast<std::int32_t>(argument));
  std::uint32_t expectedResult = Interpreter(program).call(0, argument);
  require(result && static_cast<std::uint32_t>(*result) == expectedResult,
          "f0 returned " + (result ? Twine(static_cast<std::uint32_t>(*result)) : Twine("nothing")) + " instead of " +
              Twine(expectedResult) + " in\n" + text);
  jit.verify();
  return 0;
}

// LLVM without nomad-jit, for the figures that compare with it.
//
//   llvm_peer TEMPLATE     TEMPLATE is IR text; each '#' in it stands for the number of the function
//
// In: one request a line. Out: one line each.
//
//   version                      22.1.8
//   layers LEVEL FIRST COUNT     nanoseconds for functions FIRST to FIRST + COUNT - 1: parse, verify, optimise, generate, link,
//   look up,
//                                with ORC's object linking layer alone
//   lljit LEVEL FIRST COUNT      the same through LLJIT, which also registers unwind records
//   memory COUNT                 "BYTES MAPPINGS": resident bytes and kernel mappings per function, after a warm-up; call it once
//
// Always true: every function is called once with (3, 4), and a wrong result ends the process.
#include "llvm/Analysis/CGSCCPassManager.h"
#include "llvm/Analysis/LoopAnalysisManager.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/ExecutionEngine/Orc/CompileUtils.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"
#include "llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"

#include <chrono>
#include <fstream>
#include <iostream>
#include <unistd.h>

using namespace llvm;
using namespace llvm::orc;

namespace {

const ExitOnError check("llvm_peer: ");
std::string sourceTemplate;

std::string sourceOf(unsigned number) {
  std::string text;
  for (char c : sourceTemplate)
    if (c == '#')
      text += std::to_string(number);
    else
      text += c;
  return text;
}

std::string nameOf(unsigned number) { return "f" + std::to_string(number); }

using Tiny = int(int, int);

void require(bool isTrue, const char *what) {
  if (isTrue)
    return;
  std::cerr << "llvm_peer: " << what << std::endl;
  std::_Exit(1);
}

void requireResult(ExecutorAddr address, unsigned number) {
  require(address.toPtr<Tiny>()(3, 4) == static_cast<int>(12 + number), "wrong result");
}

struct Level {
  OptimizationLevel pipeline;
  CodeGenOptLevel codegen;
};

Level levelOf(unsigned number) {
  return number == 0 ? Level{OptimizationLevel::O0, CodeGenOptLevel::None}
                     : Level{OptimizationLevel::O2, CodeGenOptLevel::Default};
}

JITTargetMachineBuilder hostBuilder(CodeGenOptLevel level) {
  JITTargetMachineBuilder builder = check(JITTargetMachineBuilder::detectHost());
  builder.setCodeGenOptLevel(level);
  builder.setRelocationModel(Reloc::PIC_);
  return builder;
}

// What both ways share: IR text to an optimised module.
class FrontEnd {
public:
  explicit FrontEnd(Level level)
      : level_(level.pipeline), machine_(check(hostBuilder(level.codegen).createTargetMachine())),
        layout_(machine_->createDataLayout()) {}

  TargetMachine &machine() { return *machine_; }

  std::unique_ptr<Module> run(unsigned number, LLVMContext &context) { return run(sourceOf(number), context); }

  std::unique_ptr<Module> run(const std::string &source, LLVMContext &context) {
    SMDiagnostic diagnostic;
    std::unique_ptr<Module> ir = parseAssemblyString(source, diagnostic, context);
    require(ir != nullptr, "the template does not parse");
    ir->setTargetTriple(machine_->getTargetTriple());
    ir->setDataLayout(layout_);
    require(!verifyModule(*ir), "the template does not verify");
    optimise(*ir);
    return ir;
  }

private:
  void optimise(Module &ir) {
    LoopAnalysisManager loops;
    FunctionAnalysisManager functions;
    CGSCCAnalysisManager components;
    ModuleAnalysisManager modules;
    PassBuilder builder(machine_.get());
    builder.registerModuleAnalyses(modules);
    builder.registerCGSCCAnalyses(components);
    builder.registerFunctionAnalyses(functions);
    builder.registerLoopAnalyses(loops);
    builder.crossRegisterProxies(loops, functions, components, modules);
    bool none = level_ == OptimizationLevel::O0;
    (none ? builder.buildO0DefaultPipeline(level_) : builder.buildPerModuleDefaultPipeline(level_)).run(ir, modules);
  }

  OptimizationLevel level_;
  std::unique_ptr<TargetMachine> machine_;
  DataLayout layout_;
};

class Contender {
public:
  virtual ~Contender() = default;
  virtual ExecutorAddr compile(unsigned number) = 0;
};

// The least of ORC that can link.
class Layers : public Contender {
public:
  explicit Layers(Level level)
      : frontEnd_(level), session_(check(SelfExecutorProcessControl::Create())), layer_(session_),
        library_(session_.createBareJITDylib("main")) {}
  ~Layers() override { check(session_.endSession()); }

  ExecutorAddr compile(unsigned number) override { return compile(sourceOf(number), number); }

  /// Returns the address of function `number`, which is one of the source's.
  ExecutorAddr compile(const std::string &source, unsigned number) {
    LLVMContext context;
    std::unique_ptr<Module> ir = frontEnd_.run(source, context);
    auto object = check(SimpleCompiler(frontEnd_.machine())(*ir));
    check(layer_.add(library_, std::move(object)));
    return check(session_.lookup({&library_}, nameOf(number))).getAddress();
  }

private:
  FrontEnd frontEnd_;
  ExecutionSession session_;
  ObjectLinkingLayer layer_;
  JITDylib &library_;
};

class Whole : public Contender {
public:
  explicit Whole(Level level)
      : frontEnd_(level), jit_(check(LLJITBuilder().setJITTargetMachineBuilder(hostBuilder(level.codegen)).create())) {}

  ExecutorAddr compile(unsigned number) override {
    auto context = std::make_unique<LLVMContext>();
    std::unique_ptr<Module> ir = frontEnd_.run(number, *context);
    check(jit_->addIRModule(ThreadSafeModule(std::move(ir), std::move(context))));
    return check(jit_->lookup(nameOf(number)));
  }

private:
  FrontEnd frontEnd_;
  std::unique_ptr<LLJIT> jit_;
};

// Contenders live as long as the process: targets and code stay warm. Functions get new numbers.
template <typename Kind>
Contender &contender(unsigned level) {
  static std::unique_ptr<Contender> contenders[2];
  auto &found = contenders[level == 0 ? 0 : 1];
  if (!found)
    found = std::make_unique<Kind>(levelOf(level));
  return *found;
}

long time(Contender &jit, unsigned first, unsigned count) {
  auto start = std::chrono::steady_clock::now();
  for (unsigned i = first; i < first + count; ++i)
    requireResult(jit.compile(i), i);
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
}

long residentBytes() {
  std::ifstream file("/proc/self/statm");
  long all = 0, resident = 0;
  file >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

long mappings() {
  std::ifstream file("/proc/self/maps");
  long count = 0;
  for (std::string line; std::getline(file, line);)
    ++count;
  return count;
}

// Stock LLJIT as it comes, and a resource tracker for each function so that it could be removed again.
class Stock {
public:
  Error add(unsigned number) {
    auto context = std::make_unique<LLVMContext>();
    SMDiagnostic diagnostic;
    std::unique_ptr<Module> ir = parseAssemblyString(sourceOf(number), diagnostic, *context);
    require(ir != nullptr, "the template does not parse");
    trackers_.push_back(jit_->getMainJITDylib().createResourceTracker());
    if (Error error = jit_->addIRModule(trackers_.back(), ThreadSafeModule(std::move(ir), std::move(context))))
      return error;
    auto address = jit_->lookup(nameOf(number));
    if (!address)
      return address.takeError();
    requireResult(*address, number);
    return Error::success();
  }

private:
  std::unique_ptr<LLJIT> jit_ = check(LLJITBuilder().create());
  std::vector<ResourceTrackerSP> trackers_;
};

void memory(unsigned count) {
  constexpr unsigned warmUp = 200;
  Stock stock;
  for (unsigned i = 0; i < warmUp; ++i)
    check(stock.add(i));
  long residentBefore = residentBytes(), mappingsBefore = mappings();
  for (unsigned i = 0; i < count; ++i)
    check(stock.add(warmUp + i));
  std::cout << static_cast<double>(residentBytes() - residentBefore) / count << ' '
            << static_cast<double>(mappings() - mappingsBefore) / count << std::endl;
}

// Many functions in one module, compiled and linked as a whole.
void module() {
  unsigned level = 0, first = 0, count = 0;
  std::cin >> level >> first >> count;
  static std::unique_ptr<Layers> layers[2];
  auto &found = layers[level == 0 ? 0 : 1];
  if (!found)
    found = std::make_unique<Layers>(levelOf(level));
  std::string source;
  for (unsigned i = first; i < first + count; ++i)
    source += sourceOf(i);
  auto start = std::chrono::steady_clock::now();
  requireResult(found->compile(source, first), first);
  std::cout << std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count()
            << std::endl;
}

template <typename Kind>
void compile() {
  unsigned level = 0, first = 0, count = 0;
  std::cin >> level >> first >> count;
  std::cout << time(contender<Kind>(level), first, count) << std::endl;
}

} // namespace

int main(int count, char **arguments) {
  require(count == 2, "usage: llvm_peer TEMPLATE");
  sourceTemplate = arguments[1];
  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  for (std::string request; std::cin >> request;) {
    unsigned number = 0;
    if (request == "version")
      std::cout << LLVM_VERSION_STRING << std::endl;
    else if (request == "layers")
      compile<Layers>();
    else if (request == "lljit")
      compile<Whole>();
    else if (request == "module")
      module();
    else if (request == "memory" && std::cin >> number)
      memory(number);
    else
      require(false, "unknown request");
  }
  std::_Exit(0); // tearing 10,000 functions down is not what is measured
}

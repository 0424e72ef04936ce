#include "compile/module.h"

#include "base/error.h"
#include "compile/bitcode_reader.h"
#include "compile/target.h"

#include "llvm/AsmParser/LLParser.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/Verifier.h"
#include "llvm/IRReader/IRReader.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/SourceMgr.h"

using namespace nomad;
using namespace llvm;

namespace {

// Collects error diagnostics instead of printing them or, as LLVM's default does, ending the process.
class Collector : public DiagnosticHandler {
public:
  explicit Collector(std::shared_ptr<std::string> text) : text_(std::move(text)) {}

  bool handleDiagnostics(const DiagnosticInfo &info) override {
    if (info.getSeverity() != DS_Error || text_->size() > maxText)
      return true;
    raw_string_ostream stream(*text_);
    DiagnosticPrinterRawOStream printer(stream);
    if (!text_->empty())
      stream << "; ";
    info.print(printer);
    return true;
  }

private:
  static constexpr size_t maxText = 4000;
  std::shared_ptr<std::string> text_;
};

// The part of a long line around the column: enough to see the mistake, whatever the line's length.
std::string excerpt(StringRef line, int column) {
  constexpr size_t width = 160;
  if (line.size() <= width)
    return line.str();
  size_t middle = column < 0 ? 0 : static_cast<size_t>(column);
  size_t begin = middle > width / 2 ? middle - width / 2 : 0;
  return line.substr(begin, width).str();
}

bool isBitcodeIn(StringRef source) {
  constexpr size_t magicBytes = 4; // isBitcode takes them for granted
  auto *begin = reinterpret_cast<const unsigned char *>(source.begin());
  return source.size() >= magicBytes && isBitcode(begin, begin + source.size());
}

// IR text as it is; bitcode as LLVM's own writer would have it.
Expected<std::unique_ptr<MemoryBuffer>> safeToParse(StringRef source, StringRef name) {
  if (isBitcodeIn(source))
    return readBitcode(source, name);
  return MemoryBuffer::getMemBufferCopy(source, name);
}

// Without looking at debug information, which is dropped: what LLVM finds wrong with a module that has some, it prints and ends
// the process.
std::unique_ptr<llvm::Module> parse(MemoryBufferRef source, SMDiagnostic &diagnostic, LLVMContext &context) {
  if (isBitcodeIn(source.getBuffer()))
    return parseIR(source, diagnostic, context);
  auto ir = std::make_unique<llvm::Module>(source.getBufferIdentifier(), context);
  SourceMgr sources;
  sources.AddNewSourceBuffer(MemoryBuffer::getMemBuffer(source), SMLoc());
  if (LLParser(source.getBuffer(), sources, diagnostic, ir.get(), nullptr, context).Run(/*UpgradeDebugInfo=*/false))
    return nullptr;
  return ir;
}

Error parseError(StringRef name, const SMDiagnostic &diagnostic) {
  ErrorDetails details;
  std::string where;
  if (diagnostic.getLineNo() > 0) {
    details.line = diagnostic.getLineNo();
    details.column = diagnostic.getColumnNo() + 1;
    details.sourceLine = excerpt(diagnostic.getLineContents(), diagnostic.getColumnNo());
    where = (Twine(":") + Twine(*details.line) + ":" + Twine(*details.column)).str();
  }
  std::string sourceLine = details.sourceLine ? "\n  " + *details.sourceLine : "";
  return fail(ErrorCode::IRParse, name + where + ": " + diagnostic.getMessage() + sourceLine, std::move(details));
}

Error verify(llvm::Module &ir, StringRef name) {
  std::string text;
  raw_string_ostream stream(text);
  bool brokenDebugInfo = false;
  if (verifyModule(ir, &stream, &brokenDebugInfo))
    return fail(ErrorCode::IRVerify, name + ": " + StringRef(text).rtrim());
  StripDebugInfo(ir); // nothing reads it yet, and it costs time in every later step
  return Error::success();
}

Error checkTarget(llvm::Module &ir, StringRef name) {
  const Triple &host = machineTriple();
  Triple triple = ir.getTargetTriple();
  bool runs = triple.str().empty() || (triple.getArch() == host.getArch() && triple.getOS() == host.getOS() &&
                                       triple.isOSBinFormatELF() && !triple.isX32());
  if (!runs)
    return fail(ErrorCode::Unsupported,
                name + ": target triple '" + triple.str() + "' is not this machine's (" + host.str() + ")");
  const DataLayout &layout = machineDataLayout();
  if (!ir.getDataLayoutStr().empty() && ir.getDataLayout() != layout)
    return fail(ErrorCode::Unsupported, name + ": data layout '" + ir.getDataLayoutStr() + "' is not this machine's (" +
                                            layout.getStringRepresentation() + ")");
  ir.setTargetTriple(host);
  ir.setDataLayout(layout);
  return Error::success();
}

} // namespace

void ParsedModule::abandon() {
  (void)ir.release();
  (void)context.release();
  (void)new std::shared_ptr<std::string>(std::move(diagnostics)); // the context's handler still holds it
}

Expected<nomad::ParsedModule> nomad::parseModule(StringRef source, StringRef name) {
  ParsedModule module{std::make_unique<LLVMContext>(), nullptr, std::make_shared<std::string>()};
  module.context->setDiagnosticHandler(std::make_unique<Collector>(module.diagnostics));
  auto buffer = safeToParse(source, name);
  if (!buffer)
    return buffer.takeError();
  SMDiagnostic diagnostic;
  module.ir = parse(MemoryBufferRef((*buffer)->getBuffer(), name), diagnostic, *module.context);
  if (!module.ir)
    return parseError(name, diagnostic);
  if (Error error = checkTarget(*module.ir, name))
    return error;
  if (Error error = verify(*module.ir, name))
    return error;
  return module;
}

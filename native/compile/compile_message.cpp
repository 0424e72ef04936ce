#include "compile/compile_message.h"

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "base/error.h"

using namespace nomad;
using namespace llvm;

namespace {

Error noMessage(const Twine &name, const ByteReader &reader) {
  return fail(ErrorCode::Codegen, name + ": the helper process sent bytes that are not a message: " + reader.what());
}

// ---- of both directions ----

void write(ByteWriter &writer, const std::vector<std::string> &texts) {
  writer.number(texts.size());
  for (const std::string &text : texts)
    writer.text(text);
}

std::vector<std::string> readTexts(ByteReader &reader) {
  std::vector<std::string> texts;
  for (size_t count = reader.count(); count > 0 && reader.isOk(); --count)
    texts.push_back(reader.text().str());
  return texts;
}

// ---- exports ----

void write(ByteWriter &writer, const Signature &signature) {
  writer.text(signature.text);
  writer.text(signature.refusal);
  writer.byte(static_cast<unsigned>(signature.result));
  writer.number(signature.parameters.size());
  for (const Parameter &parameter : signature.parameters)
    writer.byte(static_cast<unsigned>(parameter.kind) | static_cast<unsigned>(parameter.extension) << 4);
}

Signature readSignature(ByteReader &reader) {
  Signature signature;
  signature.text = reader.text().str();
  signature.refusal = reader.text().str();
  signature.result = static_cast<ValueKind>(reader.byte(static_cast<unsigned>(ValueKind::Ptr)));
  for (size_t count = reader.count(); count > 0 && reader.isOk(); --count) {
    unsigned both = reader.byte(0x2f), kind = both & 0xf;
    reader.require(kind <= static_cast<unsigned>(ValueKind::Ptr), "a parameter is of no type");
    signature.parameters.push_back({static_cast<ValueKind>(kind), static_cast<Extension>(both >> 4)});
  }
  return signature;
}

void write(ByteWriter &writer, const ModuleFrames &frames) {
  writer.byte(static_cast<unsigned>(frames.usual));
  writer.byte(frames.switchesStacks ? 1 : 0);
  writer.number(frames.others.size());
  for (const FunctionFrame &frame : frames.others) {
    writer.text(frame.name);
    writer.byte(static_cast<unsigned>(frame.kind));
  }
}

FrameKind readFrameKind(ByteReader &reader) {
  return static_cast<FrameKind>(reader.byte(static_cast<unsigned>(FrameKind::Unknown)));
}

ModuleFrames readFrames(ByteReader &reader) {
  ModuleFrames frames;
  frames.usual = readFrameKind(reader);
  frames.switchesStacks = reader.flag();
  for (size_t count = reader.count(); count > 0 && reader.isOk(); --count) {
    std::string name = reader.text().str();
    frames.others.push_back({std::move(name), readFrameKind(reader)});
  }
  return frames;
}

void write(ByteWriter &writer, const Exports &exports) {
  writer.byte((exports.keepsCodeAddresses ? 1u : 0u) | (exports.storesLabels ? 2u : 0u) | (exports.isIrreplaceable ? 4u : 0u));
  writer.number(exports.functions.size());
  for (const ExportedFunction &function : exports.functions) {
    writer.text(function.name);
    write(writer, function.signature);
    write(writer, function.parameterNames);
  }
  writer.number(exports.globals.size());
  for (const ExportedGlobal &global : exports.globals) {
    writer.text(global.name);
    writer.text(global.type);
    writer.byte(global.kind ? static_cast<unsigned>(*global.kind) : 0); // no global is void
    writer.byte(global.isConstant ? 1 : 0);
    writer.number(global.size);
  }
  writer.number(exports.returnsTwice.size());
  for (const ReturnsTwice &function : exports.returnsTwice) {
    writer.text(function.name);
    writer.byte(function.bySetjmpOnly ? 1 : 0);
  }
  writer.number(exports.declared.size());
  for (const DeclaredFunction &function : exports.declared) {
    writer.text(function.name);
    writer.text(function.type);
  }
  write(writer, exports.frames);
}

ExportedGlobal readGlobal(ByteReader &reader) {
  ExportedGlobal global{};
  global.name = reader.text().str();
  global.type = reader.text().str();
  if (unsigned kind = reader.byte(static_cast<unsigned>(ValueKind::Ptr)))
    global.kind = static_cast<ValueKind>(kind);
  global.isConstant = reader.flag();
  global.size = reader.number();
  return global;
}

Exports readExports(ByteReader &reader) {
  Exports exports;
  unsigned facts = reader.byte(7);
  exports.keepsCodeAddresses = (facts & 1) != 0;
  exports.storesLabels = (facts & 2) != 0;
  exports.isIrreplaceable = (facts & 4) != 0;
  for (size_t count = reader.count(); count > 0 && reader.isOk(); --count) {
    ExportedFunction function;
    function.name = reader.text().str();
    function.signature = readSignature(reader);
    function.parameterNames = readTexts(reader);
    exports.functions.push_back(std::move(function));
  }
  for (size_t count = reader.count(); count > 0 && reader.isOk(); --count)
    exports.globals.push_back(readGlobal(reader));
  for (size_t count = reader.count(); count > 0 && reader.isOk(); --count) {
    std::string name = reader.text().str();
    exports.returnsTwice.push_back({std::move(name), reader.flag()});
  }
  for (size_t count = reader.count(); count > 0 && reader.isOk(); --count) {
    std::string name = reader.text().str();
    exports.declared.push_back({std::move(name), reader.text().str()});
  }
  exports.frames = readFrames(reader);
  return exports;
}

} // namespace

// ---- requests ----

std::vector<std::uint8_t> nomad::encodeRequest(StringRef source, const CompileRequest &request) {
  ByteWriter writer;
  writer.text(request.name);
  writer.byte(static_cast<unsigned>(request.level));
  writer.byte(static_cast<unsigned>(request.moves));
  writer.byte(static_cast<unsigned>(request.granularity));
  write(writer, request.ownFunctions);
  writer.text(source);
  return std::move(writer.bytes);
}

Error nomad::decodeRequest(ArrayRef<std::uint8_t> bytes, StringRef &source, CompileRequest &request) {
  ByteReader reader(bytes);
  request.name = reader.text().str();
  request.level = static_cast<OptLevel>(reader.byte(static_cast<unsigned>(OptLevel::O3)));
  request.moves = static_cast<Moves>(reader.byte(static_cast<unsigned>(Moves::All)));
  request.granularity = static_cast<Granularity>(reader.byte(static_cast<unsigned>(Granularity::Function)));
  request.ownFunctions = readTexts(reader);
  source = reader.text();
  reader.require(reader.isAtEnd(), "there is more than it needs");
  return reader.isOk() ? Error::success() : noMessage("a request", reader);
}

// ---- object files ----

std::vector<std::uint8_t> nomad::encodeObjectFile(const ObjectFile &object) {
  ByteWriter writer;
  write(writer, object.exports);
  writer.text(object.bytes->getBuffer());
  return std::move(writer.bytes);
}

Expected<ObjectFile> nomad::decodeObjectFile(ArrayRef<std::uint8_t> bytes, const std::string &name) {
  ByteReader reader(bytes);
  ObjectFile object;
  object.exports = readExports(reader);
  StringRef content = reader.text();
  reader.require(reader.isAtEnd(), "there is more than it needs");
  if (!reader.isOk())
    return noMessage(name, reader);
  object.bytes = MemoryBuffer::getMemBufferCopy(content, name);
  return object;
}

// ---- errors ----

std::vector<std::uint8_t> nomad::encodeError(Error error, StringRef more) {
  ByteWriter writer;
  handleAllErrors(withCode(ErrorCode::Codegen, "LLVM", std::move(error)), [&](const CodedError &coded) {
    writer.byte(static_cast<unsigned>(coded.code));
    writer.text(coded.message + more.str());
    writer.number(coded.details.line ? *coded.details.line + std::uint64_t{1} : 0);
    writer.number(coded.details.column ? *coded.details.column + std::uint64_t{1} : 0);
    writer.byte(coded.details.sourceLine ? 1 : 0);
    writer.text(coded.details.sourceLine.value_or(""));
    write(writer, coded.details.symbols);
  });
  return std::move(writer.bytes);
}

Error nomad::decodeError(ArrayRef<std::uint8_t> bytes, const std::string &name) {
  ByteReader reader(bytes);
  auto code = static_cast<ErrorCode>(reader.byte(static_cast<unsigned>(ErrorCode::Arena)));
  std::string message = reader.text().str();
  ErrorDetails details;
  if (std::uint64_t line = reader.number())
    details.line = static_cast<unsigned>(line - 1);
  if (std::uint64_t column = reader.number())
    details.column = static_cast<unsigned>(column - 1);
  bool hasSourceLine = reader.flag();
  std::string sourceLine = reader.text().str();
  if (hasSourceLine)
    details.sourceLine = std::move(sourceLine);
  details.symbols = readTexts(reader);
  if (!reader.isOk())
    return noMessage(name, reader);
  return fail(code, message, std::move(details));
}

// Oracle: the exports that went in.
#include "support.h"

#include "link/symbol_table.h"

#include <map>

using namespace nomad;
using namespace nomad::test;

namespace {

using Places = std::map<std::string, SymbolPlace>;

// Of a function that is there.
Size sizeOf(SymbolPlace place) { return place.offset % 1000; }

SymbolTable encode(const char *name, const Exports &exports, TypePool &types, const Places &places) {
  return SymbolTable::encode(name, exports, types, [&](llvm::StringRef symbol) -> std::optional<SymbolExtent> {
    auto found = places.find(symbol.str());
    return found == places.end() ? std::nullopt : std::optional(SymbolExtent{found->second, sizeOf(found->second)});
  });
}

Signature signature(const char *text) {
  Signature signature;
  signature.text = text;
  return signature;
}

void checkFunction(const ExportedFunction &in, SymbolPlace place, const SymbolTable &table, const TypePool &types) {
  auto out = table.function(in.name);
  REQUIRE(out);
  CHECK(out->name == in.name);
  CHECK(out->place.segment == place.segment);
  CHECK(out->place.offset == place.offset);
  CHECK(out->size == sizeOf(place));
  CHECK(types.signature(out->signature).text == in.signature.text);
  for (size_t i = 0; i < in.parameterNames.size(); ++i)
    CHECK((i < out->parameterNames.size() ? out->parameterNames[i] : "") == in.parameterNames[i]);
  CHECK(out->parameterNames.size() <= in.parameterNames.size());
}

void checkGlobal(const ExportedGlobal &in, SymbolPlace place, const SymbolTable &table, const TypePool &types) {
  auto out = table.global(in.name);
  REQUIRE(out);
  CHECK(out->place.segment == place.segment);
  CHECK(out->place.offset == place.offset);
  CHECK(types.text(out->type) == in.type);
  CHECK(out->kind == in.kind);
  CHECK(out->isConstant == in.isConstant);
  CHECK(out->size == in.size);
}

} // namespace

TEST_CASE("symbol table: an empty one has no name and no symbols") {
  SymbolTable table;
  CHECK(table.objectName().empty());
  CHECK_FALSE(table.function("f"));
  CHECK_FALSE(table.global("g"));
}

TEST_CASE("symbol table: functions and globals come out as they went in") {
  Exports exports;
  exports.functions.push_back({"f", signature("i32 (i32, i32)"), {"left", "right"}});
  exports.functions.push_back({"middleUnnamed", signature("void (i32, ptr, ptr)"), {"", "p", ""}});
  exports.functions.push_back({"", signature("void ()"), {}}); // a name may be empty
  exports.functions.push_back({std::string("with\0zero", 9), signature("void ()"), {}});
  exports.globals.push_back({"g", "i32", ValueKind::I32, false, 4});
  exports.globals.push_back({"big", "[1 x i8]", std::nullopt, true, Size{3} << 30});
  exports.globals.push_back({"p", "ptr", ValueKind::Ptr, false, 8}); // the last kind
  Places places{{"f", {SegmentKind::Code, 0}},  {"middleUnnamed", {SegmentKind::Code, 0x7fff'ffff}},
                {"", {SegmentKind::Code, 128}}, {std::string("with\0zero", 9), {SegmentKind::Code, 127}},
                {"g", {SegmentKind::Data, 16}}, {"big", {SegmentKind::Constants, 0xffff'fff0}},
                {"p", {SegmentKind::Data, 0}}};
  TypePool types;
  SymbolTable table = encode("object", exports, types, places);
  CHECK(table.objectName() == "object");
  for (const ExportedFunction &each : exports.functions)
    checkFunction(each, places.at(each.name), table, types);
  for (const ExportedGlobal &each : exports.globals)
    checkGlobal(each, places.at(each.name), table, types);
  CHECK_FALSE(table.function("g"));
  CHECK_FALSE(table.global("f"));
}

TEST_CASE("symbol table: what the link did not place is left out") {
  Exports exports;
  exports.functions.push_back({"kept", signature("void ()"), {}});
  exports.functions.push_back({"pruned", signature("void ()"), {}});
  TypePool types;
  SymbolTable table = encode("", exports, types, {{"kept", {SegmentKind::Code, 1}}});
  CHECK(table.objectName().empty());
  CHECK(table.function("kept"));
  CHECK_FALSE(table.function("pruned"));
}

TEST_CASE("symbol table: 3000 symbols, each found, in order") {
  Exports exports;
  Places places;
  for (unsigned i = 0; i < 3000; ++i) {
    std::string name = "symbol" + std::to_string(i) + std::string(i % 200, 'x');
    places[name] = {segmentKinds[i % 3], i * 7919};
    if (i % 2)
      exports.globals.push_back({name, "i" + std::to_string(i % 9), std::nullopt, i % 4 == 1, i});
    else
      exports.functions.push_back({name, signature(i % 4 ? "void ()" : "i32 ()"), {}});
  }
  TypePool types;
  SymbolTable table = encode("many", exports, types, places);
  for (const ExportedGlobal &each : exports.globals)
    checkGlobal(each, places.at(each.name), table, types);
  size_t next = 0;
  table.everyFunction([&](const FunctionSymbol &function) {
    REQUIRE(next < exports.functions.size());
    CHECK(function.name == exports.functions[next].name);
    CHECK(function.place.offset == places.at(exports.functions[next].name).offset);
    ++next;
  });
  CHECK(next == exports.functions.size());
  CHECK(types.signatureCount() == 2);
  for (const ExportedFunction &each : exports.functions) {
    auto found = table.function(each.name);
    REQUIRE(found);
    CHECK(found->place.offset == places.at(each.name).offset);
    CHECK(!table.global(each.name));
    CHECK(!table.function(each.name + "?"));
  }
  CHECK(!table.function(""));
  CHECK(!table.global("zzz"));
  CHECK(!table.checkIntegrity({3000 * 7919, 3000 * 7919, 3000 * 7919}, types));
}

TEST_CASE("function finder: the function whose bytes an offset is among, and nobody between them") {
  Exports exports;
  Places places;
  std::vector<const char *> order{"far", "near", "none", "alias", "data"};
  for (const char *name : order)
    exports.functions.push_back({name, signature("void ()"), {}});
  places["near"] = places["alias"] = {SegmentKind::Code, 16}; // 16 bytes
  places["far"] = {SegmentKind::Code, 1100};                  // 100 bytes
  places["none"] = {SegmentKind::Code, 3000};                 // no bytes
  places["data"] = {SegmentKind::Data, 500};
  TypePool types;
  SymbolTable table = encode("object", exports, types, places);
  FunctionFinder finder(table);
  for (Offset offset = 0; offset < 4000; ++offset) {
    const char *expected = offset >= 16 && offset < 32 ? "near" : offset >= 1100 && offset < 1200 ? "far" : "";
    CHECK(finder.at(offset) == expected);
  }
  CHECK(FunctionFinder(SymbolTable()).at(0).empty());
}

TEST_CASE("type pool: equal keys share an index, different extensions do not") {
  TypePool types;
  Signature plain = signature("i32 (i8)"), sign = plain, zero = plain;
  plain.parameters = {{ValueKind::I8, Extension::None}};
  sign.parameters = {{ValueKind::I8, Extension::Sign}};
  zero.parameters = {{ValueKind::I8, Extension::Zero}};
  SignatureIndex first = types.intern(plain);
  CHECK(types.intern(sign) != first);
  CHECK(types.intern(zero) != types.intern(sign));
  CHECK(types.intern(plain) == first);
  CHECK(types.internText("i32") == types.internText("i32"));
  CHECK(types.internText("i32") != types.internText("i64"));
}

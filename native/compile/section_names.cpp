#include "compile/section_names.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

namespace {

// `base` itself, or with something after a dot.
bool isOf(StringRef section, StringRef base) {
  return section.consume_front(base) && (section.empty() || section.starts_with("."));
}

} // namespace

std::optional<StructorList> nomad::structorListOf(StringRef section) {
  StructorList list{StructorList::When::Load, 65535};
  if (section.consume_front(".fini_array"))
    list.when = StructorList::When::Unload;
  else if (!section.consume_front(".init_array"))
    return std::nullopt;
  if (section.empty() || (section.consume_front(".") && !section.getAsInteger(10, list.priority)))
    return list;
  return std::nullopt;
}

bool nomad::isReservedSection(StringRef section) {
  static constexpr StringLiteral prefixes[] = {".nomad.", ".eh_frame", ".gcc_except_table", "$__", ".rela"};
  static constexpr StringLiteral names[] = {".preinit_array", ".ctors",  ".dtors",    ".init", ".fini",
                                            ".symtab",        ".strtab", ".shstrtab", ".rel",  ".group"};
  return any_of(prefixes, [=](StringRef prefix) { return section.starts_with(prefix); }) ||
         any_of(names, [=](StringRef name) { return isOf(section, name); });
}

bool nomad::writesReservedSection(StringRef assembly) {
  return assembly.contains(".eh_frame") || assembly.contains(".gcc_except_table") || assembly.contains("$__");
}

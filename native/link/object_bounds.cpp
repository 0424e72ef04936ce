#include "link/object_bounds.h"

#include "base/error.h"
#include "compile/movable_module.h"
#include "link/import_site.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/MathExtras.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::ELF;

namespace {

using Elf = object::ELF64LE;

// Bytes that a relocation of this type writes.
Size widthOfType(std::uint32_t type) {
  switch (type) {
  case R_X86_64_NONE:
  case R_X86_64_TLSDESC_CALL:
    return 0;
  case R_X86_64_8:
  case R_X86_64_PC8:
    return 1;
  case R_X86_64_16:
  case R_X86_64_PC16:
    return 2;
  case R_X86_64_64:
  case R_X86_64_PC64:
  case R_X86_64_SIZE64:
  case R_X86_64_GOTOFF64:
  case R_X86_64_GOTPC64:
  case R_X86_64_GOT64:
  case R_X86_64_GOTPCREL64:
  case R_X86_64_GOTPLT64:
  case R_X86_64_PLTOFF64:
  case R_X86_64_GLOB_DAT:
  case R_X86_64_JUMP_SLOT:
  case R_X86_64_RELATIVE:
  case R_X86_64_IRELATIVE:
  case R_X86_64_DTPMOD64:
  case R_X86_64_DTPOFF64:
  case R_X86_64_TPOFF64:
    return 8;
  case R_X86_64_TLSDESC:
    return 16;
  default:
    return 4;
  }
}

class BoundsChecker {
public:
  BoundsChecker(const object::ELFFile<Elf> &file, const Arena &arena, const std::string &name, CommonSymbols common)
      : file_(file), arena_(arena), name_(name), common_(common) {}

  Error check() {
    if (Error error = file_.sections().moveInto(sections_))
      return error;
    for (const Elf::Shdr &section : sections_)
      if (Error error = checkSection(section))
        return error;
    if (Error error = checkSizes())
      return error;
    for (const Elf::Shdr &section : sections_)
      if (section.sh_type == SHT_SYMTAB)
        if (Error error = checkSymbols(section))
          return error;
    for (const Elf::Shdr &section : sections_)
      if (section.sh_type == SHT_RELA && section.sh_info < sections_.size() && isLoaded(sections_[section.sh_info]))
        if (Error error = checkRelocations(section))
          return error;
    return checkOverlaps();
  }

private:
  struct Site {
    const Elf::Shdr *section;
    Size offset;
    Size width;

    auto operator<=>(const Site &) const = default;
  };

  Error refuse(const Twine &what) const { return fail(ErrorCode::Unsupported, name_ + ": " + what); }
  static bool isLoaded(const Elf::Shdr &section) { return (section.sh_flags & SHF_ALLOC) != 0; }

  std::string quotedName(const Elf::Shdr &section) const {
    Expected<StringRef> name = file_.getSectionName(section);
    if (name)
      return ("'" + *name + "'").str();
    consumeError(name.takeError());
    return "without a name";
  }

  std::string quotedName(const Elf::Sym &symbol) const {
    Expected<StringRef> name = symbol.getName(names_);
    if (name)
      return ("'" + *name + "'").str();
    consumeError(name.takeError());
    return "a symbol without a name";
  }

  // ---- sections ----

  Error checkSection(const Elf::Shdr &section) {
    if (!isLoaded(section))
      return Error::success();
    if (section.sh_addralign > maxAlignment)
      return refuse("alignment " + Twine(section.sh_addralign) + " of section " + quotedName(section) + " is more than " +
                    Twine(maxAlignment));
    Size &sum = bytes_[indexOf(kindOf(section))];
    sum = SaturatingAdd<Size>(sum, section.sh_size);
    return Error::success();
  }

  static SegmentKind kindOf(const Elf::Shdr &section) {
    if ((section.sh_flags & SHF_EXECINSTR) != 0)
      return SegmentKind::Code;
    return (section.sh_flags & SHF_WRITE) != 0 ? SegmentKind::Data : SegmentKind::Constants;
  }

  // Roughly: what becomes of a section is decided later, and Capture::addSegment is exact. Read-only sections may move with the
  // code, and data that only the linker writes become constants.
  Error checkSizes() const {
    for (SegmentKind kind : segmentKinds) {
      Size room = arena_.segments(kind).size();
      if (kind != SegmentKind::Code)
        room += arena_.segments(kind == SegmentKind::Data ? SegmentKind::Constants : SegmentKind::Code).size();
      if (bytes_[indexOf(kind)] > room)
        return fail(ErrorCode::Link, name_ + ": " + Twine(bytes_[indexOf(kind)]) + " bytes of " + segmentName(kind) +
                                         " are more than the arena's " + Twine(arena_.segments(kind).size()));
    }
    return Error::success();
  }

  // ---- symbols ----

  Error checkSymbols(const Elf::Shdr &section) {
    if (Error error = file_.symbols(&section).moveInto(symbols_))
      return error;
    if (Error error = file_.getStringTableForSymtab(section).moveInto(names_))
      return error;
    for (const Elf::Sym &symbol : symbols_)
      if (symbol.st_shndx == SHN_COMMON && common_ == CommonSymbols::Refused)
        return refuse(quotedName(symbol) + " of assembly is common: no section has it; .lcomm or a label in .bss defines it");
    return Error::success();
  }

  // ---- relocations ----

  Error checkRelocations(const Elf::Shdr &list) {
    auto relocations = file_.relas(list);
    if (!relocations)
      return relocations.takeError();
    const Elf::Shdr &section = sections_[list.sh_info];
    for (const Elf::Rela &relocation : *relocations)
      if (Error error = checkRelocation(relocation, section))
        return error;
    return Error::success();
  }

  Error checkRelocation(const Elf::Rela &relocation, const Elf::Shdr &section) {
    std::uint32_t type = relocation.getType(false);
    Size width = widthOfType(type), size = section.sh_type == SHT_NOBITS ? 0 : static_cast<Size>(section.sh_size);
    std::uint32_t symbol = relocation.getSymbol(false);
    if (symbol >= std::max<size_t>(symbols_.size(), 1))
      return fail(ErrorCode::Link, name_ + ": a relocation of section " + quotedName(section) + " refers to no symbol");
    if (width > 0 && (width > size || relocation.r_offset > size - width))
      return refuse("relocation " + object::getELFRelocationTypeName(EM_X86_64, type) + " at offset " + hex(relocation.r_offset) +
                    " is not in the " + Twine(size) + " bytes of section " + quotedName(section));
    if (symbol < symbols_.size() && leadsIntoTheMiddle(relocation, symbols_[symbol]))
      return refuse("section " + quotedName(section) + " calls " + quotedName(symbols_[symbol]) + " with " +
                    Twine(relocation.r_addend - callAddend) + " added: only its start is known to be one");
    if (width > 0)
      sites_.push_back({&section, relocation.r_offset, width});
    return Error::success();
  }

  // Of another code object, or of the process, and so possibly reached through a stub.
  static bool leadsIntoTheMiddle(const Elf::Rela &relocation, const Elf::Sym &callee) {
    return relocation.getType(false) == R_X86_64_PLT32 && callee.st_shndx == SHN_UNDEF && relocation.r_addend != callAddend;
  }

  // Each adds to what is there when something moves: of two in the same bytes, one would spoil what the other has done.
  Error checkOverlaps() {
    if (!is_sorted(sites_))
      llvm::sort(sites_);
    for (size_t i = 1; i < sites_.size(); ++i)
      if (const Site &before = sites_[i - 1], &site = sites_[i];
          site.section == before.section && site.offset - before.offset < before.width)
        return refuse("section " + quotedName(*site.section) + " has two relocations in the same bytes, at offsets " +
                      hex(before.offset) + " and " + hex(site.offset));
    return Error::success();
  }

  const object::ELFFile<Elf> &file_;
  const Arena &arena_;
  const std::string &name_;
  CommonSymbols common_;
  Elf::ShdrRange sections_;
  std::array<Size, 3> bytes_{};
  Elf::SymRange symbols_;
  StringRef names_;
  std::vector<Site> sites_;
};

} // namespace

Error nomad::checkObjectFile(StringRef bytes, const Arena &arena, const std::string &name, CommonSymbols common) {
  auto file = object::ELFFile<Elf>::create(bytes);
  if (!file)
    return withCode(ErrorCode::Link, name, file.takeError());
  return withCode(ErrorCode::Link, name, BoundsChecker(*file, arena, name, common).check());
}

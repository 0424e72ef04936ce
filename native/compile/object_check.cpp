#include "compile/object_check.h"

#include "base/error.h"
#include "compile/movable_module.h"
#include "compile/section_names.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Object/ELF.h"

using namespace nomad;
using namespace llvm;
using namespace llvm::ELF;

namespace {

using Elf = object::ELF64LE;

class ObjectChecker {
public:
  ObjectChecker(const object::ELFFile<Elf> &file, const llvm::Module &ir) : file_(file), ir_(ir) {}

  Error check() {
    if (Error error = file_.sections().moveInto(sections_))
      return error;
    for (const Elf::Shdr &section : sections_)
      if (section.sh_type == SHT_SYMTAB)
        if (Error error = readSymbols(section))
          return error;
    for (const Elf::Shdr &section : sections_)
      if (Error error = checkSection(section))
        return error;
    for (const Elf::Sym &symbol : symbols_)
      if (Error error = checkSymbol(symbol))
        return error;
    for (const Elf::Shdr &section : sections_)
      if (section.sh_type == SHT_RELA && section.sh_info < sections_.size() && isLoaded(sections_[section.sh_info]))
        if (Error error = checkRelocations(section))
          return error;
    return Error::success();
  }

private:
  Error refuse(const Twine &what) const { return fail(ErrorCode::Unsupported, ir_.getModuleIdentifier() + ": " + what); }

  Error readSymbols(const Elf::Shdr &section) {
    if (Error error = file_.symbols(&section).moveInto(symbols_))
      return error;
    return file_.getStringTableForSymtab(section).moveInto(names_);
  }

  static bool isLoaded(const Elf::Shdr &section) { return (section.sh_flags & SHF_ALLOC) != 0; }

  StringRef nameOf(const Elf::Shdr &section) const {
    Expected<StringRef> name = file_.getSectionName(section);
    if (name)
      return *name;
    consumeError(name.takeError());
    return "";
  }

  StringRef nameOf(const Elf::Sym &symbol) const {
    if (symbol.getType() == STT_SECTION)
      if (const Elf::Shdr *section = sectionOf(symbol))
        return nameOf(*section);
    Expected<StringRef> name = symbol.getName(names_);
    if (name)
      return *name;
    consumeError(name.takeError());
    return "";
  }

  const Elf::Shdr *sectionOf(const Elf::Sym &symbol) const {
    bool isDefined = symbol.st_shndx != SHN_UNDEF && symbol.st_shndx < SHN_LORESERVE && symbol.st_shndx < sections_.size();
    return isDefined ? &sections_[symbol.st_shndx] : nullptr;
  }

  // The first name in a section, for messages.
  std::string symbolIn(const Elf::Shdr &section) const {
    for (const Elf::Sym &symbol : symbols_)
      if (symbol.getType() != STT_SECTION && sectionOf(symbol) == &section && !nameOf(symbol).empty())
        return (" ('" + nameOf(symbol) + "')").str();
    return "";
  }

  // ---- sections ----

  Error checkSection(const Elf::Shdr &section) {
    if (!isLoaded(section) || section.sh_size == 0)
      return Error::success();
    StringRef name = nameOf(section);
    auto what = [&](StringRef property) { return ("section '" + name + "'" + symbolIn(section) + " " + property).str(); };
    auto protection = section.sh_flags & (SHF_WRITE | SHF_EXECINSTR);
    if (protection == (SHF_WRITE | SHF_EXECINSTR))
      return refuse(what("is writable and executable"));
    if ((section.sh_flags & SHF_TLS) != 0)
      return refuse(what("is for thread-local variables, but these are emulated"));
    if (section.sh_type == SHT_INIT_ARRAY || section.sh_type == SHT_FINI_ARRAY || section.sh_type == SHT_PREINIT_ARRAY ||
        structorListOf(name) || isForeignStructorList(name))
      return refuse(what("lists functions to run, but belongs to no variable of the module"));
    auto [known, isNew] = protections_.try_emplace(name, protection);
    if (!isNew && known->second != protection)
      return refuse(what("is there more than once, with different permissions"));
    return Error::success();
  }

  static bool isForeignStructorList(StringRef name) {
    return name == ".preinit_array" || name == ".ctors" || name == ".dtors" || name == ".init" || name == ".fini";
  }

  // ---- symbols ----

  Error checkSymbol(const Elf::Sym &symbol) const {
    StringRef name = nameOf(symbol);
    if (symbol.getType() == STT_GNU_IFUNC)
      return refuse("ifunc '" + name + "' of assembly");
    if (symbol.st_shndx == SHN_ABS && symbol.getType() != STT_FILE)
      return refuse("'" + name + "' is an absolute number that assembly has given a name");
    if (!name.starts_with(ownPrefix) && !name.starts_with("__emutls_v."))
      return Error::success();
    const GlobalValue *known = ir_.getNamedValue(name);
    if (!known || known->isDeclaration() != (symbol.st_shndx == SHN_UNDEF))
      return refuse("the name '" + name + "', used by assembly, is reserved");
    return Error::success();
  }

  // ---- relocations ----

  Error checkRelocations(const Elf::Shdr &section) const {
    auto relocations = file_.relas(section);
    if (!relocations)
      return relocations.takeError();
    for (const Elf::Rela &relocation : *relocations)
      if (std::uint32_t index = relocation.getSymbol(false); index < symbols_.size())
        if (Error error = checkRelocation(relocation.getType(false), symbols_[index], sections_[section.sh_info]))
          return error;
    return Error::success();
  }

  Error checkRelocation(std::uint32_t type, const Elf::Sym &symbol, const Elf::Shdr &site) const {
    StringRef problem = problemOf(type, symbol);
    if (problem.empty())
      return Error::success();
    return refuse("section '" + nameOf(site) + "' has a relocation " + object::getELFRelocationTypeName(EM_X86_64, type) +
                  " towards '" + nameOf(symbol) + "': " + problem);
  }

  StringRef problemOf(std::uint32_t type, const Elf::Sym &symbol) const {
    const Elf::Shdr *target = sectionOf(symbol);
    if (target && !isLoaded(*target))
      return "its section is not loaded";
    switch (type) {
    case R_X86_64_8:
    case R_X86_64_16:
    case R_X86_64_32:
    case R_X86_64_32S:
      return target ? "addresses here have 64 bits" : "";
    case R_X86_64_PC8:
    case R_X86_64_PC16:
    case R_X86_64_PC32:
      return isAnywhere(symbol) ? "it may be anywhere; @GOTPCREL reaches it" : "";
    case R_X86_64_DTPMOD64:
    case R_X86_64_DTPOFF32:
    case R_X86_64_DTPOFF64:
    case R_X86_64_GOTPC32_TLSDESC:
    case R_X86_64_GOTTPOFF:
    case R_X86_64_TLSDESC:
    case R_X86_64_TLSDESC_CALL:
    case R_X86_64_TLSGD:
    case R_X86_64_TLSLD:
    case R_X86_64_TPOFF32:
    case R_X86_64_TPOFF64:
      return "thread-local variables are emulated";
    default:
      return "";
    }
  }

  // Entry stubs are near, and so is what the linker makes.
  bool isAnywhere(const Elf::Sym &symbol) const {
    StringRef name = nameOf(symbol);
    return symbol.st_shndx == SHN_UNDEF && !name.empty() && !name.starts_with(ownPrefix) && name != "_GLOBAL_OFFSET_TABLE_";
  }

  const object::ELFFile<Elf> &file_;
  const llvm::Module &ir_;
  Elf::ShdrRange sections_;
  Elf::SymRange symbols_;
  StringRef names_;
  StringMap<std::uint64_t> protections_;
};

} // namespace

Error nomad::checkObject(StringRef object, const llvm::Module &ir) {
  auto file = object::ELFFile<Elf>::create(object);
  if (!file)
    return withCode(ErrorCode::Codegen, ir.getModuleIdentifier(), file.takeError());
  return withCode(ErrorCode::Codegen, ir.getModuleIdentifier(), ObjectChecker(*file, ir).check());
}

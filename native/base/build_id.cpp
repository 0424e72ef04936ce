#include "base/build_id.h"

#include "base/address.h"

#include <cstring>
#include <elf.h>
#include <link.h>

using namespace nomad;

namespace {

struct Search {
  Address ours;
  std::string found;
};

bool hasAddress(const dl_phdr_info &info, Address address) {
  for (int i = 0; i < info.dlpi_phnum; ++i)
    if (const auto &part = info.dlpi_phdr[i];
        part.p_type == PT_LOAD && Range::at(Address::of(info.dlpi_addr + part.p_vaddr), part.p_memsz).contains(address))
      return true;
  return false;
}

// Notes are records of three sizes, a name and a value, each filled up to a multiple of 4.
std::string idIn(const char *notes, Size size) {
  for (Size at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes + at, sizeof note);
    Size name = at + sizeof note, value = name + roundUp(note.n_namesz, 4);
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(notes + name, "GNU", 4) == 0)
      return {notes + value, note.n_descsz};
    at = value + roundUp(note.n_descsz, 4);
  }
  return "";
}

int look(dl_phdr_info *info, size_t, void *data) {
  auto &search = *static_cast<Search *>(data);
  if (!hasAddress(*info, search.ours))
    return 0;
  for (int i = 0; i < info->dlpi_phnum && search.found.empty(); ++i)
    if (const auto &part = info->dlpi_phdr[i]; part.p_type == PT_NOTE)
      search.found = idIn(Address::of(info->dlpi_addr + part.p_vaddr).pointer<char>(), part.p_memsz);
  return 1;
}

} // namespace

std::string nomad::buildId() {
  Search search{Address::of(reinterpret_cast<const void *>(&look)), ""};
  dl_iterate_phdr(look, &search);
  return search.found;
}

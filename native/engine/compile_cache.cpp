#include "engine/compile_cache.h"

#include "base/build_id.h"
#include "base/recovery.h"
#include "compile/this_machine.h"
#include "link/saved_object.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/CachePruning.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace nomad;
using namespace llvm;

namespace {

constexpr StringLiteral prefix = "llvmcache-";    // pruneCache looks at no other files
constexpr std::chrono::seconds pruneInterval{60}; // of all processes that only begin
constexpr Size pruneShare = 16;                   // of the bound may be stored before it is looked after again

// Lengths first: no two sequences of fields give the same bytes.
class Hasher {
public:
  void add(StringRef field) {
    add(field.size());
    hasher_.update(field);
  }
  void add(std::uint64_t number) { hasher_.update(ArrayRef(reinterpret_cast<const std::uint8_t *>(&number), sizeof number)); }
  std::string result() { return toHex(hasher_.final<16>(), true); }

private:
  BLAKE3 hasher_;
};

bool writeAll(int file, ArrayRef<std::uint8_t> bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return false;
    bytes = bytes.drop_front(static_cast<size_t>(written));
  }
  return true;
}

// Does not wait for a FIFO or a device.
std::unique_ptr<MemoryBuffer> readRegularFile(const std::string &path) {
  int file = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0)
    return nullptr;
  struct stat status;
  std::unique_ptr<MemoryBuffer> buffer;
  if (::fstat(file, &status) == 0 && S_ISREG(status.st_mode)) {
    auto read = MemoryBuffer::getOpenFile(file, path, static_cast<std::uint64_t>(status.st_size),
                                          /*RequiresNullTerminator=*/false, /*IsVolatile=*/true);
    buffer = read ? std::move(*read) : nullptr;
  }
  ::close(file);
  return buffer;
}

} // namespace

CompileCache::CompileCache(const EngineOptions &options) : directory_(options.cacheDirectory), maxBytes_(options.cacheBytes) {
  const Machine &machine = thisMachine();
  Hasher hasher;
  hasher.add(savedVersion);
  hasher.add(buildId());
  hasher.add(machine.llvm);
  hasher.add(machine.triple);
  hasher.add(machine.cpu);
  hasher.add(machine.features);
  hasher.add(static_cast<std::uint64_t>(options.linker));
  hasher.add(options.verifiesMoves ? 1 : 0);
  maker_ = hasher.result();
}

// Functions of other code objects are called directly, addresses through slots: code differs.
std::string CompileCache::key(StringRef source, const CompileRequest &request, const CompileOptions &options) const {
  std::vector<std::pair<StringRef, bool>> imports;
  for (const Import &import : options.imports)
    imports.push_back({import.name, import.object != noHandle});
  llvm::sort(imports);
  Hasher hasher;
  hasher.add(maker_);
  hasher.add(static_cast<std::uint64_t>(request.level));
  hasher.add(static_cast<std::uint64_t>(request.moves));
  hasher.add(static_cast<std::uint64_t>(options.retain));
  hasher.add(request.ownFunctions.size());
  for (const std::string &name : request.ownFunctions)
    hasher.add(name);
  hasher.add(imports.size());
  for (auto &[name, isFunction] : imports) {
    hasher.add(name);
    hasher.add(isFunction ? 1 : 0);
  }
  hasher.add(source);
  return hasher.result();
}

std::string CompileCache::pathOf(StringRef key) const { return directory_ + "/" + (prefix + key).str(); }

// Read, not mapped: a file that is cut short meanwhile would be a fault. Its times say when it was used last.
std::unique_ptr<MemoryBuffer> CompileCache::find(StringRef key) const {
  std::string path = pathOf(key);
  auto file = readRegularFile(path);
  if (!file)
    return nullptr;
  if (Error error = checkSaved(arrayRefFromStringRef(file->getBuffer()), path)) {
    consumeError(std::move(error));
    return nullptr;
  }
  struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  (void)::utimensat(AT_FDCWD, path.c_str(), times, 0);
  return file;
}

void CompileCache::store(StringRef key, ArrayRef<std::uint8_t> bytes) {
  int file = -1;
  SmallString<128> unfinished;
  if (sys::fs::createUniqueFile(pathOf(key) + "-%%%%%%%%", file, unfinished, sys::fs::OF_None,
                                sys::fs::owner_read | sys::fs::owner_write))
    return;
  bool isWritten = writeAll(file, bytes);
  if (::close(file) != 0 || !isWritten || sys::fs::rename(unfinished, pathOf(key))) {
    (void)sys::fs::remove(unfinished);
    return;
  }
  prune(bytes.size());
}

void CompileCache::prune(Size stored) {
  storedBytes_ += stored;
  CachePruningPolicy policy;
  policy.Interval = hasPruned_ ? std::chrono::seconds(0) : pruneInterval;
  policy.Expiration = std::chrono::seconds(0);
  policy.MaxSizePercentageOfAvailableSpace = 0;
  policy.MaxSizeBytes = maxBytes_;
  policy.MaxSizeFiles = 0;
  if (storedBytes_ < maxBytes_ / pruneShare && hasPruned_)
    return;
  hasPruned_ = true;
  storedBytes_ = 0;
  bool abandoned = false;
  consumeError(runRecoverably("compile cache", [&] { return pruneCache(directory_, policy), Error::success(); }, abandoned));
}

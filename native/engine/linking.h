// How code objects come to be: compiled, found in the compile cache, or read from bytes.
#pragma once

#include "engine/compile_cache.h"
#include "engine/endings.h"
#include "engine/redirector.h"
#include "engine/resolver.h"
#include "engine/saved_code.h"

namespace nomad {

class Linking {
public:
  Linking(const LinkEnvironment &environment, Linker &linker, TargetMachinePool &machines, CompileCache *cache,
          const MoveVerifier &verifier, const ProcessSymbols &process, Attention &attention, CodeObjects &objects, Names &names,
          References &references, Redirector &redirector, SavedCode &saved, Endings &endings)
      : environment_(environment), linker_(linker), machines_(machines), cache_(cache), verifier_(verifier), process_(process),
        attention_(attention), objects_(objects), names_(names), references_(references), redirector_(redirector), saved_(saved),
        endings_(endings) {}

  /// With a key of the cache, the code object is stored there.
  llvm::Expected<Handle> link(ObjectFile object, const CompileOptions &options, llvm::StringRef cacheKey = "");
  /// Looks into the cache first.
  llvm::Expected<Handle> compile(llvm::StringRef source, const CompileOptions &options);
  /// Each function as a code object of its own, after the first, which has all else of the module. Errors: as compile;
  /// Unsupported with Retain::Object.
  llvm::Expected<std::vector<Handle>> compileParts(llvm::StringRef source, const CompileOptions &options);
  /// Generates no code, and does not use LLVM's linker. Uses name and imports of `options`. Errors: Link (damaged), Unsupported
  /// (made by or for something else), UnresolvedSymbol, Signature, SpaceFull.
  llvm::Expected<Handle> deserialize(llvm::ArrayRef<std::uint8_t> bytes, const CompileOptions &options);
  /// For linking another compile of its source alike, whatever is defined by then. Unplaced. Returns the names.
  std::vector<std::string> keepNames(Handle handle);

  const CacheStats &cacheStats() const { return cacheStats_; }
  /// Some code has the address of a function, and may have stored it outside of the Jit.
  bool haveGivenAddresses() const { return haveGivenAddresses_; }

private:
  llvm::Expected<std::optional<Handle>> compileFromCache(llvm::StringRef key, const CompileOptions &options);
  llvm::Expected<Handle> revive(const SavedObject &saved, const CompileOptions &options);
  Handle add(CodeObject linked);
  void connect(Handle linked, Handle alike);

  LinkEnvironment environment_;
  Linker &linker_;
  TargetMachinePool &machines_;
  CompileCache *cache_; // null: none
  const MoveVerifier &verifier_;
  const ProcessSymbols &process_;
  Attention &attention_;
  CodeObjects &objects_;
  Names &names_;
  References &references_;
  Redirector &redirector_;
  SavedCode &saved_;
  Endings &endings_;
  CacheStats cacheStats_;
  bool haveGivenAddresses_ = false;
};

} // namespace nomad

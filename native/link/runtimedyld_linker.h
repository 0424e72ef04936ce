// The linker on ORC's RTDyldObjectLinkingLayer and RuntimeDyld. Nothing is published: sections are linked in plain memory, and
// when the link is done ORC forgets it.
#pragma once

#include "link/linker.h"

#include <memory>

namespace nomad {

class RuntimeDyldLinker : public Linker {
public:
  static llvm::Expected<std::unique_ptr<Linker>> create(const LinkEnvironment &environment);
  ~RuntimeDyldLinker() override;

  llvm::Expected<CodeObject> link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;
  llvm::Expected<std::vector<CodeObject>> linkParts(ObjectFile object, const LinkRequest &request,
                                                    SymbolResolver &resolver) override;
  llvm::Expected<Emission> emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) override;

private:
  struct Session;
  RuntimeDyldLinker(std::unique_ptr<Session> session, const LinkEnvironment &environment);

  std::unique_ptr<Session> session_;
  LinkEnvironment environment_;
};

} // namespace nomad

// The linker on ORC's ObjectLinkingLayer and JITLink. It publishes nothing: the memory manager lays segments out in plain memory,
// the plugin captures what a move needs, and when the link is done ORC forgets it.
#pragma once

#include "link/linker.h"

#include <memory>

namespace nomad {

class JITLinkLinker : public Linker {
public:
  static llvm::Expected<std::unique_ptr<Linker>> create(const LinkEnvironment &environment);
  ~JITLinkLinker() override;

  llvm::Expected<CodeObject> link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;
  llvm::Expected<std::vector<CodeObject>> linkParts(ObjectFile object, const LinkRequest &request,
                                                    SymbolResolver &resolver) override;
  llvm::Expected<Emission> emit(const KeptObject &kept, const LinkRequest &request, const SegmentBases &bases) override;

private:
  struct Session;
  JITLinkLinker(std::unique_ptr<Session> session, const LinkEnvironment &environment);

  std::unique_ptr<Session> session_;
  LinkEnvironment environment_;
};

} // namespace nomad

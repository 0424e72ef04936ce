// The linker on ORC's ObjectLinkingLayer and JITLink. It publishes nothing: the memory manager lays segments out in plain memory,
// the plugin captures what a move needs, and when the link is done ORC forgets it.
#pragma once

#include "link/linker.h"

#include <memory>

namespace nomad {

class JITLinkLinker : public Linker {
public:
  static llvm::Expected<std::unique_ptr<JITLinkLinker>> create(Arena &arena, EntryTable &entries, TypePool &types);
  ~JITLinkLinker() override;

  llvm::Expected<CodeObject> link(ObjectFile object, const LinkRequest &request, SymbolResolver &resolver) override;

private:
  struct Session;
  JITLinkLinker(std::unique_ptr<Session> session, Arena &arena, EntryTable &entries, TypePool &types);

  std::unique_ptr<Session> session_;
  Arena &arena_;
  EntryTable &entries_;
  TypePool &types_;
};

} // namespace nomad

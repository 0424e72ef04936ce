#include "engine/entry_stubs.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

Expected<EntryIndex> EntryStubs::of(Handle handle, Offset function) {
  CodeObject &object = objects_[handle];
  for (const EntryUse &entry : llvm::reverse(object.entries)) // setjmp asks again and again for what came late
    if (entry.offset == function)
      return entry.index;
  if (auto to = objects_.forwardOf({handle, function}))
    return forwarded(handle, function, *to);
  auto index = table_.take();
  if (!index)
    return index;
  object.entries.push_back({*index, function});
  if (object.state == State::Placed)
    table_.redirect(*index, object.segment(SegmentKind::Code).base + function);
  return index;
}

Expected<EntryIndex> EntryStubs::forwarded(Handle handle, Offset function, const CodePlace &to) {
  std::vector<EntryUse> &forwarded = objects_.ensureForwardedStubs(handle);
  for (const EntryUse &entry : forwarded)
    if (entry.offset == function)
      return entry.index;
  auto target = of(to.object, to.offset);
  if (!target)
    return target;
  auto index = table_.take();
  if (!index)
    return index;
  forwarded.push_back({*index, function});
  table_.redirect(*index, table_.stub(*target));
  return index;
}

void EntryStubs::lead(const CodePlace &function, const CodePlace &to) {
  if (function == to)
    takeBack(function);
  else
    forward(function, cantFail(of(to.object, to.offset)));
}

void EntryStubs::forward(const CodePlace &from, EntryIndex stub) {
  std::vector<EntryUse> &forwarded = objects_.ensureForwardedStubs(from.object);
  erase_if(objects_[from.object].entries, [&](const EntryUse &entry) {
    if (entry.offset == from.offset)
      forwarded.push_back(entry);
    return entry.offset == from.offset;
  });
  for (const EntryUse &entry : forwarded)
    if (entry.offset == from.offset)
      table_.redirect(entry.index, table_.stub(stub));
}

void EntryStubs::takeBack(const CodePlace &from) {
  CodeObject &object = objects_[from.object];
  erase_if(objects_.ensureForwardedStubs(from.object), [&](const EntryUse &entry) {
    if (entry.offset != from.offset)
      return false;
    object.entries.push_back(entry);
    table_.redirect(entry.index, object.segment(SegmentKind::Code).base + from.offset);
    return true;
  });
}

// Stubs of other places than functions stay: setjmp has made them, and a frame may still be left through them.
void EntryStubs::pass(CodeObject &from, CodeObject &to, const FunctionMatches &matches) {
  Address code = to.segment(SegmentKind::Code).base;
  erase_if(from.entries, [&](const EntryUse &entry) {
    auto match = matches.find(entry.offset);
    if (match == matches.end())
      return false;
    to.entries.push_back({entry.index, match->second});
    table_.redirect(entry.index, code + match->second);
    return true;
  });
}

void EntryStubs::giveBack(Handle handle) {
  for (const EntryUse &entry : objects_[handle].entries)
    table_.giveBack(entry.index);
  for (const EntryUse &entry : objects_.forwardedStubs(handle))
    table_.giveBack(entry.index);
}

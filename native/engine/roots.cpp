#include "engine/roots.h"

#include "move/unwind.h"
#include "runtime/contexts.h"
#include "stack/other_stacks.h"
#include "stack/root_check.h"

#include "llvm/ADT/STLExtras.h"

using namespace nomad;
using namespace llvm;

const StackRoots &Roots::look() {
  forget();
  if (chain_.innermost) // frames are walked by them, those of other Jits' code too
    refreshUnwindTables();
  Activation::Registers registers;
  saveRegisters(registers);
  EntryLog::Present entered = log_.present(Address::of(&registers));
  std::optional<Waiting> unrecorded;
  if (chain_.entryFrame != Address() || entered.outermost != Address())
    unrecorded.emplace(chain_, registers, Activation::Exit::Unknown, entered.outermost);
  for (const Activation *activation = chain_.innermost; activation; activation = activation->previous)
    walk_.walk(*activation, chain_.stack.limit, roots_);
  isOnStack_ = areKnown();
  size_t here = roots_.ambiguous.size();
  bool isKnown = scanOtherStacks();
  waitsElsewhere_ = !isKnown || roots_.ambiguous.size() > here;
  runsElsewhere_ = entered.isElsewhere;
  if (runsElsewhere_ || !isKnown || objects_.haveStackSwitchers())
    pinAll();
  noteUses();
  return roots_;
}

void Roots::noteUses() {
  for (const StackRoot &root : roots_.exact)
    root.object->stackUse.active = 1;
  for (const StackRoot &root : roots_.ambiguous)
    root.object->stackUse.pinned |= 1 << indexOf(root.segment);
  for (const StackRoot &root : roots_.exact)
    if (hasShadowStack() || objects_.mayReturnTwice(*root.object, root.offset))
      root.object->stackUse.pinned |= 1 << indexOf(SegmentKind::Code);
}

void Roots::forget() {
  for (auto *roots : {&roots_.exact, &roots_.ambiguous}) {
    for (const StackRoot &root : *roots)
      root.object->stackUse = {};
    roots->clear();
  }
}

void Roots::follow() {
  for (const StackRoot &root : roots_.exact)
    *root.slot.pointer<std::uint64_t>() = (root.object->segment(root.segment).base + root.offset).value();
}

// Coroutines. A context counts if its frame may still be there: on such a stack, or in an activation. False if code may wait
// in unknown places.
bool Roots::scanOtherStacks() {
  SmallVector<Range> stacks;
  for (const Activation *activation = chain_.innermost; activation; activation = activation->previous)
    stacks.push_back({Address::of(activation->registers), activation->limit(chain_.stack.limit)});
  bool isKnown = everyWaitingStack([&](const WaitingStack &stack) {
    stacks.push_back(stack.all);
    return walk_.scanForeign(stack.filled, roots_);
  });
  everySavedContext([&](const SavedContext &context) {
    if (any_of(stacks, [&](Range stack) { return stack.contains(context.stackPointer); }))
      for (Range registers : context.registers)
        walk_.scanForeign(registers, roots_);
  });
  return isKnown;
}

// Other threads and stacks are not walked, and what runs may have its address in a register alone.
void Roots::pinAll() {
  for (Handle handle = 0; handle < objects_.limit(); ++handle) {
    CodeObject &object = objects_[handle];
    if (object.state != State::Placed || objects_.hostIndex(handle) || thunks_.contains(object.segment(SegmentKind::Code).base))
      continue;
    for (SegmentKind kind : segmentKinds)
      if (object.segment(kind).exists())
        roots_.ambiguous.push_back({&object, kind, StackRoot::Kind::Word, Address(), 0});
  }
}

DenseSet<Handle> Roots::pinned() {
  look();
  DenseSet<Handle> pinned = objects_.immovable();
  for (auto *list : {&roots_.exact, &roots_.ambiguous})
    for (const StackRoot &root : *list)
      if (root.object->stackUse.pinned != 0)
        pinned.insert(objects_.handleOf(*root.object));
  return pinned;
}

Error Roots::verify() {
  const StackRoots &roots = look();
  return RootCheck(objects_.records(), thunks_).check(chain_.innermost, roots);
}

#include "compile/labels.h"

#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Operator.h"

#include <algorithm>

using namespace nomad;
using namespace llvm;

namespace {

// Follows labels from where they are taken through memory that only code with a known use reads.
class LabelFlow {
public:
  void addLabel(const BlockAddress &label) {
    found(LabelUse::Tables);
    followConstant(label);
    while (!values_.empty())
      followValue(*values_.pop_back_val());
  }
  LabelUse use() const { return use_; }

private:
  void found(LabelUse use) { use_ = std::max(use_, use); }

  void follow(const Value &value) {
    if (seen_.insert(&value).second)
      values_.push_back(&value);
  }

  // The users of a label, or of a constant that has it.
  void followConstant(const Constant &constant) {
    for (const User *user : constant.users()) {
      if (const auto *global = dyn_cast<GlobalVariable>(user)) {
        followTable(*global);
      } else if (const auto *outer = dyn_cast<Constant>(user)) {
        if (seen_.insert(outer).second)
          followConstant(*outer);
      } else {
        found(LabelUse::Code);
        followUser(constant, *cast<Instruction>(user));
      }
    }
  }

  // The users of a table's address: what is loaded from there may be a label. A module's globals are its own, whatever their
  // linkage.
  void followTable(const Value &table) {
    if (!seen_.insert(&table).second)
      return;
    for (const User *user : table.users()) {
      if (isa<GEPOperator>(user) || isa<PHINode>(user) || isa<SelectInst>(user) || isa<FreezeInst>(user))
        followTable(*user);
      else if (isa<LoadInst>(user))
        follow(*user);
      else if (!isa<ICmpInst>(user))
        found(LabelUse::Stored);
    }
  }

  void followValue(const Value &value) {
    for (const User *user : value.users())
      followUser(value, *cast<Instruction>(user));
  }

  void followUser(const Value &value, const Instruction &user) {
    if (isa<IndirectBrInst>(user) || isa<CmpInst>(user) || isa<SwitchInst>(user))
      return;
    if (isa<PHINode>(user) || isa<SelectInst>(user) || isa<CastInst>(user) || isa<BinaryOperator>(user) ||
        isa<GetElementPtrInst>(user) || isa<FreezeInst>(user))
      return follow(user);
    const auto *store = dyn_cast<StoreInst>(&user);
    const auto *variable =
        store && store->getValueOperand() == &value ? dyn_cast<AllocaInst>(store->getPointerOperand()) : nullptr;
    if (variable && isPrivate(*variable))
      return followLoads(*variable);
    found(LabelUse::Stored);
  }

  // A local variable whose address is not taken: the walk of the stack sees it.
  static bool isPrivate(const AllocaInst &variable) {
    return all_of(variable.users(), [&](const User *user) {
      const auto *store = dyn_cast<StoreInst>(user);
      const auto *intrinsic = dyn_cast<IntrinsicInst>(user);
      return isa<LoadInst>(user) || (store && store->getPointerOperand() == &variable) ||
             (intrinsic && intrinsic->isLifetimeStartOrEnd());
    });
  }

  void followLoads(const AllocaInst &variable) {
    for (const User *user : variable.users())
      if (isa<LoadInst>(user))
        follow(*user);
  }

  LabelUse use_ = LabelUse::None;
  SmallPtrSet<const Value *, 32> seen_;
  SmallVector<const Value *> values_;
};

} // namespace

LabelUse nomad::labelUseOf(const llvm::Module &ir) {
  LabelFlow flow;
  for (const Function &function : ir)
    for (const BasicBlock &block : function)
      if (const BlockAddress *label = block.hasAddressTaken() ? BlockAddress::lookup(&block) : nullptr)
        flow.addLabel(*label);
  return flow.use();
}

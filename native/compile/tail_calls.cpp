#include "compile/tail_calls.h"

#include "llvm/IR/Attributes.h"
#include "llvm/IR/DerivedTypes.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/Instructions.h"
#include "llvm/Support/MathExtras.h"

using namespace nomad;
using namespace llvm;

namespace {

bool savesArgumentRegisters(const Function &caller) {
  switch (caller.getCallingConv()) {
  case CallingConv::Cold:
  case CallingConv::PreserveMost:
  case CallingConv::PreserveAll:
  case CallingConv::CXX_FAST_TLS:
  case CallingConv::X86_VectorCall:
  case CallingConv::Intel_OCL_BI: // where there is AVX-512
    return true;
  default:
    return caller.hasFnAttribute("no_caller_saved_registers");
  }
}

bool popsArguments(const CallBase &call) {
  return call.getCallingConv() == CallingConv::Tail || call.getCallingConv() == CallingConv::SwiftTail;
}

// Counts the registers that arguments take: tailcc and swifttailcc have C's.
class ArgumentRegisters {
public:
  void add(Type *type) {
    if (auto *structure = dyn_cast<StructType>(type)) {
      for (Type *element : structure->elements())
        add(element);
    } else if (auto *array = dyn_cast<ArrayType>(type)) {
      for (std::uint64_t i = 0, count = std::min<std::uint64_t>(array->getNumElements(), many); i < count; ++i)
        add(array->getElementType());
    } else if (type->isIntegerTy() || type->isPointerTy()) {
      general_ += type->isPointerTy() ? 1 : divideCeil(type->getIntegerBitWidth(), 64);
    } else if (type->isX86_FP80Ty()) {
      general_ += many; // always on the stack
    } else {
      vectors_ += std::max<std::uint64_t>(divideCeil(type->getPrimitiveSizeInBits().getKnownMinValue(), 128), 1);
    }
  }
  void addMemory() { general_ += many; }
  bool areEnough() const { return general_ <= 6 && vectors_ <= 8; }

private:
  static constexpr unsigned many = 16;
  std::uint64_t general_ = 0;
  std::uint64_t vectors_ = 0;
};

bool isInMemory(const AttributeList &attributes, unsigned index) {
  return attributes.hasParamAttr(index, Attribute::ByVal) || attributes.hasParamAttr(index, Attribute::InAlloca) ||
         attributes.hasParamAttr(index, Attribute::Preallocated);
}

bool hasStackArguments(const FunctionType &type, const AttributeList &attributes) {
  ArgumentRegisters registers;
  for (unsigned i = 0; i < type.getNumParams(); ++i)
    isInMemory(attributes, i) ? registers.addMemory() : registers.add(type.getParamType(i));
  return !registers.areEnough();
}

} // namespace

bool nomad::isBrokenTailCall(const CallBase &call) {
  if (!call.isMustTailCall())
    return false;
  const Function &caller = *call.getFunction();
  if (savesArgumentRegisters(caller))
    return !call.arg_empty();
  return popsArguments(call) && (hasStackArguments(*call.getFunctionType(), call.getAttributes()) ||
                                 hasStackArguments(*caller.getFunctionType(), caller.getAttributes()));
}

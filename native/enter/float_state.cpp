#include "enter/float_state.h"

#include "llvm/ADT/StringSwitch.h"

using namespace nomad;
using namespace llvm;

bool nomad::isFloatControl(StringRef name) {
  return StringSwitch<bool>(name)
      .Cases({"fesetround", "fesetenv", "feupdateenv", "feholdexcept", "fesetmode", "feenableexcept", "fedisableexcept"}, true)
      .Default(false);
}

// 0f ae with 2 in the middle three bits of the next byte, or 1 or 5 (fxrstor, xrstor); the VEX form ends in ae, too. An operand
// of another instruction may look so: then calls are slower for nothing.
bool nomad::mayLoadFloatState(ArrayRef<std::uint8_t> code) {
  for (size_t i = 1; i + 1 < code.size(); ++i) {
    unsigned operand = code[i + 1] >> 3 & 7;
    bool isRegister = code[i + 1] >= 0xc0; // fences
    bool isEscape = code[i - 1] == 0x0f || (code[i - 1] & 0x87) == 0x80 || (i > 1 && code[i - 2] == 0xc5);
    if (code[i] == 0xae && !isRegister && isEscape && (operand == 2 || operand == 1 || operand == 5))
      return true;
  }
  return false;
}

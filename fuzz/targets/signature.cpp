// Function types in IR syntax, as clients write them for host functions.
#include "compile/signature.h"
#include "support/fuzz.h"

using namespace nomad;
using namespace nomad::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  llvm::StringRef text(reinterpret_cast<const char *>(data), size);
  auto signature = parseSignature(text);
  if (!signature) {
    expected(signature.takeError());
    return 0;
  }
  // What it is printed as is the same signature.
  auto again = parseSignature(signature->text);
  if (!again)
    defect("'" + llvm::Twine(signature->text) + "' is not accepted: " + toString(again.takeError()));
  require(again->text == signature->text && again->key() == signature->key() && again->parameters == signature->parameters,
          "'" + llvm::Twine(text) + "' means something else when it is printed and read again");
  return 0;
}

// LLVM fails in the middle of a link: the error names the object, nothing stays taken, and the next link works.
//
// The failures are a resolver's, which ORC or JITLink call with their locks held and their work half done.
#include "support.h"

#include "link/jitlink_linker.h"
#include "link/runtimedyld_linker.h"

#include "llvm/Support/ErrorHandling.h"

#include <csignal>
#include <new>

using namespace nomad;
using namespace nomad::test;

namespace {

enum class Fails { Not, Fatally, BySignal, ByException };

class FailingResolver : public SymbolResolver {
public:
  llvm::Expected<Resolution> resolve(llvm::StringRef) override {
    switch (how) {
    case Fails::Fatally:
      llvm::report_fatal_error("half way", false);
    case Fails::BySignal:
      raise(SIGSEGV);
      break;
    case Fails::ByException:
      throw std::bad_alloc();
    case Fails::Not:
      break;
    }
    return Resolution::fixed(Address::of(&how));
  }

  Fails how = Fails::Not;
};

// It refers to a name that nobody defines, and takes the address of a function, which takes an entry stub.
const char *const source = R"(@outside = external global i32
@hook = global ptr @f
define ptr @f() { ret ptr @outside })";

ObjectFile compiled() {
  static TargetMachinePool machines;
  return need(compileSource(source, {"half"}, machines));
}

struct BareLinker {
  std::unique_ptr<Arena> arena = need(Arena::create(Size{16} << 20));
  LoggedEntries logged{*arena};
  EntryTable &entries = logged.table;
  TypePool types;
  FailingResolver resolver;
  LinkRequest request;

  BareLinker() {
    request.name = "half";
    request.keepsObject = true;
  }
};

} // namespace

TEST_CASE("link boundary: by either linker, whatever happens half way is a LinkError, and the next link works") {
  AbandonedIsLeaked leaked;
  for (auto *make : {makeJITLinkLinker, makeRuntimeDyldLinker}) {
    BareLinker each;
    auto linker = make({*each.arena, each.entries, each.types});
    for (int round = 0; round < 3; ++round)
      for (Fails how : {Fails::Fatally, Fails::BySignal, Fails::ByException}) {
        each.resolver.how = how;
        Size used = each.entries.used();
        Failure failure = failureOf(linker->link(compiled(), each.request, each.resolver));
        CHECK(failure.code == "ERR_LINK");
        CHECK(contains(failure.message, "half"));
        CHECK(each.entries.used() == used);
        each.resolver.how = Fails::Not;
        CodeObject object = need(linker->link(compiled(), each.request, each.resolver));
        CHECK(each.entries.used() == used + 1);
        SegmentBases bases;
        for (SegmentKind kind : segmentKinds)
          bases[indexOf(kind)] = each.arena->segments(kind).base + 4096;
        CHECK(failureOf(linker->emit(*object.image->kept, each.request, bases)).code.empty());
      }
  }
}

TEST_CASE("link boundary: an object file that is damaged is an error, not more") {
  AbandonedIsLeaked leaked;
  SHOW_SEED;
  Random random;
  for (auto *make : {makeJITLinkLinker, makeRuntimeDyldLinker}) {
    BareLinker each;
    auto linker = make({*each.arena, each.entries, each.types});
    for (int i = 0; i < 300; ++i) {
      ObjectFile object = compiled();
      auto bytes = llvm::WritableMemoryBuffer::getNewMemBuffer(object.bytes->getBufferSize(), "half");
      llvm::copy(object.bytes->getBuffer(), bytes->getBufferStart());
      for (std::uint64_t changes = 1 + random.below(3); changes > 0; --changes)
        bytes->getBufferStart()[random.below(bytes->getBufferSize())] = static_cast<char>(random.bits());
      object.bytes = std::move(bytes);
      Failure failure = failureOf(linker->link(std::move(object), each.request, each.resolver));
      CHECK((failure.code.empty() || failure.code == "ERR_LINK" || failure.code == "ERR_UNSUPPORTED"));
    }
    CHECK(failureOf(linker->link(compiled(), each.request, each.resolver)).code.empty());
  }
}

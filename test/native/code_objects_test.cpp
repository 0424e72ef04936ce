// What is kept of code objects beside their records. No code is compiled.
//
// Oracle: a model that has, for each code object that lives, all that it was given, and forgets all of it at once.
#include "support.h"

#include <map>

using namespace nomad;
using namespace nomad::test;

namespace {

constexpr Offset codeBytes = 256;

/// What a model knows of one code object; none of the others has any of it.
struct Known {
  const KeptObject *objectFile = nullptr;
  std::optional<std::string> name;
  std::vector<Offset> forwardedStubs;
  std::optional<HostIndex> host;
  bool isImmovable = false;
  bool switchesStacks = false;
  std::optional<Offset> returnsTwice; // from here on
  std::optional<Offset> jumpTarget;
};

class Model {
public:
  void step() {
    switch (known_.size() < 40 ? random_.below(9) : 0) {
    case 0:
      return known_.empty() ? add() : erase(any());
    case 1:
    case 2:
    case 3:
      return add();
    case 4:
      return rename(any());
    case 5:
      return forward(any());
    case 6:
      return host(any());
    case 7:
      return pin(any());
    default:
      return returnTwice(any());
    }
  }

  void check() {
    bool haveSwitchers = false;
    for (Handle handle = 0; handle < objects_.limit(); ++handle) {
      CAPTURE(handle);
      auto found = known_.find(handle);
      REQUIRE(objects_.isLive(handle) == (found != known_.end()));
      check(handle, found == known_.end() ? Known() : found->second);
      haveSwitchers = haveSwitchers || (found != known_.end() && found->second.switchesStacks);
    }
    REQUIRE(objects_.haveStackSwitchers() == haveSwitchers);
    need(objects_.checkIntegrity());
    need(objects_.records().checkIntegrity());
  }

private:
  using Entry = std::pair<const Handle, Known>;

  Entry *any() {
    while (known_.empty())
      add();
    return &*std::next(known_.begin(), static_cast<std::ptrdiff_t>(random_.below(known_.size())));
  }
  Offset offset() { return static_cast<Offset>(1 + random_.below(codeBytes - 1)); }

  void add() {
    Known known;
    CodeObject object;
    object.state = State::Unplaced;
    object.segment(SegmentKind::Code).size = codeBytes;
    object.storesLabels = known.isImmovable = random_.oneIn(4);
    object.image = std::make_unique<Image>();
    if (random_.oneIn(3)) {
      object.image->kept = std::make_unique<KeptObject>();
      known.objectFile = object.image->kept.get();
    }
    if (random_.oneIn(3))
      object.image->returnsTwice = {{*(known.returnsTwice = offset()), codeBytes}};
    if (random_.oneIn(3))
      object.image->jumpTargets = {*(known.jumpTarget = offset())};
    object.image->frames.switchesStacks = known.switchesStacks = random_.oneIn(20);
    known_[objects_.add(std::move(object))] = known;
  }
  void erase(Entry *entry) {
    objects_.erase(entry->first);
    known_.erase(entry->first);
  }
  void rename(Entry *entry) {
    auto &[handle, known] = *entry;
    objects_.dropNames(handle);
    known.name.reset();
    if (random_.oneIn(4))
      return;
    known.name = "name" + std::to_string(random_.below(1000));
    objects_.keepNames(handle).emplace_back().name = *known.name;
  }
  void forward(Entry *entry) {
    entry->second.forwardedStubs.push_back(offset());
    objects_.ensureForwardedStubs(entry->first).push_back({0, entry->second.forwardedStubs.back()});
  }
  void host(Entry *entry) {
    entry->second.host = static_cast<HostIndex>(random_.below(1000));
    objects_.setHost(entry->first, *entry->second.host);
  }
  void pin(Entry *entry) {
    if ((entry->second.isImmovable = random_.oneIn(2)))
      objects_.setImmovable(entry->first);
    else
      objects_.setMovable(entry->first);
  }
  void returnTwice(Entry *entry) {
    entry->second.returnsTwice = offset();
    objects_.setReturnsTwice(objects_[entry->first], {{*entry->second.returnsTwice, codeBytes}});
  }

  void check(Handle handle, const Known &known) {
    REQUIRE(objects_.objectFile(handle) == known.objectFile);
    std::vector<std::string> names;
    if (const auto *kept = objects_.names(handle))
      for (const ImportedName &name : *kept)
        names.push_back(name.name);
    REQUIRE(names == (known.name ? std::vector<std::string>{*known.name} : std::vector<std::string>{}));
    REQUIRE((objects_.names(handle) != nullptr) == known.name.has_value());
    REQUIRE(objects_.forwardedStubs(handle).size() == known.forwardedStubs.size());
    for (auto [stub, offset] : llvm::zip(objects_.forwardedStubs(handle), known.forwardedStubs))
      REQUIRE(stub.offset == offset);
    REQUIRE(objects_.hostIndex(handle) == known.host);
    REQUIRE(objects_.immovable().contains(handle) == known.isImmovable);
    // Not at the first byte of the function, which no call returns to; at the one after its last byte.
    for (Offset code : {Offset{1}, known.returnsTwice.value_or(8), known.returnsTwice.value_or(8) + 1, codeBytes})
      REQUIRE(objects_.mayReturnTwice(objects_[handle], code) == (known.returnsTwice && code > *known.returnsTwice));
    for (Offset code : {Offset{1}, known.jumpTarget.value_or(8), codeBytes})
      REQUIRE(objects_.shapes().isJumpTarget(objects_[handle], code) == (known.jumpTarget == code));
  }

  CodeObjects objects_;
  std::map<Handle, Known> known_;
  Random random_;
};

} // namespace

TEST_CASE("code objects: what is kept of one is its own, and goes with it") {
  SHOW_SEED;
  Model model;
  for (int i = 0; i < 2000; ++i) {
    CAPTURE(i);
    model.step();
    model.check();
  }
}

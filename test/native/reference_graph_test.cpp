// Who refers to whom among code objects that nobody has compiled (I9).
//
// Oracle: a list of references for each, from which the model works out anew who mentions whom and who keeps whom alive.
#include "support.h"

#include "engine/references.h"

#include <algorithm>
#include <map>
#include <set>

using namespace nomad;
using namespace nomad::test;

namespace {

struct Reference {
  CodePlace now;
  CodePlace linkedTo;
};

class Graph {
public:
  void step() {
    switch (edges_.size() < 30 ? random_.below(8) : 0) {
    case 0:
      return endSome();
    case 1:
    case 2:
    case 3:
      return link();
    case 4:
      return refer();
    case 5:
      return hold();
    default:
      return lead();
    }
  }

  void check() {
    for (auto &[handle, references] : edges_) {
      CAPTURE(handle);
      std::set<Handle> dependents, holders;
      for (auto &[other, theirs] : edges_)
        for (const Reference &each : theirs) {
          if (other != handle && (each.now.object == handle || each.linkedTo.object == handle))
            dependents.insert(other);
          if (other != handle && each.now.object == handle)
            holders.insert(other);
        }
      REQUIRE(asSet(references_.dependentsOf(handle)) == dependents);
      REQUIRE(asSet(references_.holdersOf(handle)) == holders);
      checkTable(handle, references);
    }
  }

private:
  using Edges = std::map<Handle, std::vector<Reference>>;

  static std::set<Handle> asSet(const llvm::SmallVector<Handle> &handles) { return {handles.begin(), handles.end()}; }

  void checkTable(Handle handle, const std::vector<Reference> &expected) {
    const auto &links = objects_[handle].links;
    REQUIRE((links ? links->references.size() : 0) == expected.size());
    if (!links)
      return;
    need(links->checkIntegrity());
    for (std::uint32_t i = 0; i < expected.size(); ++i) {
      REQUIRE(links->references[i] == expected[i].now);
      REQUIRE(links->linkedPlace(i) == expected[i].linkedTo);
    }
  }

  Handle any() {
    while (edges_.empty())
      link();
    return std::next(edges_.begin(), static_cast<std::ptrdiff_t>(random_.below(edges_.size())))->first;
  }
  CodePlace anyFunction() { return {any(), static_cast<Offset>(random_.below(3))}; }

  // As a linker leaves it: it knows what it refers to, and that does not know of it. Some names are addresses that code has.
  void link() {
    CodeObject object;
    object.state = State::Unplaced;
    object.image = std::make_unique<Image>();
    std::vector<Reference> references;
    std::vector<Reference> held;
    for (std::uint64_t i = edges_.empty() ? 0 : random_.below(4); i-- > 0;) {
      CodePlace function = anyFunction(), whole{function.object}, place = random_.oneIn(3) ? function.address() : function;
      std::uint32_t index = object.ensureLinks().add(place);
      references.push_back({place, place});
      if (!place.isCalled() || !random_.oneIn(3))
        continue;
      addAddress(*object.image, index); // it is called as well
      if (llvm::none_of(held, [=](const Reference &each) { return each.now == whole; }))
        held.push_back({whole, whole});
    }
    std::erase_if(held, [&](const Reference &whole) { // an address does that
      return llvm::any_of(references, [&](auto &each) { return !each.now.isCalled() && each.now.object == whole.now.object; });
    });
    references.insert(references.end(), held.begin(), held.end());
    Handle handle = objects_.add(std::move(object));
    edges_[handle] = std::move(references);
    references_.enter(handle);
  }
  static void addAddress(Image &image, std::uint32_t index) {
    image.importSites.push_back(
        {static_cast<std::uint32_t>(image.imports.size()), SegmentKind::Code, Formula::Absolute64, false, 0});
    image.imports.emplace_back();
    image.imports.back().kind = ImportedName::Kind::Function;
    image.imports.back().reference = index;
  }

  void refer() {
    Handle from = any();
    CodePlace to = anyFunction(); // its own, perhaps
    REQUIRE(references_.add(from, to) == edges_[from].size());
    edges_[from].push_back({to, to});
  }
  void hold() {
    Handle from = any(), to = any();
    if (from == to)
      return;
    references_.hold(from, to);
    std::vector<Reference> &references = edges_[from];
    if (llvm::none_of(references, [=](auto &each) { return each.now == CodePlace{to}; }))
      references.push_back({{to}, {to}});
  }
  void lead() {
    Handle from = any();
    std::vector<Reference> &references = edges_[from];
    if (references.empty())
      return;
    auto index = static_cast<std::uint32_t>(random_.below(references.size()));
    Reference &reference = references[index];
    if (!reference.now.isCalled())
      return;
    CodePlace now = random_.oneIn(3) ? reference.linkedTo : anyFunction(), linkedTo = random_.oneIn(3) ? now : reference.linkedTo;
    references_.lead(WriteScope(*arena_), from, index, now, linkedTo);
    reference = {now, linkedTo};
  }

  // All that is reached from what is not to end stays.
  std::set<Handle> survivorsOf(const std::set<Handle> &chosen) const {
    std::set<Handle> alive;
    for (auto &[handle, references] : edges_)
      if (!chosen.contains(handle))
        alive.insert(handle);
    for (size_t before = 0; before != alive.size();) {
      before = alive.size();
      for (Handle handle : std::set<Handle>(alive))
        for (const Reference &each : edges_.at(handle))
          alive.insert(each.now.object);
    }
    return alive;
  }
  void endSome() {
    std::set<Handle> chosen;
    for (auto &[handle, references] : edges_)
      if (random_.oneIn(2))
        chosen.insert(handle);
    std::set<Handle> alive = survivorsOf(chosen);
    llvm::SmallVector<Handle> ending(chosen.begin(), chosen.end());
    for (Handle handle : ending)
      objects_[handle].isEnding = true;
    references_.spareHeld(ending);
    std::set<Handle> ended = asSet(ending), expected;
    std::set_difference(chosen.begin(), chosen.end(), alive.begin(), alive.end(), std::inserter(expected, expected.end()));
    REQUIRE(ended == expected);
    for (Handle handle : chosen)
      REQUIRE(objects_[handle].isEnding == ended.contains(handle));
    for (Handle handle : ending)
      end(handle);
  }
  // What was linked to it has been linked to what it is now.
  void end(Handle handle) {
    references_.leave(handle);
    objects_.erase(handle);
    edges_.erase(handle);
    for (auto &[other, references] : edges_)
      for (Reference &each : references)
        if (each.linkedTo.object == handle)
          each.linkedTo = each.now;
  }

  std::unique_ptr<Arena> arena_ = need(Arena::create(Size{1} << 20));
  CodeObjects objects_;
  References references_{objects_};
  Edges edges_;
  Random random_;
};

} // namespace

TEST_CASE("references: both ends agree, and who is kept alive is what can be reached") {
  SHOW_SEED;
  Graph graph;
  for (int i = 0; i < 3000; ++i) {
    CAPTURE(i);
    graph.step();
    graph.check();
  }
}

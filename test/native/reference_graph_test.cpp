// Who refers to whom among code objects that nobody has compiled (I9).
//
// Oracle: a graph whose edges say why they are there, from which the model works out anew who keeps whom alive.
#include "support.h"

#include "engine/references.h"

#include <algorithm>
#include <map>
#include <set>

using namespace nomad;
using namespace nomad::test;

namespace {

/// Why one code object refers to another.
struct Reasons {
  bool isCall = false;    // a relocation
  bool isHeld = false;    // its code has an address of something there
  bool isForward = false; // a function of the one has been redirected to the other
  bool isNew = false;     // added, and not settled since
  bool isName = false;    // a name that is kept stands for it

  bool keepAlive() const { return isCall || isHeld || isForward || isNew || isName; }
};

class Graph {
public:
  void step() {
    switch (edges_.size() < 30 ? random_.below(9) : 0) {
    case 0:
      return endSome();
    case 1:
    case 2:
    case 3:
      return link();
    case 4:
      return refer();
    case 5:
      return dropCalls();
    case 6:
      return forward();
    case 7:
      return keepName();
    default:
      return settle(any());
    }
  }

  void check() {
    for (auto &[handle, out] : edges_) {
      CAPTURE(handle);
      std::set<Handle> dependents, holders;
      for (auto &[other, theirs] : edges_)
        if (auto found = theirs.find(handle); found != theirs.end()) {
          dependents.insert(other);
          if (found->second.keepAlive())
            holders.insert(other);
        }
      REQUIRE(asSet(references_.dependentsOf(handle)) == dependents);
      REQUIRE(asSet(references_.holdersOf(handle)) == holders);
      if (const auto &links = objects_[handle].links)
        need(links->checkIntegrity());
    }
  }

private:
  using Edges = std::map<Handle, Reasons>; // to each that it refers to

  static std::set<Handle> asSet(const llvm::SmallVector<Handle> &handles) { return {handles.begin(), handles.end()}; }

  Handle any() {
    while (edges_.empty())
      link();
    return std::next(edges_.begin(), static_cast<std::ptrdiff_t>(random_.below(edges_.size())))->first;
  }
  Handle otherThan(Handle handle) {
    for (;;) {
      if (Handle other = any(); other != handle)
        return other;
      link();
    }
  }

  // As a linker leaves it: it knows whom it refers to, and they don't know of it.
  void link() {
    std::set<Handle> callees;
    for (std::uint64_t i = random_.below(4); i-- > 0 && !edges_.empty();)
      callees.insert(any());
    CodeObject object;
    object.state = State::Unplaced;
    object.image = std::make_unique<Image>();
    object.image->isPart = random_.oneIn(8);
    Edges edges;
    std::vector<Relocation> calls;
    for (Handle callee : callees) {
      std::uint32_t index = object.ensureLinks().referTo(callee);
      Reasons &reasons = edges[callee];
      reasons.isNew = true;
      reasons.isCall = random_.oneIn(2);
      if (reasons.isCall)
        calls.push_back(callOf(index));
      if (random_.oneIn(3))
        addAddress(*object.image, index);
      reasons.isHeld =
          object.image->isPart || (!object.image->imports.empty() && object.image->imports.back().reference == index);
    }
    object.relocations = RelocationTable::encode(std::move(calls));
    Handle handle = objects_.add(std::move(object));
    edges_[handle] = std::move(edges);
    references_.enter(handle);
  }
  static Relocation callOf(std::uint32_t index) {
    return {SegmentKind::Code, Formula::Relative32, TargetKind::Reference, referenceTo(index, SegmentKind::Code), 8 * index};
  }
  static void addAddress(Image &image, std::uint32_t index) {
    image.importSites.push_back(
        {static_cast<std::uint32_t>(image.imports.size()), SegmentKind::Code, Formula::Absolute64, false, 0});
    image.imports.emplace_back();
    image.imports.back().kind = ImportedName::Kind::FunctionEntry;
    image.imports.back().reference = index;
  }

  void refer() {
    Handle from = any(), to = otherThan(from);
    references_.add(from, to);
    edges_[from][to].isNew = true;
  }
  void dropCalls() {
    Handle from = any();
    objects_[from].relocations.clear();
    for (auto &[to, reasons] : edges_[from]) {
      reasons.isNew |= reasons.isCall; // until it is settled
      reasons.isCall = false;
    }
  }
  void forward() {
    Handle from = any(), to = otherThan(from);
    objects_.ensureRedirections(from).forwards.push_back({0, to, 0});
    references_.add(from, to);
    edges_[from][to].isForward = true;
  }
  void keepName() {
    Handle from = any(), to = otherThan(from);
    ImportedName &name = objects_.keepNames(from).emplace_back();
    name.kind = ImportedName::Kind::Function;
    name.reference = references_.add(from, to);
    edges_[from][to].isName = true;
  }
  void settle(Handle handle) {
    references_.settle(handle);
    for (auto &[to, reasons] : edges_[handle])
      reasons.isNew = false;
  }

  // All that is reached from what is not to end stays.
  std::set<Handle> survivorsOf(const std::set<Handle> &chosen) const {
    std::set<Handle> alive;
    for (auto &[handle, out] : edges_)
      if (!chosen.contains(handle))
        alive.insert(handle);
    for (size_t before = 0; before != alive.size();) {
      before = alive.size();
      for (Handle handle : std::set<Handle>(alive))
        for (auto &[to, reasons] : edges_.at(handle))
          if (reasons.keepAlive())
            alive.insert(to);
    }
    return alive;
  }
  void endSome() {
    std::set<Handle> chosen;
    for (auto &[handle, out] : edges_)
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
  void end(Handle handle) {
    references_.leave(handle);
    objects_.erase(handle);
    edges_.erase(handle);
    for (auto &[other, out] : edges_)
      out.erase(handle);
  }

  CodeObjects objects_;
  References references_{objects_};
  std::map<Handle, Edges> edges_;
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

// Batches of placements and moves in a window of code memory so small that most places are taken; no code is compiled or runs.
//
// Oracle: a model of the window: which granules are whose, and each byte. It foretells which batches are refused; those change
// nothing (I7).
#include "support.h"

#include "engine/placements.h"

#include <algorithm>
#include <map>

using namespace nomad;
using namespace nomad::test;

namespace {

constexpr Size granule = OccupancyMap::granule, granuleCount = 48, mostGranules = 6; // the last may begin in the last granule

/// Nothing is linked here.
class NoLinker final : public Linker {
  static llvm::Error refuse() { return fail(ErrorCode::Unsupported, "nothing is linked here"); }

public:
  llvm::Expected<CodeObject> link(ObjectFile, const LinkRequest &, SymbolResolver &) override { return refuse(); }
  llvm::Expected<std::vector<CodeObject>> linkParts(ObjectFile, const LinkRequest &, SymbolResolver &) override {
    return refuse();
  }
  llvm::Expected<Emission> emit(const KeptObject &, const LinkRequest &, const SegmentBases &) override { return refuse(); }
};

/// What a placement needs of an engine.
struct Parts {
  explicit Parts(Placements::Vacated vacated)
      : placements(vacated, *arena, objects, mover, space, thunks, roots, verifier, log, refresh) {}

  std::unique_ptr<Arena> arena = need(Arena::create(Arena::minBytes));
  NoOwner owner;
  ActivationChain chain;
  EntryLog log{chain, owner};
  EntryTable entries{*arena, log.watch()};
  TypePool types;
  CodeObjects objects;
  NoLinker linker;
  Relinker relinker{objects, linker};
  Mover mover{*arena, entries, objects.records(), relinker, log.moves()};
  ThunkSpace space{*arena};
  StackWalk walk{arena->range(), space.code(), mover.codeOwners(), mover.dataOwners(), objects.shapes()};
  Roots roots{chain, log, walk, objects, space.code()};
  Outside outside;
  Attention attention;
  CodeEntry entry{outside, chain, entries, objects, attention};
  UnwindRefresh refresh{chain, log};
  TargetMachinePool machines;
  Thunks thunks{machines, linker, types, objects, mover, space, entry, refresh};
  MoveVerifier verifier{MoveVerifier::Mode::Off, objects, relinker};
  Placements placements;
};

struct Object {
  std::vector<std::uint8_t> bytes;
  std::optional<Size> place; // granule

  Size granules() const { return roundUp(bytes.size(), granule) / granule; }
};

class Window {
public:
  explicit Window(Placements::Vacated vacated) : vacated_(vacated), parts_(vacated) {}

  void step() {
    switch (objects_.size() < 4 ? 0 : random_.below(8)) {
    case 0:
      return objects_.size() < 12 ? add() : end(any());
    case 1:
      return end(any());
    case 2:
    case 3:
      return runBatch(false);
    default:
      return runBatch(true);
    }
  }

  void check() {
    std::array<bool, granuleCount + mostGranules> isTaken{};
    for (auto &[handle, object] : objects_)
      if (object.place) {
        CAPTURE(handle);
        REQUIRE(parts_.objects[handle].segment(SegmentKind::Code).base == addressOf(*object.place));
        REQUIRE(std::memcmp(object.bytes.data(), addressOf(*object.place).pointer(), object.bytes.size()) == 0);
        std::fill_n(isTaken.begin() + static_cast<std::ptrdiff_t>(*object.place), object.granules(), true);
      }
    for (Size i = 0; i < isTaken.size(); ++i)
      if (!isTaken[i] && wasLeft_[i] && vacated_ == Placements::Vacated::Poisoned)
        for (Size byte = 0; byte < granule; ++byte)
          REQUIRE(addressOf(i).pointer<std::uint8_t>()[byte] == 0xcc);
  }

private:
  using Moves = std::map<Handle, Size>; // to granules

  Handle any() { return std::next(objects_.begin(), static_cast<std::ptrdiff_t>(random_.below(objects_.size())))->first; }
  Address addressOf(Size place) const { return parts_.space.placeable()[0].base + place * granule; }

  void add() {
    Object added;
    added.bytes.resize(1 + random_.below(mostGranules * granule));
    for (std::uint8_t &byte : added.bytes)
      byte = static_cast<std::uint8_t>(random_.bits());
    CodeObject object;
    object.state = State::Unplaced;
    auto size = static_cast<std::uint32_t>(added.bytes.size());
    object.segment(SegmentKind::Code) = {parts_.arena->segments(SegmentKind::Code).base, size, 4};
    object.image = std::make_unique<Image>();
    object.image->bytes[0] = std::make_unique<std::byte[]>(size);
    object.image->storedBytes[0] = size;
    std::memcpy(object.image->bytes[0].get(), added.bytes.data(), size);
    objects_[parts_.objects.add(std::move(object))] = std::move(added);
  }

  void end(Handle handle) {
    Object &object = objects_[handle];
    if (object.place) {
      UnwindRegistry::Change change(parts_.mover.unwind());
      parts_.placements.vacate(parts_.objects[handle]);
      leave(object);
    }
    parts_.objects.erase(handle);
    objects_.erase(handle);
  }
  void leave(const Object &object) {
    std::fill_n(wasLeft_.begin() + static_cast<std::ptrdiff_t>(*object.place), object.granules(), true);
  }

  void runBatch(bool isMove) {
    Moves moves;
    std::vector<MoveRequest> requests;
    for (std::uint64_t i = 1 + random_.below(4); i-- > 0;) {
      Handle handle = any();
      if (objects_[handle].place.has_value() != isMove && !random_.oneIn(20))
        continue;
      auto [move, isNew] = moves.try_emplace(handle, random_.below(granuleCount));
      if (isNew)
        requests.push_back({handle, {static_cast<std::int32_t>(move->second * granule), MoveRequest::stays, MoveRequest::stays}});
    }
    auto report = isMove ? parts_.placements.relocate(requests) : parts_.placements.place(requests);
    bool isPossible = canRun(moves, isMove);
    REQUIRE(static_cast<bool>(report) == isPossible);
    if (!isPossible)
      return llvm::consumeError(report.takeError());
    REQUIRE(report->moved == moves.size());
    for (auto &[handle, place] : moves)
      if (isMove)
        leave(objects_[handle]);
    for (auto &[handle, place] : moves)
      objects_[handle].place = place;
  }
  bool canRun(const Moves &moves, bool isMove) const {
    std::array<unsigned, granuleCount + mostGranules> users{};
    for (auto &[handle, object] : objects_) {
      auto move = moves.find(handle);
      if (move != moves.end() && object.place.has_value() != isMove)
        return false;
      auto place = move != moves.end() ? std::optional(move->second) : object.place;
      for (Size i = 0; place && i < object.granules(); ++i)
        ++users[*place + i];
    }
    return std::all_of(users.begin(), users.end(), [](unsigned count) { return count <= 1; });
  }

  Placements::Vacated vacated_;
  Parts parts_;
  std::map<Handle, Object> objects_;
  std::array<bool, granuleCount + mostGranules> wasLeft_{}; // ever
  Random random_;
};

} // namespace

TEST_CASE("placements: batches are whole or nothing, and what code leaves is traps if they are wanted") {
  SHOW_SEED;
  for (auto vacated : {Placements::Vacated::Poisoned, Placements::Vacated::Kept}) {
    Window window(vacated);
    for (int i = 0; i < 3000; ++i) {
      CAPTURE(i);
      window.step();
      window.check();
    }
  }
}

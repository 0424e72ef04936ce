// Who calls whom after thousands of redirections, among code objects that nobody has compiled: functions of 16 bytes, then calls,
// which are distances only and never run.
//
// Oracle: a model of functions that are linked to, call and stand for functions, which knows neither references nor stubs.
#include "support.h"

#include "engine/redirector.h"

#include <map>
#include <set>

using namespace nomad;
using namespace nomad::test;

namespace {

constexpr Offset functionBytes = 16, functionCount = 3, callsBegin = functionBytes * functionCount, callBytes = 8, mostCalls = 6;
constexpr Size objectBytes = 128;

struct Function {
  Handle object;
  Offset number;

  auto operator<=>(const Function &) const = default;
};

struct Call {
  Function linkedTo;
  Function now;
};

/// What redirections mean.
struct Model {
  std::map<Handle, std::vector<Call>> calls; // of all code objects that live
  std::map<Function, Function> forwards;

  Function standsFor(Function function) const {
    auto found = forwards.find(function);
    return found == forwards.end() ? function : found->second;
  }
  bool isAllowed(Function from, Function to) const { return from == to || !forwards.contains(to); }
  void redirect(Function from, Function to) {
    for (auto &[other, target] : forwards)
      if (target == from)
        target = to;
    forwards[from] = to;
    if (from == to)
      forwards.erase(from);
    for (auto &[caller, theirs] : calls)
      for (Call &call : theirs)
        if (caller != to.object && (call.linkedTo == from || call.now == from))
          call.now = to;
        else if (call.linkedTo == from || call.now == from)
          call.linkedTo = call.now; // a wrapper's
  }
  std::set<Handle> holdersOf(Handle object) const {
    std::set<Handle> holders;
    for (auto &[caller, theirs] : calls)
      for (const Call &call : theirs)
        if (call.now.object == object)
          holders.insert(caller);
    for (auto &[from, to] : forwards)
      if (to.object == object && from.object != object)
        holders.insert(from.object);
    return holders;
  }
  void end(Handle object) {
    calls.erase(object);
    std::erase_if(forwards, [=](auto &forward) { return forward.first.object == object; });
    for (auto &[caller, theirs] : calls)
      for (Call &call : theirs)
        if (call.linkedTo.object == object)
          call.linkedTo = call.now;
  }
};

class World {
public:
  void step() {
    if (model_.calls.size() < 5)
      return link();
    switch (random_.below(6)) {
    case 0:
      return model_.calls.size() < 12 ? link() : endOne();
    case 1:
      return endOne();
    case 2:
      return askForStub();
    default:
      return redirect();
    }
  }

  void check() {
    for (auto &[handle, calls] : model_.calls) {
      CAPTURE(handle);
      for (Offset i = 0; i < calls.size(); ++i)
        REQUIRE(calledAt(handle, i) == addressOf(calls[i].now));
      llvm::SmallVector<Handle> holders = references_.holdersOf(handle);
      REQUIRE(std::set<Handle>(holders.begin(), holders.end()) == model_.holdersOf(handle));
    }
    for (auto &[function, stub] : stubOf_)
      REQUIRE(leadsTo(stub) == addressOf(model_.standsFor(function)));
  }

private:
  Function any() {
    auto object = std::next(model_.calls.begin(), static_cast<std::ptrdiff_t>(random_.below(model_.calls.size())));
    return {object->first, static_cast<Offset>(random_.below(functionCount))};
  }
  std::string nameOf(Function function) { return "f" + std::to_string(function.number); }
  Address addressOf(Function function) {
    return objects_[function.object].segment(SegmentKind::Code).base + function.number * functionBytes;
  }
  Address calledAt(Handle handle, Offset call) {
    Address site = objects_[handle].segment(SegmentKind::Code).base + callsBegin + call * callBytes;
    return (site + 4).shifted(*site.pointer<std::int32_t>());
  }
  Address leadsTo(EntryIndex stub) {
    Address target = entries_.table.target(stub);
    Range stubs = arena_->entryStubs();
    while (stubs.contains(target))
      target = entries_.table.target(static_cast<EntryIndex>((target - entries_.table.stub(0)) / EntryTable::stubBytes));
    return target;
  }

  // As a linker leaves it, but already where it is going to be.
  void link() {
    CodeObject object;
    object.state = State::Unplaced;
    object.segment(SegmentKind::Code) = {nextPlace(), objectBytes, 4};
    object.image = std::make_unique<Image>();
    object.image->bytes[0] = std::make_unique<std::byte[]>(objectBytes);
    Exports exports;
    for (Offset number = 0; number < functionCount; ++number)
      exports.functions.push_back({nameOf({0, number}), signature_, {}});
    object.symbols = SymbolTable::encode("object", exports, types_, [](llvm::StringRef name) {
      return SymbolExtent{{SegmentKind::Code, static_cast<Offset>(name[1] - '0') * functionBytes}, functionBytes};
    });
    std::vector<Call> calls;
    std::vector<Relocation> relocations;
    for (std::uint64_t i = model_.calls.empty() ? 0 : random_.below(mostCalls + 1); i-- > 0;) {
      Function callee = any();
      relocations.push_back(addCall(object, callee, static_cast<Offset>(calls.size())));
      calls.push_back({callee, model_.standsFor(callee)});
    }
    object.relocations = RelocationTable::encode(std::move(relocations));
    Handle handle = objects_.add(std::move(object));
    references_.enter(handle);
    redirector_.follow(handle, noHandle);
    place(objects_[handle]);
    model_.calls[handle] = std::move(calls);
  }
  Relocation addCall(CodeObject &object, Function callee, Offset call) {
    Offset site = callsBegin + call * callBytes;
    Address next = object.segment(SegmentKind::Code).base + site + 4;
    auto distance = static_cast<std::int32_t>(addressOf(callee) - next);
    std::memcpy(object.image->bytes[0].get() + site, &distance, sizeof distance);
    Image &image = *object.image;
    image.importSites.push_back(
        {static_cast<std::uint32_t>(image.imports.size()), SegmentKind::Code, Formula::Relative32, true, site});
    ImportedName &import = image.imports.emplace_back();
    import.name = nameOf(callee);
    import.kind = ImportedName::Kind::Function;
    import.reference = object.ensureLinks().add({callee.object, callee.number * functionBytes});
    return {SegmentKind::Code, Formula::Relative32, TargetKind::Reference, referenceTo(import.reference, SegmentKind::Code),
            site};
  }
  void place(CodeObject &object) {
    WriteScope scope(*arena_);
    std::memcpy(scope.writable(object.segment(SegmentKind::Code).base), object.image->bytes[0].get(), objectBytes);
    object.image.reset();
    object.state = State::Placed;
  }
  Address nextPlace() { return arena_->segments(SegmentKind::Code).base + objectBytes * (placed_++ % 1024); }

  void endOne() {
    Handle handle = any().object;
    if (!model_.holdersOf(handle).empty())
      return;
    references_.leave(handle);
    stubs_.giveBack(handle);
    objects_.erase(handle);
    model_.end(handle);
    std::erase_if(stubOf_, [=](auto &known) { return known.first.object == handle; });
  }
  void askForStub() {
    Function function = any();
    EntryIndex stub = need(stubs_.of(function.object, function.number * functionBytes));
    auto [known, isNew] = stubOf_.try_emplace(function, stub);
    REQUIRE(known->second == stub); // it may have been stored (I10)
  }
  void redirect() {
    Function from = any(), to = random_.oneIn(5) ? from : any();
    auto result = redirector_.redirect({from.object, nameOf(from)}, {to.object, nameOf(to)});
    bool isAllowed = model_.isAllowed(from, to);
    REQUIRE(failureOf(std::move(result)).code == (isAllowed ? "" : "ERR_STATE"));
    if (isAllowed)
      model_.redirect(from, to);
  }

  std::unique_ptr<Arena> arena_ = need(Arena::create(Size{4} << 20));
  LoggedEntries entries_{*arena_};
  TypePool types_;
  CodeObjects objects_;
  EntryStubs stubs_{objects_, entries_.table};
  References references_{objects_};
  ProcessSymbols process_{ProcessSymbols::Policy::All};
  Names names_{objects_, stubs_, types_, process_};
  Redirector redirector_{*arena_, types_, entries_.log, objects_, stubs_, references_, names_};
  Signature signature_{"void ()", ValueKind::Void, {}, ""};
  Size placed_ = 0;
  Model model_;
  std::map<Function, EntryIndex> stubOf_;
  Random random_;
};

} // namespace

TEST_CASE("redirector: calls, entry stubs and who is kept alive are as redirections mean them") {
  SHOW_SEED;
  World world;
  for (int i = 0; i < 3000; ++i) {
    CAPTURE(i);
    world.step();
    world.check();
  }
}

// Thousands of random operations on one engine, in an arena so small that places are contested.
//
// Oracle: a model that knows of each code object what its function returns (random_templates.h), where its segments are, and who
// calls whom; and so foretells the result of every call and whether every placement, move and free succeeds.
#include "random_templates.h"
#include "support.h"

#include <algorithm>

using namespace nomad;
using namespace nomad::test;

namespace {

struct Object {
  Handle handle;
  const Template *made;
  int k;
  int calls = 0;
  bool isPlaced = false;
  Retain retain = Retain::Relocations;
  Object *callee = nullptr;
  int callers = 0;
  std::array<Size, 3> size{};
  std::array<Size, 3> alignment{};
  Offsets at{stays, stays, stays};

  int expect(int x) {
    ++calls;
    return made->result(k, callee ? callee->expect(x) : x, calls);
  }
};

class Simulation {
public:
  void step() {
    switch (random_.below(10)) {
    case 0:
    case 1:
      return objects_.size() < 60 ? compile() : release();
    case 2:
    case 3:
      return place();
    case 4:
    case 5:
    case 6:
      return move();
    case 7:
      return release();
    default:
      return call();
    }
  }

  void checkAll() {
    for (auto &object : objects_)
      if (object->isPlaced)
        check(*object);
  }

private:
  Object *any() { return objects_.empty() ? nullptr : objects_[random_.below(objects_.size())].get(); }

  static std::string sourceOf(const Template &made, int k) {
    std::string source = made.source;
    for (size_t at; (at = source.find("$k")) != std::string::npos;)
      source.replace(at, 2, std::to_string(k));
    return source;
  }

  void compile() {
    const Template &made = templates[random_.below(templateCount)];
    Object *callee = made.callsAnother ? any() : nullptr;
    if (made.callsAnother && !callee)
      return;
    auto object = std::make_unique<Object>(Object{noHandle, &made, static_cast<int>(random_.below(1000))});
    CompileOptions options;
    options.name = made.name;
    options.level = static_cast<OptLevel>(random_.below(3));
    options.moves = random_.oneIn(2) ? Moves::All : Moves::Code;
    object->retain = options.retain = random_.oneIn(6) ? Retain::None : Retain::Relocations;
    if (callee) {
      options.imports = {importFunction("callee", callee->handle, "f")};
      object->callee = callee;
      ++callee->callers;
    }
    object->handle = jit_.compile(sourceOf(made, object->k), options);
    for (size_t kind = 0; kind < 3; ++kind) {
      object->size[kind] = jit_.object(object->handle).segments[kind].size;
      object->alignment[kind] = jit_.object(object->handle).segments[kind].alignment();
    }
    objects_.push_back(std::move(object));
  }

  // Mostly good offsets, in few pages so that they collide; some misaligned or outside.
  Offsets randomOffsets(const Object &object, bool mayStay) {
    Offsets offsets{stays, stays, stays};
    for (size_t kind = 0; kind < 3; ++kind) {
      if (object.size[kind] == 0 || (mayStay && random_.oneIn(3)))
        continue;
      offsets[kind] = static_cast<std::int64_t>(roundDown(random_.below(48 * 1024), object.alignment[kind]));
      if (random_.oneIn(40))
        offsets[kind] += 8;
      if (random_.oneIn(60))
        offsets[kind] += 1 << 22;
    }
    return offsets;
  }

  // ---- what the model says of places ----

  static Offsets after(const Object &object, const Offsets &to) {
    Offsets result = object.at;
    for (size_t kind = 0; kind < 3; ++kind)
      if (to[kind] != stays)
        result[kind] = to[kind];
    return result;
  }

  bool fits(const Object &object, const Offsets &at) {
    for (size_t kind = 0; kind < 3; ++kind)
      if (object.size[kind] > 0 &&
          (at[kind] == stays || at[kind] % static_cast<std::int64_t>(object.alignment[kind]) != 0 ||
           static_cast<Size>(at[kind]) + object.size[kind] > jit_.engine().placeable(segmentKinds[kind]).size()))
        return false;
    return true;
  }

  static bool collide(const Object &a, const Offsets &atA, const Object &b, const Offsets &atB) {
    for (size_t kind = 0; kind < 3; ++kind) {
      auto endA = atA[kind] + static_cast<std::int64_t>(roundUp(a.size[kind], 16));
      auto endB = atB[kind] + static_cast<std::int64_t>(roundUp(b.size[kind], 16));
      if (a.size[kind] > 0 && b.size[kind] > 0 && atA[kind] < endB && atB[kind] < endA)
        return true;
    }
    return false;
  }

  using Batch = std::vector<std::pair<Object *, Offsets>>;

  // May these be there, all at once, beside all others?
  bool possible(const Batch &batch) {
    for (auto &[object, to] : batch)
      if (!fits(*object, after(*object, to)))
        return false;
    auto placeOf = [&](Object *object) {
      for (auto &[moved, to] : batch)
        if (moved == object)
          return after(*object, to);
      return object->at;
    };
    for (auto &[object, to] : batch)
      for (auto &other : objects_) {
        bool isThere =
            other->isPlaced || std::any_of(batch.begin(), batch.end(), [&](auto &each) { return each.first == other.get(); });
        if (other.get() != object && isThere && collide(*object, after(*object, to), *other, placeOf(other.get())))
          return false;
      }
    return true;
  }

  // ---- operations ----

  void place() {
    Object *object = any();
    if (!object)
      return;
    Offsets to = randomOffsets(*object, false);
    bool isReady = !object->isPlaced && (!object->callee || object->callee->isPlaced);
    bool expected = isReady && possible({{object, to}});
    Failure failure = failureOf(jit_.engine().place(jit_.request(object->handle, to)));
    INFO("place " << object->made->name << ": " << failure.message);
    REQUIRE(failure.code.empty() == expected);
    if (!expected)
      return;
    object->isPlaced = true;
    object->at = to;
    check(*object);
  }

  void move() {
    Batch batch;
    std::vector<MoveRequest> requests;
    std::string expected;
    for (size_t count = 1 + random_.below(6); count > 0; --count) {
      Object *object = any();
      if (!object || std::any_of(batch.begin(), batch.end(), [=](auto &each) { return each.first == object; }))
        continue;
      if ((!object->isPlaced || object->retain == Retain::None) && !random_.oneIn(10))
        continue;
      batch.push_back({object, randomOffsets(*object, true)});
      requests.push_back(jit_.request(object->handle, batch.back().second));
    }
    bool movable = std::all_of(batch.begin(), batch.end(),
                               [](auto &each) { return each.first->isPlaced && each.first->retain == Retain::Relocations; });
    Failure failure = failureOf(jit_.engine().relocate(requests));
    INFO("move " << batch.size() << ": " << failure.message);
    if (movable)
      REQUIRE(failure.code == (possible(batch) ? "" : "ERR_PLACEMENT"));
    else
      REQUIRE_FALSE(failure.code.empty());
    for (auto &[object, to] : batch) {
      if (failure.code.empty())
        object->at = after(*object, to);
      if (object->isPlaced)
        check(*object);
    }
  }

  void release() {
    Object *object = any();
    if (!object)
      return;
    Failure failure = failureOf(jit_.engine().free(object->handle));
    REQUIRE(failure.code == (object->callers > 0 ? "ERR_STATE" : ""));
    if (object->callers > 0)
      return;
    if (object->callee)
      --object->callee->callers;
    std::erase_if(objects_, [=](auto &each) { return each.get() == object; });
  }

  void call() {
    if (Object *object = any(); object && object->isPlaced)
      check(*object);
  }

  void check(Object &object) {
    INFO(object.made->name << ", k = " << object.k);
    int x = static_cast<int>(random_.below(2000)) - 1000;
    REQUIRE(jit_.call<int>(object.handle, "f", x) == object.expect(x));
    for (SegmentKind kind : segmentKinds)
      if (object.size[indexOf(kind)] > 0)
        REQUIRE(static_cast<std::int64_t>(jit_.offsetOf(object.handle, kind)) == object.at[indexOf(kind)]);
  }

  Random random_;
  Jit jit_{Arena::minBytes};
  std::vector<std::unique_ptr<Object>> objects_;
};

} // namespace

TEST_CASE("random: two thousand operations do what the model says") {
  SHOW_SEED;
  Simulation simulation;
  for (int step = 0; step < 2000; ++step) {
    INFO("step " << step);
    simulation.step();
    if (step % 100 == 0)
      simulation.checkAll();
  }
  simulation.checkAll();
}

// I7: after a refused batch every byte, entry slot and claim is as before. Oracle: snapshots, statistics, calls.
#include "support.h"

using namespace nomad;
using namespace nomad::test;

namespace {

const char *source = R"(
  @d = global [3 x ptr] [ptr @d, ptr @f, ptr @c]
  @c = constant [5 x i32] [i32 1, i32 2, i32 3, i32 4, i32 5]
  define i32 @f(i32 %x) {
    %e = getelementptr [5 x i32], ptr @c, i32 0, i32 %x
    %r = load i32, ptr %e
    ret i32 %r
  })";

struct Three {
  Jit jit;
  Handle handles[3] = {jit.add(source), jit.add(source), jit.add(source)};
  Handle bystander = jit.add(source);

  std::vector<Snapshot> snapshots() {
    std::vector<Snapshot> all;
    for (Handle handle : {handles[0], handles[1], handles[2], bystander})
      all.push_back(snapshotOf(jit, handle));
    return all;
  }
  std::int64_t offset(Handle handle, SegmentKind kind) { return static_cast<std::int64_t>(jit.offsetOf(handle, kind)); }

  // The first two requests are good; `last` is not.
  void checkRefused(const Offsets &last, const char *code, const char *words) {
    std::vector<Snapshot> before = snapshots();
    Offsets good0 = jit.nextOffsets(handles[0]), good1 = jit.nextOffsets(handles[1]);
    std::vector<MoveRequest> batch{jit.request(handles[0], good0), jit.request(handles[1], good1), jit.request(handles[2], last)};
    Failure failure = failureOf(jit.engine().relocate(batch));
    CHECK(failure.code == std::string(code));
    INFO(failure.message);
    CHECK(contains(failure.message, words));
    CHECK(snapshots() == before);
    checkOccupancy(good0);
    for (Handle handle : {handles[0], handles[1], handles[2], bystander})
      CHECK(jit.function<int(int)>(handle, "f")(4) == 5);
  }

  // The refused places are still free, the old ones still taken: a new code object fits the first and not the second.
  void checkOccupancy(const Offsets &free) {
    Handle probe = jit.compile(source);
    for (SegmentKind kind : segmentKinds) {
      Offsets taken = free;
      taken[indexOf(kind)] = offset(handles[0], kind);
      CHECK(failureOf(jit.engine().place(jit.request(probe, taken))).code == "ERR_PLACEMENT");
    }
    jit.place(probe, free);
    CHECK(jit.function<int(int)>(probe, "f")(2) == 3);
    jit.free(probe);
  }
};

} // namespace

TEST_CASE("all or nothing: a batch whose last move is misaligned") {
  Three it;
  Offsets last = it.jit.nextOffsets(it.handles[2]);
  for (size_t kind = 0; kind < 3; ++kind) {
    Offsets bad = last;
    bad[kind] += 8;
    it.checkRefused(bad, "ERR_PLACEMENT", "alignment");
  }
}

TEST_CASE("all or nothing: a batch whose last move is out of range") {
  Three it;
  Offsets last = it.jit.nextOffsets(it.handles[2]);
  for (SegmentKind kind : segmentKinds)
    for (std::int64_t bad : {static_cast<std::int64_t>(it.jit.engine().placeable(kind).size()), std::int64_t{-16},
                             std::int64_t{-4096}, std::int64_t{0x7ffffff0}}) {
      Offsets offsets = last;
      offsets[indexOf(kind)] = bad;
      it.checkRefused(offsets, "ERR_PLACEMENT", "do not lie in the arena's");
    }
}

TEST_CASE("all or nothing: a batch whose last move overlaps a bystander, or the batch itself") {
  Three it;
  Offsets last = it.jit.nextOffsets(it.handles[2]);
  for (SegmentKind kind : segmentKinds) {
    Offsets offsets = last;
    offsets[indexOf(kind)] = it.offset(it.bystander, kind);
    it.checkRefused(offsets, "ERR_PLACEMENT", "overlap");
  }
  Offsets same = it.jit.nextOffsets(it.handles[0]);
  std::vector<Snapshot> before = it.snapshots();
  std::vector<MoveRequest> batch{it.jit.request(it.handles[0], same), it.jit.request(it.handles[1], same)};
  CHECK(failureOf(it.jit.engine().relocate(batch)).code == "ERR_PLACEMENT");
  CHECK(it.snapshots() == before);
}

// The places of neighbours are claimed and vacated together.
TEST_CASE("all or nothing: neighbours move to neighbouring places, of which somebody has the middle one, and then to others") {
  Jit jit;
  std::vector<Handle> handles;
  for (int i = 0; i < 4; ++i)
    handles.push_back(jit.compile("define i32 @f(i32 %x) { ret i32 %x }"));
  Size stride = roundUp(need(jit.engine().object(handles[0])).segment(SegmentKind::Code).size, OccupancyMap::granule);
  auto to = [&](int object, Size slot) {
    return MoveRequest{handles[object], {static_cast<std::int32_t>(slot * stride), MoveRequest::stays, MoveRequest::stays}};
  };
  need(jit.engine().place({to(0, 0), to(1, 1), to(2, 2), to(3, 11)}));
  std::vector<Snapshot> before;
  for (Handle handle : handles)
    before.push_back(snapshotOf(jit, handle));
  CHECK(failureOf(jit.engine().relocate({to(0, 10), to(1, 11), to(2, 12)})).code == "ERR_PLACEMENT");
  for (size_t i = 0; i < handles.size(); ++i)
    CHECK(snapshotOf(jit, handles[i]) == before[i]);
  for (Size slot : {10, 12, 11})
    need(jit.engine().relocate({to(3, slot)})); // nobody has what was refused

  need(jit.engine().relocate({to(0, 20), to(1, 21), to(2, 22)}));
  for (Size slot : {20, 21, 22})
    CHECK(failureOf(jit.engine().relocate({to(3, slot)})).code == "ERR_PLACEMENT");
  for (Size slot : {19, 23, 0, 1, 2})
    need(jit.engine().relocate({to(3, slot)}));
  for (Handle handle : handles)
    CHECK(jit.function<int(int)>(handle, "f")(9) == 9);
}

TEST_CASE("all or nothing: a batch with one object twice, one unplaced, one freed, one frozen, one that can't move") {
  Three it;
  Jit &jit = it.jit;
  CompileOptions fixed;
  fixed.retain = Retain::None;
  Handle unplaced = jit.compile(source), freed = jit.add(source), fixedObject = jit.add(source, fixed);
  Handle frozen = jit.add(source);
  jit.free(freed);
  need(jit.engine().freeze(frozen, 1));
  std::vector<Snapshot> before = it.snapshots();
  std::pair<Handle, const char *> cases[] = {{it.handles[0], "ERR_PLACEMENT"}, {unplaced, "ERR_STATE"}, {freed, "ERR_STATE"},
                                             {fixedObject, "ERR_STATE"},       {frozen, "ERR_STATE"},   {12345, "ERR_STATE"}};
  for (auto [bad, code] : cases) {
    Offsets good = jit.nextOffsets(it.handles[0]), other = jit.nextOffsets(it.handles[1]);
    MoveRequest last{bad, jit.request(it.handles[1], other).to};
    std::vector<MoveRequest> batch{jit.request(it.handles[0], good), last};
    CHECK(failureOf(jit.engine().relocate(batch)).code == std::string(code));
    CHECK(it.snapshots() == before);
  }
  jit.place(unplaced); // no refusal has marked it
  jit.moveOn(it.handles[0]);
  CHECK(jit.function<int(int)>(it.handles[0], "f")(0) == 1);
  CHECK(jit.function<int(int)>(fixedObject, "f")(1) == 2);
}

TEST_CASE("all or nothing: a refused first placement leaves the code object unplaced, and it can be placed then") {
  Jit jit;
  Handle other = jit.add(source), handle = jit.compile(source);
  Offsets good = jit.nextOffsets(handle);
  Offsets missing = good;
  missing[1] = stays;
  CHECK(failureOf(jit.engine().place(jit.request(handle, missing))).code == "ERR_PLACEMENT");
  Offsets taken = good;
  taken[2] = static_cast<std::int64_t>(jit.offsetOf(other, SegmentKind::Data));
  Failure failure = failureOf(jit.engine().place(jit.request(handle, taken)));
  CHECK(failure.code == "ERR_PLACEMENT");
  CHECK(contains(failure.message, "'test'"));
  CHECK(jit.engine().stats().placedObjects == 1);
  jit.place(handle, good);
  CHECK(jit.function<int(int)>(handle, "f")(3) == 4);
  CHECK(failureOf(jit.engine().place(jit.request(handle, jit.nextOffsets(handle)))).code == "ERR_STATE");
}

TEST_CASE("all or nothing: an empty batch, and a move to where it is, change nothing") {
  Three it;
  std::vector<Snapshot> before = it.snapshots();
  CHECK(need(it.jit.engine().relocate({})).moved == 0);
  Offsets same{it.offset(it.handles[0], SegmentKind::Code), stays, it.offset(it.handles[0], SegmentKind::Data)};
  MoveReport report = need(it.jit.engine().relocate(it.jit.request(it.handles[0], same)));
  CHECK(report.bytes == 0);
  CHECK(it.snapshots() == before);
}

TEST_CASE("all or nothing: the call thunks' space is nobody else's, in the code range and in the data range") {
  Three it;
  Offsets last = it.jit.nextOffsets(it.handles[2]);
  for (SegmentKind kind : {SegmentKind::Code, SegmentKind::Data}) {
    Offsets offsets = last;
    offsets[indexOf(kind)] = static_cast<std::int64_t>(it.jit.engine().placeable(kind).size());
    CHECK(failureOf(it.jit.engine().relocate(it.jit.request(it.handles[2], offsets))).code == "ERR_PLACEMENT");
  }
}

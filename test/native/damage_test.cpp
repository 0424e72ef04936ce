// Whether verify finds what is wrong. Each kind of record is damaged on purpose, one at a time, and verify has to name the
// structure, the number of the invariant and, where it is one's, the code object. Oracle: the table of damages.
#include "support.h"

#include "memory/write_scope.h"
#include "stack/root_check.h"

using namespace nomad;
using namespace nomad::test;

namespace nomad {

/// What the structures let the tests at.
struct Damage {
  static Arena &arena(Engine &engine) { return *engine.arena_; }
  static CodeObjectTable &objects(Engine &engine) { return engine.objects_.records(); }
  static CodeObject &object(Engine &engine, Handle handle) { return engine.objects_[handle]; }
  static EntryTable &entries(Engine &engine) { return engine.entries_; }
  static OwnerIndex &owners(Engine &engine) { return engine.mover_.codeOwners(); }
  static auto &hosts(Engine &engine) { return engine.hosts_.table_; }
  static auto &hostIndices(Engine &engine) { return engine.objects_.hosts_; }
  static auto &forwardedStubs(Engine &engine) { return engine.objects_.forwardedStubs_; }
  static auto &immovable(Engine &engine) { return engine.objects_.immovable_; }
  static auto &names(Engine &engine) { return engine.objects_.names_; }
  static auto &kept(Engine &engine) { return engine.objects_.objectFiles_; }
  static auto &returnsTwice(Engine &engine) { return engine.objects_.returnsTwice_; }
  static auto &definitions(Engine &engine) { return engine.names_.definitions_; }
  static Range thunks(Engine &engine) { return engine.space_.code(); }

  static auto &vacant(CodeObjectTable &table) { return table.vacant_; }
  static auto &firstOf(CodeObjectTable &table) { return table.firstOf_; }
  static auto &limit(CodeObjectTable &table) { return table.limit_; }
  static auto &vacant(EntryTable &table) { return table.vacant_; }
  static auto &taken(EntryTable &table) { return table.taken_; }
  static auto &written(EntryTable &table) { return table.written_; }
  static auto &vacant(HostTable &table) { return table.vacant_; }
  static std::uint64_t &slot(HostTable &table, HostIndex index) { return table.slot(index); }
  static auto &window(OwnerIndex &index, size_t i) { return index.windows_[i]; }
  static auto &staleWindows(Engine &engine) { return engine.mover_.unwind().staleWindows_; }
  static auto &windowIsStale(Engine &engine) { return engine.mover_.unwind().windows_[0].isStale; }
  static std::uint8_t *bytes(SymbolTable &table) { return table.encoded_.get(); }
  static std::uint8_t *bytes(RelocationTable &table) { return const_cast<std::uint8_t *>(table.encoded_->begin()); }
  static std::uint32_t &count(RelocationTable &table) { return table.encoded_->count; }
};

} // namespace nomad

namespace {

constexpr auto calleeSource = R"(
@table = constant [4 x i64] [i64 1, i64 2, i64 3, i64 4]
@state = global [4 x i64] zeroinitializer
define i64 @f(i64 %x) {
  %i = and i64 %x, 3
  %p = getelementptr i64, ptr @table, i64 %i
  %a = load i64, ptr %p
  %q = getelementptr i64, ptr @state, i64 %i
  store i64 %a, ptr %q
  ret i64 %a
}
define i64 @g(i64 %x) {
  %r = call i64 @f(i64 %x)
  ret i64 %r
})";
constexpr auto callerSource = R"(
declare i64 @callee(i64)
define i64 @f(i64 %x) {
  %a = call i64 @callee(i64 %x)
  %r = add i64 %a, 1
  ret i64 %r
})";
constexpr auto hostUser = R"(
declare i64 @host(i64)
define i64 @f(i64 %x) {
  %a = call i64 @host(i64 %x)
  %r = add i64 %a, 1
  ret i64 %r
})";
constexpr auto plain = "define i64 @f(i64 %x) {\n  %r = add i64 %x, 5\n  ret i64 %r\n}\n";

CompileOptions named(const char *name, std::vector<Import> imports = {}) {
  CompileOptions options;
  options.name = name;
  options.imports = std::move(imports);
  return options;
}

// Code objects in all relations that there are.
struct Scene {
  Scene() {
    host = outside.add("host", "i64 (i64)");
    callee = jit.add(calleeSource, named("callee"));
    caller = jit.add(callerSource, named("caller", {importFunction("callee", callee, "g")}));
    user = jit.add(hostUser, named("user", {importFunction("host", host, "host")}));
    old = jit.add(plain, named("old"));
    successor = jit.add(plain, named("successor"));
    loyal = jit.add(callerSource, named("loyal", {importFunction("callee", old, "f")}));
    jit.stub(old, "f");
    need(engine.redirect({old, "f"}, {successor, "f"}));
    CHECK(jit.call<std::int64_t>(caller, "f", std::int64_t{2}) == 4);
    gone = jit.add(plain, named("gone")); // last: nobody gets its handle
    goneStub = need(engine.entry(gone, "f"));
    jit.free(gone);
    need(engine.verify());
  }

  CodeObject &operator[](Handle handle) { return Damage::object(engine, handle); }
  Links &links(Handle handle) { return *(*this)[handle].links; }
  Segment &code(Handle handle) { return (*this)[handle].segment(SegmentKind::Code); }
  OccupancyMap &occupancy() { return Damage::arena(engine).occupancy(SegmentKind::Code); }
  void flip(Address at, unsigned bits = 1) {
    WriteScope scope(Damage::arena(engine));
    *scope.writable(at) ^= static_cast<std::byte>(bits);
  }
  void flipSite(Handle handle, bool isOfReference) {
    for (const Relocation &site : (*this)[handle].relocations.decode())
      if ((site.target == TargetKind::Reference) == isOfReference && site.segment == SegmentKind::Code)
        return flip(code(handle).base + site.site);
    FAIL("no such site");
  }
  // Where the first record that describes code says which.
  Address describedBy(Handle handle) {
    Address records = code(handle).base + (*this)[handle].unwindRecords;
    std::uint32_t shared;
    std::memcpy(&shared, records.pointer(), sizeof shared);
    return records + 4 + shared + 8;
  }
  std::vector<EntryUse> &forwardedStubs(Handle handle) { return Damage::forwardedStubs(engine)[handle]; }

  Jit jit;
  TestHost outside{jit};
  Engine &engine = jit.engine();
  Handle host, callee, caller, user, old, successor, loyal, gone;
  EntryIndex goneStub = 0;
};

struct Case {
  const char *name;
  const char *says; // some of the message
  void (*damage)(Scene &);
};

constexpr Case cases[] = {
    // ---- whose memory it is ----
    {"code outside of its range", "'caller' is outside of its range, at",
     [](Scene &s) { s.code(s.caller).base = Address::of(1 << 20); }},
    {"two in one place", "overlap", [](Scene &s) { s.code(s.caller).base = s.code(s.callee).base + 16; }},
    {"a claimed half", "'callee' lies in memory that counts as vacant",
     [](Scene &s) { s.occupancy().vacate(Range::at(s.code(s.callee).base + 16, 1)); }},
    {"nobody's granule is claimed", "[occupancy 4]",
     [](Scene &s) { CHECK(s.occupancy().claim(Range::at(s.jit.engine().placeable(SegmentKind::Code).base + (1 << 20), 16))); }},
    {"a granule behind", "[occupancy 4]",
     [](Scene &s) { CHECK(s.occupancy().claim(Range::at(Damage::thunks(s.engine).limit.shifted(-16), 16))); }},
    // ---- who is found ----
    {"a wrong slot in the owner index", "'callee' is not where its slot says",
     [](Scene &s) { s.code(s.callee).ownerSlot = 7000; }},
    {"a wrong count of those who left", "[owner index 2]", [](Scene &s) { ++Damage::window(Damage::owners(s.engine), 0).left; }},
    {"a stale window that nobody has listed", "[unwind tables 1]",
     [](Scene &s) { refreshUnwindTables(), Damage::windowIsStale(s.engine) = true; }},
    {"a window listed twice", "[unwind tables 1]",
     [](Scene &s) { refreshUnwindTables(), Damage::windowIsStale(s.engine) = true, Damage::staleWindows(s.engine) = {0, 0}; }},
    {"a stale window of which the thread does not know", "[unwind tables 2]",
     [](Scene &s) { refreshUnwindTables(), Damage::windowIsStale(s.engine) = true, Damage::staleWindows(s.engine) = {0}; }},
    {"an owner index out of order", "[owner index 3]",
     [](Scene &s) {
       auto &window = Damage::window(Damage::owners(s.engine), 0);
       CHECK(Damage::owners(s.engine).find(s.code(s.callee).base) == &s[s.callee]); // in order, and nobody has left
       std::reverse(window.objects.begin(), window.objects.end());
       for (size_t slot = 0; slot < window.objects.size(); ++slot)
         window.objects[slot]->segment(SegmentKind::Code).ownerSlot = static_cast<std::uint16_t>(slot);
       window.isOrdered = true;
     }},
    // ---- entry stubs ----
    {"more stubs than written", "[entry stubs 1]", [](Scene &s) { Damage::taken(Damage::entries(s.engine)) += 100000; }},
    {"a stub's bytes", "[entry stubs 2]", [](Scene &s) { s.flip(s.engine.entries().stub(0) + 3); }},
    {"a stub given back twice", "[entry stubs 3]",
     [](Scene &s) { Damage::vacant(Damage::entries(s.engine)).push_back(s.goneStub); }},
    {"a stub given back that leads somewhere", "[entry stubs 3]",
     [](Scene &s) { Damage::entries(s.engine).redirect(s.goneStub, s.code(s.callee).base); }},
    {"two owners of one stub", "'caller' has entry stub",
     [](Scene &s) { s[s.caller].entries.push_back({s[s.callee].entries.front().index, 0}); }},
    {"a stub that leads elsewhere", "of code object 'callee' leads to",
     [](Scene &s) { Damage::entries(s.engine).redirect(s[s.callee].entries.front().index, s.code(s.caller).base); }},
    {"a redirected stub that leads elsewhere", "of code object 'old' leads to",
     [](Scene &s) { Damage::entries(s.engine).redirect(s.forwardedStubs(s.old).front().index, s.code(s.old).base); }},
    {"a forgotten stub", "[entry stubs 6]", [](Scene &s) { s[s.callee].entries.clear(); }},
    // ---- host stubs ----
    {"a host stub's bytes", "[host stubs 1]", [](Scene &s) { s.flip(s.code(s.host).base + 1); }},
    {"a host stub given back twice", "[host stubs 2]",
     [](Scene &s) { Damage::vacant(Damage::hosts(s.engine)).push_back(Damage::vacant(Damage::hosts(s.engine)).front()); }},
    {"another's host stub", "[host stubs 3]",
     [](Scene &s) { Damage::hostIndices(s.engine)[s.host] = Damage::vacant(Damage::hosts(s.engine)).front(); }},
    {"a lost host stub", "[host stubs 4]", [](Scene &s) { Damage::vacant(Damage::hosts(s.engine)).pop_back(); }},
    {"a host stub that leads nowhere", "[host stubs 5]",
     [](Scene &s) { Damage::slot(Damage::hosts(s.engine), Damage::hostIndices(s.engine)[s.host]) = 0; }},
    // ---- the record ----
    {"no such state", "'callee': its state is none that there is [code object 1]",
     [](Scene &s) { s[s.callee].state = static_cast<State>(9); }},
    {"left in a batch", "[code object 1]", [](Scene &s) { s[s.callee].isMoving = true; }},
    {"placed, and not placed", "[code object 1]", [](Scene &s) { s[s.callee].state = State::Unplaced; }},
    {"misaligned", "'callee': a segment is not aligned [code object 2]",
     [](Scene &s) { s.code(s.callee).base = s.code(s.callee).base + 1; }},
    {"unwind records outside", "[code object 3]", [](Scene &s) { s[s.callee].unwindRecords = s.code(s.callee).size; }},
    {"an entry outside", "[code object 3]", [](Scene &s) { s[s.callee].entries.front().offset = s.code(s.callee).size + 1; }},
    {"destructors outside", "[code object 3]", [](Scene &s) { s[s.callee].ensureTeardown().finalizer = 1 << 20; }},
    {"a relocation of no kind", "'callee': a group is not whole, or of no kind that there is [relocations 1]",
     [](Scene &s) { *Damage::bytes(s[s.callee].relocations) |= 7; }},
    {"a site outside", "[relocations 2]",
     [](Scene &s) {
       s[s.caller].symbols = SymbolTable();
       s[s.caller].unwindRecords = noOffset;
       s.code(s.caller).size = 4;
     }},
    {"a reference that there is not", "[relocations 3]", [](Scene &s) { s.links(s.caller).references.clear(); }},
    {"a count of relocations", "[relocations 4]", [](Scene &s) { ++Damage::count(s[s.callee].relocations); }},
    {"two sites in the same bytes", "[relocations 5]",
     [](Scene &s) {
       Relocation site{SegmentKind::Code, Formula::Relative32, TargetKind::Data, {}, 2}, next = site;
       next.site += 3;
       s[s.callee].relocations = RelocationTable::encode({site, next});
     }},
    {"symbols that end too late", "code object of handle", [](Scene &s) { Damage::bytes(s[s.callee].symbols)[4] = 0x7f; }},
    {"a symbol outside", "[symbols 2]", [](Scene &s) { s[s.callee].segment(SegmentKind::Constants).size = 8; }},
    {"linked to more than there are", "'loyal'", [](Scene &s) { s.links(s.loyal).linkedTo.emplace_back(); }},
    {"linked to fewer than there are", "[links 1]",
     [](Scene &s) {
       s.links(s.caller).references.push_back({s.callee});
       s.links(s.caller).linkedTo = {{}};
     }},
    {"linked to nothing else", "[links 1]", [](Scene &s) { s.links(s.loyal).linkedTo = s.links(s.loyal).references; }},
    {"redirected as a whole", "[links 2]", [](Scene &s) { s.links(s.loyal).references[0].offset = noOffset; }},
    // ---- the table ----
    {"handles without records", "[code objects 1]", [](Scene &s) { Damage::limit(Damage::objects(s.engine)) += 1000; }},
    {"a record that is not found", "[code objects 2]",
     [](Scene &s) { Damage::firstOf(Damage::objects(s.engine)).begin()->second = 3; }},
    {"a living handle given back", "[code objects 3]",
     [](Scene &s) { Damage::vacant(Damage::objects(s.engine)).push_back(s.callee); }},
    {"a lost handle", "[code objects 3]", [](Scene &s) { Damage::vacant(Damage::objects(s.engine)).clear(); }},
    {"a vacant record that has something", "[code objects 4]", [](Scene &s) { s.code(s.gone) = s.code(s.callee); }},
    // ---- unwind records ----
    {"an unwind record that does not end", "'caller': unwind records are not whole [unwind records 1]",
     [](Scene &s) { s.flip(s.code(s.caller).base + s[s.caller].unwindRecords + 1, 0x70); }},
    {"an unwind record of another's code", "'caller': a record describes 0x",
     [](Scene &s) { s.flip(s.describedBy(s.caller) + 2); }},
    {"an unwind record of too little", "'f' and its record are not of one size [unwind records 4]",
     [](Scene &s) { s.flip(s.describedBy(s.caller) + 4); }},
    // ---- who refers to whom ----
    {"a reference to nobody", "'caller': it refers to handle", [](Scene &s) { s.links(s.caller).references[0].object = s.gone; }},
    {"a reference to nothing", "'caller': it refers to handle", [](Scene &s) { s.links(s.caller).references[0] = {}; }},
    {"linked to nobody", "'loyal': it refers to handle", [](Scene &s) { s.links(s.loyal).linkedTo[0].object = s.gone; }},
    {"a reference outside of code", "[references 1]",
     [](Scene &s) { s.links(s.caller).references[0].offset = s.code(s.callee).size; }},
    {"what is referred to does not know", "'caller': what it refers to does not know of it",
     [](Scene &s) { s.links(s.callee).dependents.erase(s.caller); }},
    {"what was linked to does not know", "'loyal': what it refers to does not know of it",
     [](Scene &s) { s.links(s.old).dependents.erase(s.loyal); }},
    {"a dependent that does not refer", "'callee': handle", [](Scene &s) { s.links(s.callee).dependents.insert(s.successor); }},
    {"a dependent of itself", "[references 2]", [](Scene &s) { s.links(s.old).dependents.insert(s.old); }},
    {"two names with one reference", "'caller': a name has no reference of its own [references 3]",
     [](Scene &s) {
       ImportedName name;
       name.kind = ImportedName::Kind::Function;
       Damage::names(s.engine)[s.caller] = {name, name};
     }},
    {"a name of a code object without references", "'callee': a name has no reference of its own [references 3]",
     [](Scene &s) { Damage::names(s.engine)[s.callee].emplace_back().kind = ImportedName::Kind::FunctionEntry; }},
    // ---- where code leads ----
    {"a call that leads elsewhere in its function", "'caller': a call leads elsewhere than to its function in 'callee', at",
     [](Scene &s) { s.flipSite(s.caller, true); }},
    {"a reference that is not where the call leads", "[calls 1]", [](Scene &s) { ++s.links(s.caller).references[0].offset; }},
    {"an address of its own", "'callee': it does not lead to where it led before, at 0x",
     [](Scene &s) { s.flipSite(s.callee, false); }},
    {"a redirected call that leads back", "'loyal'",
     [](Scene &s) {
       for (const Relocation &site : s[s.loyal].relocations.decode())
         s.flip(s.code(s.loyal).base + site.site);
     }},
    {"a redirection that its function does not know", "'loyal': reference 0 is not what its function has been redirected to",
     [](Scene &s) {
       s.links(s.loyal).linkedTo[0] = {s.successor, s.links(s.loyal).references[0].offset + 1};
       s.links(s.old).dependents.erase(s.loyal);
     }},
    {"a function taken back, and its callers not", "'loyal'",
     [](Scene &s) {
       s.links(s.old).set(0, s.links(s.old).linkedPlace(0), s.links(s.old).linkedPlace(0));
       s.links(s.successor).dependents.erase(s.old);
       s.forwardedStubs(s.old).clear();
     }},
    {"redirected in a chain", "redirected to one that is redirected itself [redirected 2]",
     [](Scene &s) {
       CodePlace function = s.links(s.old).references[0];
       s.links(s.successor).set(s.links(s.successor).add(function), {s.successor, function.offset + 1}, function);
     }},
    {"a redirected stub without a function", "'callee': an entry stub is redirected, but not its function",
     [](Scene &s) { s.forwardedStubs(s.callee).push_back({0, 0}); }},
    // ---- what else is kept by handle ----
    {"immovable, and gone", "[side tables 1]", [](Scene &s) { Damage::immovable(s.engine).insert(s.gone); }},
    {"names of what is gone", "kept names mention", [](Scene &s) { Damage::names(s.engine)[s.gone]; }},
    {"an object file of what is gone", "kept object files mention",
     [](Scene &s) { Damage::kept(s.engine)[s.gone] = std::make_unique<KeptObject>(); }},
    {"functions of what is gone", "return twice mention", [](Scene &s) { Damage::returnsTwice(s.engine)[s.gone]; }},
    {"a definition that is gone", "definitions mention",
     [](Scene &s) { Damage::definitions(s.engine)["name"] = importFunction("name", s.gone, "f"); }},
    {"stubs of what is gone", "redirected stubs mention", [](Scene &s) { Damage::forwardedStubs(s.engine)[s.gone]; }},
};

} // namespace

TEST_CASE("damage: each kind is found, and verify says whose it is and which invariant is broken") {
  for (const Case &each : cases) {
    std::string name = each.name;
    CAPTURE(name);
    // What is damaged is not to be destroyed.
    AbandonedIsLeaked leaked;
    auto *scene = new Scene;
    each.damage(*scene);
    Failure failure = failureOf(scene->engine.verify());
    CHECK(failure.code == "ERR_STATE");
    INFO(failure.message);
    CHECK(contains(failure.message, "damage: "));
    CHECK(contains(failure.message, each.says));
  }
}

TEST_CASE("damage: roots that the fast walk would miss or make up") {
  Jit jit;
  TestHost outside(jit);
  Handle user = jit.add(hostUser, named("user", {importFunction("host", outside.add("host", "i64 (i64)"), "host")}));
  outside.onCall = [&](HostIndex) {
    Engine &engine = jit.engine();
    need(engine.verify());
    StackRoots right = engine.stackRoots();
    REQUIRE(right.exact.size() == 1);
    auto checked = [&](const StackRoots &roots) {
      return failureOf(RootCheck(Damage::objects(engine), Damage::thunks(engine)).check(threadActivations().innermost, roots));
    };
    CHECK(checked(right).message.empty());
    CHECK(contains(checked({{}, right.ambiguous}).message, "a frame of code object 'user'"));
    CHECK(contains(checked({{}, right.ambiguous}).message, "[roots 1]"));
    StackRoots wrong = right;
    wrong.exact.front().slot = wrong.exact.front().slot + 8;
    CHECK(contains(checked(wrong).message, "[roots 1]"));
    wrong = right;
    wrong.exact.push_back(wrong.exact.front());
    wrong.exact.back().slot = wrong.exact.back().slot.shifted(-8);
    CHECK(contains(checked(wrong).message, "where no frame returns [roots 2]"));
    wrong = right;
    ++wrong.exact.front().offset;
    CHECK(contains(checked(wrong).message, "is not what its slot has [roots 2]"));
    wrong.exact.front() = right.exact.front();
    wrong.exact.push_back(right.exact.front());
    wrong.exact.back().slot = Address::of(64);
    CHECK(contains(checked(wrong).message, "is in no activation [roots 2]"));
    return true;
  };
  jit.call<std::int64_t>(user, "f", std::int64_t{1});
  CHECK(outside.calls == 1);
}

TEST_CASE("damage: the owner index does not find who is not said to be there") {
  Jit jit;
  Handle first = jit.add(plain), second = jit.add(plain);
  OwnerIndex &owners = Damage::owners(jit.engine());
  CodeObject *only[] = {&Damage::object(jit.engine(), first)};
  CHECK(owners.find(jit.object(second).segment(SegmentKind::Code).base) == &jit.object(second));
  auto &window = Damage::window(owners, 0);
  REQUIRE(window.objects.size() == 2);
  ++window.left;
  // The second begins in the granule behind the first: exactly there somebody is found.
  CodeObject &neighbour = Damage::object(jit.engine(), second);
  neighbour.segment(SegmentKind::Code).base = only[0]->segment(SegmentKind::Code).range().limit;
  CHECK(contains(failureOf(owners.checkIntegrity(only)).message, "[owner index 4]"));
}

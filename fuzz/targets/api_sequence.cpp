// Sequences of public calls, also from inside of host functions that code has called, against a small model. After each call all
// records are verified; each call of code has to return what the model says.
//
// The model: an object's function, whom it calls, and what has been redirected. Whether a call of ours succeeds is not foretold,
// but an error has a code and changes nothing.
#include "compile/object_file.h"
#include "support/input.h"
#include "support/jit.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <array>

using namespace nomad;
using namespace nomad::fuzz;
using namespace llvm;

namespace {

struct Kind {
  const char *source;
  std::int32_t (*value)(std::int32_t x, std::int32_t inner); // inner: what the function got that it calls
  std::int32_t (*argument)(std::int32_t x);                  // what it calls that with
  bool callsAnother = false;
  bool callsHost = false;
};

std::int32_t wrap(std::int64_t value) { return static_cast<std::int32_t>(value); }
std::int32_t same(std::int32_t x) { return x; }

constexpr Kind kinds[] = {
    {"define i32 @f(i32 %x) {\n  %a = mul i32 %x, 3\n  %r = add i32 %a, 1\n  ret i32 %r\n}\n",
     [](std::int32_t x, std::int32_t) { return wrap(std::int64_t{x} * 3 + 1); }, same},
    {"@t = constant [4 x i32] [i32 11, i32 22, i32 33, i32 44]\n"
     "define i32 @f(i32 %x) {\n  %i = and i32 %x, 3\n  %p = getelementptr i32, ptr @t, i32 %i\n  %r = load i32, ptr %p\n"
     "  ret i32 %r\n}\n",
     [](std::int32_t x, std::int32_t) { return ((x & 3) + 1) * 11; }, same},
    {"@v = global i32 77\n@p = global ptr @v\n"
     "define i32 @f(i32 %x) {\n  %p = load volatile ptr, ptr @p\n  %a = load i32, ptr %p\n  %r = xor i32 %a, %x\n  ret i32 "
     "%r\n}\n",
     [](std::int32_t x, std::int32_t) { return x ^ 77; }, same},
    {"declare i32 @callee(i32)\ndefine i32 @f(i32 %x) {\n  %a = call i32 @callee(i32 %x)\n  %r = add i32 %a, 7\n  ret i32 "
     "%r\n}\n",
     [](std::int32_t, std::int32_t inner) { return wrap(std::int64_t{inner} + 7); }, same, true},
    {"declare i32 @callee(i32)\n@p = global { ptr } { ptr @callee }\n"
     "define i32 @f(i32 %x) {\n  %g = load volatile ptr, ptr @p\n  %a = call i32 %g(i32 %x)\n  %r = sub i32 %a, 5\n  ret i32 "
     "%r\n}\n",
     [](std::int32_t, std::int32_t inner) { return wrap(std::int64_t{inner} - 5); }, same, true},
    {"declare i32 @host(i32)\ndefine i32 @f(i32 %x) {\n  %a = call i32 @host(i32 %x)\n  %r = add i32 %a, 2\n  ret i32 %r\n}\n",
     [](std::int32_t x, std::int32_t) { return wrap(std::int64_t{x} + 3); }, same, false, true},
    {"declare i32 @host(i32)\ndeclare i32 @callee(i32)\n"
     "define i32 @f(i32 %x) {\n  %a = call i32 @host(i32 %x)\n  %b = call i32 @callee(i32 %a)\n  %r = xor i32 %b, 9\n  ret i32 "
     "%r\n}\n",
     [](std::int32_t, std::int32_t inner) { return inner ^ 9; }, [](std::int32_t x) { return wrap(std::int64_t{x} + 1); }, true,
     true},
};

constexpr std::int32_t hostAdds = 1;
constexpr std::size_t mostObjects = 12, mostSteps = 60;
constexpr int deepest = 3;

// Compiled once for all inputs.
const ObjectFile &objectFileOf(std::size_t kind, Moves moves) {
  static std::array<std::array<std::optional<ObjectFile>, 2>, std::size(kinds)> known;
  auto &found = known[kind][moves == Moves::All];
  if (!found) {
    TargetMachinePool machines;
    found = need(compileSource(kinds[kind].source, {"object", OptLevel::O1, moves, Granularity::Module, {}}, machines));
  }
  return *found;
}

ObjectFile copyOf(const ObjectFile &file) { return {MemoryBuffer::getMemBufferCopy(file.bytes->getBuffer()), file.exports}; }

struct Object {
  Handle handle;
  const Kind *kind;
  Object *callee = nullptr;
  Object *redirectedTo = nullptr;
  std::vector<std::uint8_t> frozen;
  bool isPlaced = false;
};

class Sequence {
public:
  Sequence(const std::uint8_t *data, std::size_t size)
      : input_(data, size), jit_(input_.oneIn(4) ? LinkerKind::RuntimeDyld : LinkerKind::JITLink) {
    Signature signature = need(parseSignature("i32 (i32)"));
    host_ = need(jit_.engine().addHost("host", signature));
    jit_.onCall = [this](std::int32_t argument) { return host(argument); };
  }

  void run() {
    while (!input_.isEmpty() && steps_ < mostSteps)
      step();
  }

private:
  using Operation = void (Sequence::*)();

  void step() {
    static constexpr Operation operations[] = {
        &Sequence::link,     &Sequence::link,   &Sequence::place,    &Sequence::place,  &Sequence::move, &Sequence::move,
        &Sequence::moveMany, &Sequence::free,   &Sequence::freeMany, &Sequence::freeze, &Sequence::thaw, &Sequence::redirect,
        &Sequence::replace,  &Sequence::reload, &Sequence::tidy,     &Sequence::call,   &Sequence::call};
    ++steps_;
    (this->*operations[input_.below(std::size(operations))])();
    jit_.verify();
  }

  Object *any() { return objects_.empty() ? nullptr : objects_[input_.below(objects_.size())].get(); }
  std::int32_t anywhere() { return static_cast<std::int32_t>(input_.below(64) * 128); } // few, so that places are contested

  CompileOptions optionsOf(Object *callee) {
    CompileOptions options;
    options.name = "object";
    options.moves = input_.oneIn(3) ? Moves::All : Moves::Code;
    options.retain = std::array{Retain::Relocations, Retain::Relocations, Retain::Object, Retain::None}[input_.below(4)];
    options.imports.push_back({"host", {}, host_, "host"});
    if (callee)
      options.imports.push_back({"callee", {}, callee->handle, "f"});
    return options;
  }

  void add(Expected<Handle> handle, const Kind *kind, Object *callee) {
    if (!handle)
      return expected(handle.takeError());
    objects_.push_back(std::make_unique<Object>(Object{*handle, kind, callee}));
  }

  void link() {
    std::size_t kind = input_.below(std::size(kinds));
    Object *callee = kinds[kind].callsAnother ? any() : nullptr;
    if (objects_.size() == mostObjects || (kinds[kind].callsAnother && !callee))
      return;
    CompileOptions options = optionsOf(callee);
    add(jit_.engine().link(copyOf(objectFileOf(kind, options.moves)), options), &kinds[kind], callee);
  }

  template <typename T>
  bool succeeds(Expected<T> result) {
    if (result)
      return true;
    expected(result.takeError());
    return false;
  }
  bool succeeds(Error error) {
    bool isGood = !error;
    expected(std::move(error));
    return isGood;
  }

  void place() {
    if (Object *object = any(); object && succeeds(jit_.engine().place(jit_.request(object->handle, anywhere()))))
      object->isPlaced = true;
  }

  void move() {
    if (Object *object = any())
      succeeds(jit_.engine().relocate(jit_.request(object->handle, anywhere())));
  }

  void moveMany() {
    std::vector<MoveRequest> requests;
    for (std::size_t count = 1 + input_.below(5); count > 0 && !objects_.empty(); --count)
      requests.push_back(jit_.request(any()->handle, anywhere()));
    succeeds(jit_.engine().relocate(requests));
  }

  // Those that call it call what it has been redirected to, for good; if it has not been, nobody may call it any more.
  void forget(Object *gone) {
    for (auto &object : objects_) {
      require(object.get() == gone || object->redirectedTo != gone, "what others are redirected to was freed");
      if (object.get() == gone || object->callee != gone)
        continue;
      require(gone->redirectedTo != nullptr, "what others call was freed");
      object->callee = gone->redirectedTo;
    }
    llvm::erase_if(objects_, [=](auto &object) { return object.get() == gone; });
  }

  void free() {
    if (Object *object = any(); object && succeeds(jit_.engine().free(object->handle)))
      forget(object);
  }

  void freeMany() {
    SmallVector<Handle> handles;
    SmallVector<Object *> objects;
    for (std::size_t count = 1 + input_.below(5); count > 0 && !objects_.empty(); --count)
      if (Object *object = any(); !is_contained(objects, object)) {
        objects.push_back(object);
        handles.push_back(object->handle);
      }
    jit_.engine().freeMany(handles);
    // Callers go before their callees.
    for (bool isChanged = true; isChanged;) {
      isChanged = false;
      for (auto [object, handle] : zip(objects, handles))
        if (handle == noHandle && object && none_of(objects_, [&, gone = object](auto &other) { return needs(*other, gone); })) {
          forget(std::exchange(object, nullptr));
          isChanged = true;
        }
    }
    for (auto [object, handle] : zip(objects, handles))
      require(handle != noHandle || !object, "what others need was freed");
  }

  static bool needs(const Object &other, const Object *object) {
    return &other != object && (other.redirectedTo == object || (other.callee == object && !object->redirectedTo));
  }

  void freeze() {
    Object *object = any();
    if (!object)
      return;
    auto frozen = jit_.engine().freeze(object->handle, object->handle);
    if (frozen)
      object->frozen = std::move(*frozen);
    else
      expected(frozen.takeError());
  }

  void thaw() {
    if (Object *object = any())
      succeeds(jit_.engine().thaw(object->handle, object->handle, object->frozen));
  }

  // To what calls nobody: what calls the old function in turn is a wrapper, which the model has not.
  void redirect() {
    Object *from = any(), *to = any();
    if (!from || to->kind->callsAnother || !succeeds(jit_.engine().redirect({from->handle, "f"}, {to->handle, "f"})))
      return;
    ++redirections_;
    for (auto &object : objects_)
      if (object->redirectedTo == from && from != to)
        object->redirectedTo = to;
    from->redirectedTo = from == to ? nullptr : to;
  }

  void replace() {
    Object *from = any();
    if (!from || objects_.size() == mostObjects)
      return;
    CompileOptions options = optionsOf(from->callee);
    std::size_t before = objects_.size();
    add(jit_.engine().link(copyOf(objectFileOf(static_cast<std::size_t>(from->kind - kinds), options.moves)), options),
        from->kind, from->callee);
    if (objects_.size() == before)
      return;
    Object *to = objects_.back().get();
    to->isPlaced = succeeds(jit_.engine().place(jit_.request(to->handle, anywhere())));
    if (!to->isPlaced || !succeeds(jit_.engine().replace(from->handle, to->handle)))
      return;
    for (auto &object : objects_) {
      if (object->callee == from)
        object->callee = to;
      if (object->redirectedTo == from)
        object->redirectedTo = to;
    }
  }

  void reload() {
    Object *object = any();
    if (!object || objects_.size() == mostObjects)
      return;
    auto saved = jit_.engine().serialize(object->handle);
    if (saved)
      add(jit_.engine().deserialize(*saved, optionsOf(object->callee)), object->kind, object->callee);
    else
      expected(saved.takeError());
  }

  void tidy() {
    jit_.engine().trim();
    jit_.engine().pinned();
    jit_.engine().stats();
    jit_.engine().poison(jit_.engine().placeable(SegmentKind::Code));
  }

  // ---- calls ----

  static Object *actual(Object *object) { return object->redirectedTo ? object->redirectedTo : object; }

  // Whether all of it is placed is what the engine has made sure of, when it placed the first.
  static std::int32_t expect(Object *object, std::int32_t x) {
    const Kind &kind = *object->kind;
    return kind.value(x, kind.callsAnother ? expect(actual(object->callee), kind.argument(x)) : 0);
  }

  void call() {
    Object *object = any();
    auto x = static_cast<std::int32_t>(input_.word()) - 32768;
    if (!object || !actual(object)->isPlaced)
      return;
    std::int32_t result = expect(actual(object), x);
    std::size_t redirections = redirections_;
    bool hasThrown = std::exchange(hasThrown_, false);
    auto actualResult = jit_.call(object->handle, "f", x);
    require(actualResult.has_value() != hasThrown_, "code was left, but nobody had thrown, or the other way round");
    if (actualResult && redirections == redirections_)
      require(*actualResult == result, "code returned " + Twine(*actualResult) + " instead of " + Twine(result));
    hasThrown_ = hasThrown;
  }

  std::optional<std::int32_t> host(std::int32_t argument) {
    ++depth_;
    jit_.verify();
    bool hasThrown = hasThrown_;
    for (std::size_t count = depth_ < deepest ? input_.below(4) : 0; count > 0 && !input_.isEmpty(); --count)
      step();
    --depth_;
    hasThrown_ = hasThrown || (!input_.isEmpty() && input_.oneIn(16));
    return hasThrown_ ? std::nullopt : std::optional(wrap(std::int64_t{argument} + hostAdds));
  }

  Input input_;
  fuzz::Jit jit_;
  Handle host_ = noHandle;
  std::vector<std::unique_ptr<Object>> objects_;
  std::size_t steps_ = 0;
  std::size_t redirections_ = 0;
  int depth_ = 0;
  bool hasThrown_ = false; // in the innermost call
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  Sequence(data, size).run();
  return 0;
}

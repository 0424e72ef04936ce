#include "move/frame_registration.h"

#include "move/frame_records.h"
#include "move/retired_frames.h"

#include "llvm/ADT/STLExtras.h"

#include <array>
#include <dlfcn.h>

using namespace nomad;
using namespace llvm;

namespace {

// libgcc's `struct object`: its size is fixed by what crtbegin.o of every program has reserved for one.
using FrameObject = std::array<std::uint64_t, 6>;

} // namespace

extern "C" {
void __register_frame_info(const void *section, void *object);
void __register_frame_info_table(void *sections, void *object);
void *__deregister_frame_info(const void *begin); // returns the object; null while the process ends
const void *_Unwind_Find_FDE(void *address, void **bases);
}

// ---- which libgcc ----

namespace {

constexpr size_t sortedWord = 3, stateWord = 4; // of a FrameObject, in libgcc 13 and 14
constexpr std::uint64_t isSorted = 1, isMixed = 4;

// What libgcc 13 and 14 make of a section when they first look into it: the section, the number of records, the records.
const std::uint64_t *sortedRecords(const FrameObject &object) {
  return object[stateWord] & isSorted ? Address::of(object[sortedWord]).pointer<std::uint64_t>() : nullptr;
}

bool isFound(Address address) {
  void *bases[3];
  return _Unwind_Find_FDE(address.pointer<void>(), bases) != nullptr;
}

class Probe {
public:
  explicit Probe(Range range) : section_(range), range_(range) { __register_frame_info(&section_, &object_); }
  ~Probe() { __deregister_frame_info(&section_); }
  Probe(const Probe &) = delete;
  Probe &operator=(const Probe &) = delete;

  bool isFoundWhole() const { return isFound(range_.base) && isFound(range_.limit.shifted(-1)); }
  bool isSortedAsKnown() const {
    const std::uint64_t *sorted = isFoundWhole() ? sortedRecords(object_) : nullptr;
    return sorted && sorted[0] == Address::of(&section_).value() && sorted[1] == 1 &&
           sorted[2] == Address::of(section_.record()).value();
  }

private:
  OneRecordSection section_;
  Range range_;
  FrameObject object_{};
};

// Two neighbours go and one range comes in their place, all along a row of ranges. Where an inner node of the tree parts the two,
// a tree that is broken does not find the upper half.
bool losesRanges(bool &isKnown) {
  constexpr size_t count = 64, bytes = 16;
  static const std::byte row[count * bytes]{}; // addresses at which no code is
  auto cells = [](size_t from, size_t to) { return Range{Address::of(row) + from * bytes, Address::of(row) + to * bytes}; };
  std::array<std::unique_ptr<Probe>, count> probes;
  for (size_t i = 0; i < count; ++i)
    probes[i] = std::make_unique<Probe>(cells(i, i + 1));
  isKnown = probes[0]->isSortedAsKnown();
  bool loses = false;
  for (size_t i = 0; i + 1 < count; ++i) {
    probes[i].reset();
    probes[i + 1].reset();
    loses |= !Probe(cells(i, i + 2)).isFoundWhole();
    probes[i] = std::make_unique<Probe>(cells(i, i + 1));
    probes[i + 1] = std::make_unique<Probe>(cells(i + 1, i + 2));
  }
  return loses;
}

FrameLookup findLookup() {
  if (!dlvsym(RTLD_DEFAULT, "__truncdfbf2", "GCC_13.0.0")) // new in 13
    return FrameLookup::Lists;
  bool isKnown;
  return losesRanges(isKnown) && isKnown ? FrameLookup::BrokenRanges : FrameLookup::Ranges;
}

} // namespace

FrameLookup nomad::frameLookup() {
  static const FrameLookup lookup = findLookup();
  return lookup;
}

// ---- Ranges ----

void nomad::registerFrames(const void *section) { __register_frame_info(section, new FrameObject{}); }

void nomad::unregisterFrames(const void *section) { delete static_cast<FrameObject *>(__deregister_frame_info(section)); }

// ---- Lists ----

namespace {

class Listing {
public:
  explicit Listing(ArrayRef<const void *> sections) : sections_(sections.begin(), sections.end()) {
    sections_.push_back(nullptr);
    __register_frame_info_table(sections_.data(), object_.get());
  }
  ~Listing() {
    __deregister_frame_info(sections_.data());
    retireFrames(std::move(object_));
  }
  Listing(const Listing &) = delete;
  Listing &operator=(const Listing &) = delete;

private:
  std::vector<const void *> sections_;
  std::shared_ptr<FrameObject> object_ = std::make_shared<FrameObject>();
};

class ListedFrames final : public WindowFrames {
public:
  void publish(ArrayRef<const void *> sections) override {
    auto next = sections.empty() ? nullptr : std::make_unique<Listing>(sections);
    listing_ = std::move(next);
  }

private:
  std::unique_ptr<Listing> listing_;
};

} // namespace

// ---- BrokenRanges ----

namespace {

// The window's range is registered with one record that ends every walk. Searches read the sorted vector, which we exchange.
class SortedFrames final : public WindowFrames {
public:
  explicit SortedFrames(Range window) : window_(window), section_(window) {
    __register_frame_info(&section_, &object_);
    sort();
  }
  ~SortedFrames() override {
    if (original_)
      exchange(original_);
    __deregister_frame_info(&section_);
  }

  void publish(ArrayRef<const void *> sections) override {
    if (!original_ && !sort())
      return; // no memory: nothing of this window is found
    std::vector<FrameRecord> records;
    for (const void *section : sections)
      everyRecord(section, [&](const FrameRecord &record) {
        if (record.code.overlaps(window_))
          records.push_back(record);
      });
    llvm::sort(records, [](const FrameRecord &a, const FrameRecord &b) { return a.code.base < b.code.base; });
    auto next = std::make_shared<std::vector<std::uint64_t>>(
        std::initializer_list<std::uint64_t>{Address::of(&section_).value(), records.size()});
    for (const FrameRecord &record : records)
      next->push_back(Address::of(record.at).value());
    exchange(next->data());
    retireFrames(std::exchange(now_, std::move(next)));
  }

private:
  bool sort() {
    isFound(window_.base);
    original_ = const_cast<std::uint64_t *>(sortedRecords(object_));
    if (original_)
      object_[stateWord] |= isMixed; // records say themselves how their addresses are written
    return original_ != nullptr;
  }
  void exchange(std::uint64_t *records) {
    __atomic_store_n(&object_[sortedWord], Address::of(records).value(), __ATOMIC_RELEASE);
  }

  Range window_;
  OneRecordSection section_;
  FrameObject object_{};
  std::uint64_t *original_ = nullptr; // libgcc's: it frees that
  std::shared_ptr<std::vector<std::uint64_t>> now_;
};

} // namespace

std::unique_ptr<WindowFrames> WindowFrames::make(FrameLookup lookup, Range window) {
  if (lookup == FrameLookup::BrokenRanges)
    return std::make_unique<SortedFrames>(window);
  return std::make_unique<ListedFrames>();
}

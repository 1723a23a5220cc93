// Which words of shared memory two threads touch with no barrier between, at least one of them writing and not both by atomics: what
// `compute-sanitizer --tool racecheck` looks for on a GPU. A compiler calls the functions below before each access to memory where it is given
// -fsanitize=thread; ThreadSanitizer itself, which has other names for threads, is not linked. Lanes of a warp are in order where they have
// exchanged values since. Copies touch memory when they arrive: with the emulation in both orders that is as late, and as early, as may be.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

const uint32_t NOBODY = 0xffffffff, SEVERAL = 0xfffffffe;

// Who touched a word since the last barrier, and when within the warp.
struct Touch {
  uint32_t thread = NOBODY, meeting = 0;
};

struct Word {
  uint32_t interval = 0;
  Touch read, write, atomic;
};

const char* start = nullptr;
size_t bytes = 0;
uint32_t thread = 0, interval = 0;
bool atomic = false;
std::vector<Word>& words = *new std::vector<Word>;
std::vector<uint32_t>& meetings = *new std::vector<uint32_t>(64);
char found[256] = "";

uint32_t now() { return meetings[thread / 32]; }

// Whether somebody else may touch the word at the same time.
bool clashes(const Touch& touch) {
  if (touch.thread == NOBODY || touch.thread == thread) return false;
  bool in_order = touch.thread != SEVERAL && touch.thread / 32 == thread / 32 && touch.meeting != now();
  return !in_order;
}

void put(Touch& touch) {
  bool alone = touch.thread == NOBODY || touch.thread == thread || (touch.thread != SEVERAL && !clashes(touch));
  touch = {alone ? thread : SEVERAL, now()};
}

void touch(const void* at, size_t size, bool writes) {
  const char* address = static_cast<const char*>(at);
  if (address + size <= start || address >= start + bytes) return;
  for (size_t word = (address - start) / 4; word <= (address - start + size - 1) / 4 && word < words.size(); word++) {
    Word& w = words[word];
    if (w.interval != interval) w = Word{interval, {}, {}, {}};
    bool clash = clashes(w.write) || (!atomic && clashes(w.atomic)) || ((writes || atomic) && clashes(w.read));
    if (clash && !found[0])
      std::snprintf(found, sizeof found, "thread %u and another touch byte %zu of shared memory between two barriers", thread, word * 4);
    put(atomic ? w.atomic : writes ? w.write : w.read);
  }
}

}  // namespace

extern "C" {

void races_begin(const void* at, size_t size) {
  start = static_cast<const char*>(at);
  bytes = size;
  words.assign((size + 3) / 4, Word{});
  interval = 1;
}
void races_thread(uint32_t one) { thread = one; }
void races_barrier() { interval++; }
void races_meet(uint32_t warp) { meetings[warp]++; }
void races_atomic(bool on) { atomic = on; }

// What was found in the launches since the last call; empty: nothing.
void races_take(char* text) {
  std::memcpy(text, found, sizeof found);
  found[0] = 0;
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
#define ACCESS(size)                                                           \
  void __tsan_read##size(void* at) { touch(at, size, false); }                 \
  void __tsan_write##size(void* at) { touch(at, size, true); }                 \
  void __tsan_unaligned_read##size(void* at) { touch(at, size, false); }       \
  void __tsan_unaligned_write##size(void* at) { touch(at, size, true); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void* at, size_t size) { touch(at, size, false); }
void __tsan_write_range(void* at, size_t size) { touch(at, size, true); }
void* __tsan_memcpy(void* to, const void* from, size_t size) {
  touch(from, size, false);
  touch(to, size, true);
  return std::memcpy(to, from, size);
}

}  // extern "C"

// Runs the kernels on a processor without a GPU, to test what they compute: indices, fragments, barriers and bounds. A stand-in for the
// language's intrinsics and for `warp.cuh`; slow, and blind to what only hardware does (memory order, speed, what a driver compiles).
//
// Threads of a block are coroutines, which pause at barriers and wherever lanes exchange values. A warp goes as far
// as it can before the next one starts, from the first to the last, and copies arrive as late as they may; or, `reversed`, from the last
// to the first, and copies arrive at once. Where an answer depends on that, a barrier or a wait is missing. Lanes that wait for lanes that never come end the process.
// What no order of whole threads shows, two threads that touch the same word of shared memory with no barrier between, is found where this
// is compiled with EMULATE_RACES, beside emulate_races.cpp.
//
// Tensor cores are the worst that was measured (V100, see kmeans_assign.cu): 4 products at a time, aligned to the largest exponent, cut off 23 bits
// after its point.
#pragma once

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>
#include <vector>

typedef unsigned short f16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define KERNEL(threads, blocks_min) extern "C" void
#define SHARED_MEMORY(name) unsigned char* name = emulate::shared.data()
#define __device__
#define __forceinline__ inline

struct Place {
  u32 x;
};

namespace emulate {

const int LANES = 32;

struct Thread {
  ucontext_t context;  // to start; from then on jumps are much cheaper, as they make no system call
  jmp_buf at;
  std::vector<char> stack;
  bool started, done, paused;
  std::vector<std::vector<std::pair<void*, const void*>>> copies;  // groups, the last of them open
};

// Static, as a process may hold two emulations, a driver's and a test's. Never destroyed, as it may end while a kernel runs.
static auto& threads = *new std::vector<Thread>;
static auto& shared = *new std::vector<unsigned char>;
static auto& slots = *new std::vector<u64>;  // what lanes show each other: 16 words each
static auto& arrived = *new std::vector<u32>;
static ucontext_t origin;
static jmp_buf scheduler;
static u32 current, waiting;
static bool reversed;
static void (*body)(void*);
static void* closure;
static const char* skipped_file = "";
static int skipped_line;

#ifdef EMULATE_RACES
extern "C" {
// Shared memory is here, and a block begins.
void races_begin(const void* start, size_t bytes);
// This thread goes on.
void races_thread(u32 thread);
// All threads of the block have met; these lanes have.
void races_barrier();
void races_meet(u32 warp);
// What follows is atomic, or is not.
void races_atomic(bool atomic);
}
#else
inline void races_begin(const void*, size_t) {}
inline void races_thread(u32) {}
inline void races_barrier() {}
inline void races_meet(u32) {}
inline void races_atomic(bool) {}
#endif

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulation: %s\n", what);
  std::abort();
}

}  // namespace emulate

static Place threadIdx, blockIdx, blockDim, gridDim;

namespace emulate {

inline void pause() {
  threads[current].paused = true;
  if (_setjmp(threads[current].at) == 0) _longjmp(scheduler, 1);
}

inline void resume() {
  if (_setjmp(scheduler) != 0) return;
  if (threads[current].started) _longjmp(threads[current].at, 1);
  threads[current].started = true;
  swapcontext(&origin, &threads[current].context);
}

// Until all lanes of the mask are here.
inline void meet(u32 mask) {
  u32 mine = current, warp = mine / LANES;
  if (!(mask >> mine % LANES & 1)) fail("a lane that is not in its own mask");
  arrived[warp] |= 1u << mine % LANES;
  if ((arrived[warp] & mask) != mask) return pause();
  arrived[warp] &= ~mask;
  races_meet(warp);
  for (u32 lane = 0; lane < LANES; lane++)
    if (mask >> lane & 1) threads[warp * LANES + lane].paused = false;
}

inline u64* slot(u32 lane) { return &slots[(current / LANES * LANES + lane) * 16]; }

template <class T>
T exchange(u32 mask, T value, u32 from) {
  std::memcpy(slot(current % LANES), &value, sizeof value);
  meet(mask);
  if (!(mask >> from & 1)) fail("a value from a lane that is not in the mask");
  std::memcpy(&value, slot(from), sizeof value);
  meet(mask);
  return value;
}

inline void enter() {
  body(closure);
  threads[current].done = true;
  _longjmp(scheduler, 1);
}

// All threads of the block. One of them may be left out, to see whether that is noticed.
inline void barrier(const char* file, int line) {
  if (skipped_line == line && std::strstr(file, skipped_file)) return;
  waiting++;
  pause();
}

// Resumes each lane that can go on; whether there was one.
inline bool run_warp(u32 warp) {
  bool progress = false;
  for (u32 at = 0; at < LANES; at++) {
    current = warp * LANES + (reversed ? LANES - 1 - at : at);
    if (current >= threads.size() || threads[current].done || threads[current].paused) continue;
    threadIdx.x = current;
    races_thread(current);
    resume();
    progress = true;
  }
  return progress;
}

inline void run_block(u32 size) {
  threads.resize(size);
  slots.assign(size * 16, 0);
  arrived.assign((size + LANES - 1) / LANES, 0);
  waiting = 0;
  for (auto& thread : threads) {
    thread.stack.resize(64 << 10);
    thread.started = thread.done = thread.paused = false;
    thread.copies.assign(1, {});
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = thread.stack.size();
    makecontext(&thread.context, enter, 0);
  }
  for (bool progress = true; progress;) {
    progress = false;
    u32 live = 0, warps = (size + LANES - 1) / LANES;
    for (u32 warp = 0; warp < warps; warp++)
      while (run_warp(reversed ? warps - 1 - warp : warp)) progress = true;
    for (auto& thread : threads) live += !thread.done;
    if (live > 0 && waiting == live) {
      waiting = 0;
      races_barrier();
      for (auto& thread : threads) thread.paused = false;
      progress = true;
    }
    if (live > 0 && !progress) fail("threads wait for each other");
  }
}

template <class... A, size_t... I>
void run(void (*kernel)(A...), void** arguments, u32 grid, u32 block, u32 shared_bytes, std::index_sequence<I...>) {
  auto call = [&] { kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...); };
  closure = &call;
  body = [](void* call_) { (*static_cast<decltype(call)*>(call_))(); };
  gridDim.x = grid;
  blockDim.x = block;
  for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++) {
    shared.assign(shared_bytes, 0xab);
    races_begin(shared.data(), shared_bytes);
    run_block(block);
  }
  closure = nullptr;
}

template <class... A>
void launch(void (*kernel)(A...), void** arguments, u32 grid, u32 block, u32 shared_bytes) {
  run(kernel, arguments, grid, block, shared_bytes, std::index_sequence_for<A...>());
}

// 2^exponent of a normal number.
inline double power_of_two(int exponent) {
  u64 bits = static_cast<u64>(exponent + 1023) << 52;
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline double f64_of_f16(f16 bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double size = exponent == 31 ? (fraction ? NAN : INFINITY)
              : exponent == 0  ? fraction * power_of_two(-24) : (1024 + fraction) * power_of_two(exponent - 25);
  return bits >> 15 ? -size : size;
}

// The exponent of a product's factor as hardware sees it: that of the format where the number is subnormal.
inline int exponent_of(f16 bits) { return std::max((bits >> 10 & 31) - 15, -14); }

// sum + four products, cut off as described above.
inline float cut_sum(float sum, const f16* a, const f16* b) {
  double products[4];
  int largest = sum == 0.0f ? -1000 : std::ilogb(sum);
  for (int i = 0; i < 4; i++) {
    products[i] = f64_of_f16(a[i]) * f64_of_f16(b[i]);
    if (products[i] != 0.0) largest = std::max(largest, exponent_of(a[i]) + exponent_of(b[i]));
  }
  if (largest == -1000) return 0.0f;
  double unit = power_of_two(largest - 23), units = power_of_two(23 - largest);
  double total = std::trunc(sum * units);
  for (double product : products) total += std::trunc(product * units);
  double exact = total * unit;
  float result = static_cast<float>(exact);
  return std::fabs(result) > std::fabs(exact) ? std::nextafterf(result, 0.0f) : result;
}

}  // namespace emulate

#define __syncthreads() emulate::barrier(__FILE__, __LINE__)
template <class T>
T __shfl_sync(u32 mask, T value, int lane, int width) {
  u32 base = emulate::current % 32 / width * width;
  return emulate::exchange(mask, value, base + lane % width);
}
template <class T>
T __shfl_xor_sync(u32 mask, T value, int flip, int) {
  return emulate::exchange(mask, value, emulate::current % 32 ^ flip);
}
template <class T>
T __shfl_down_sync(u32 mask, T value, int delta, int width) {
  u32 lane = emulate::current % 32, from = lane % width + delta < static_cast<u32>(width) ? lane + delta : lane;
  return emulate::exchange(mask, value, from);
}

// Coroutines are not interrupted.
template <class T>
T atomicAdd(T* to, T value) {
  emulate::races_atomic(true);
  T before = *to;
  *to += value;
  emulate::races_atomic(false);
  return before;
}
template <class T>
T atomicMax(T* to, T value) {
  emulate::races_atomic(true);
  T before = *to;
  *to = std::max(before, value);
  emulate::races_atomic(false);
  return before;
}

// The compiler is told not to contract.
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline float __fsub_rd(float a, float b) {
  float nearest = a - b;
  return std::isfinite(nearest) && static_cast<double>(nearest) > static_cast<double>(a) - b ? std::nextafterf(nearest, -INFINITY) : nearest;
}
inline double __ull2double_rn(u64 value) { return static_cast<double>(value); }
inline i64 __double2ll_rn(double value) { return static_cast<i64>(std::nearbyint(value)); }
template <class To, class From>
To bits_as(From from) {
  To to;
  static_assert(sizeof to == sizeof from);
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline float __int_as_float(int bits) { return bits_as<float>(bits); }
inline int __float_as_int(float value) { return bits_as<int>(value); }
inline double __longlong_as_double(i64 bits) { return bits_as<double>(bits); }
using std::max;

inline float f32_of(f16 bits) { return static_cast<float>(emulate::f64_of_f16(bits)); }
inline f16 f16_of(float value) {
  float size = std::fabs(value);
  f16 sign = std::signbit(value) ? 0x8000 : 0;
  if (!(size < 65520.0f)) return sign | (size != size ? 0x7e00 : 0x7c00);
  if (size < 0x1p-14f) return sign | static_cast<f16>(std::nearbyint(std::ldexp(size, 24)));
  int exponent = std::ilogb(size);
  // A fraction that rounds up to 2048 carries into the exponent, as it should.
  return sign | static_cast<f16>((exponent + 14) * 1024 + static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent))));
}

inline void copy_async(void* to, const void* from) {
  if (reinterpret_cast<uintptr_t>(to) % 16 || reinterpret_cast<uintptr_t>(from) % 16) emulate::fail("a copy that is not aligned");
  if (emulate::reversed) std::memcpy(to, from, 16);
  else emulate::threads[emulate::current].copies.back().emplace_back(to, from);
}
inline void copy_commit() { emulate::threads[emulate::current].copies.emplace_back(); }
template <int pending>
void copy_wait() {
  auto& groups = emulate::threads[emulate::current].copies;
  while (groups.size() > pending + 1) {
    for (auto& copy : groups.front()) std::memcpy(copy.first, copy.second, 16);
    groups.erase(groups.begin());
  }
}
inline void load_matrices(u32 (&to)[4], const void* from) {
  u32 lane = emulate::current % 32;
  const u32* rows[4];
  *emulate::slot(lane) = reinterpret_cast<u64>(from);
  emulate::meet(0xffffffffu);
  for (u32 m = 0; m < 4; m++) rows[m] = reinterpret_cast<const u32*>(*emulate::slot(m * 8 + lane / 4));
  emulate::meet(0xffffffffu);
  for (u32 m = 0; m < 4; m++) to[m] = rows[m][lane % 4];
}
inline void multiply_add(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  u32 lane = emulate::current % 32, group = lane / 4;
  u32 mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  std::memcpy(emulate::slot(lane), mine, sizeof mine);
  emulate::meet(0xffffffffu);
  f16 row[2][16], column[2][16];
  for (u32 t = 0; t < 4; t++)
    for (u32 half = 0; half < 2; half++) {
      const u32* of = reinterpret_cast<const u32*>(emulate::slot(group * 4 + t));
      for (u32 r = 0; r < 2; r++) std::memcpy(&row[r][half * 8 + t * 2], &of[half * 2 + r], 4);
      for (u32 c = 0; c < 2; c++) {
        const u32* from = reinterpret_cast<const u32*>(emulate::slot((lane % 4 * 2 + c) * 4 + t));
        std::memcpy(&column[c][half * 8 + t * 2], &from[4 + half], 4);
      }
    }
  emulate::meet(0xffffffffu);
  for (u32 r = 0; r < 2; r++)
    for (u32 c = 0; c < 2; c++)
      for (u32 k = 0; k < 16; k += 4) d[r * 2 + c] = emulate::cut_sum(d[r * 2 + c], &row[r][k], &column[c][k]);
}

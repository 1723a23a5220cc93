// All kernels for a processor: compiled by the tests of lib/gpu into a library that they load. See emulate.h.
#include "emulate.h"

#include "kmeans_assign.cu"
#include "kmeans_seed.cu"
#include "kmeans_sums.cu"

// From now on the barrier in this line of this file is left out.
extern "C" void emulate_skip(const char* file, int line) {
  emulate::skipped_file = file;
  emulate::skipped_line = line;
}

// Whether there is such a kernel.
extern "C" bool emulate_launch(const char* name, u32 grid, u32 block, u32 shared_bytes, void** arguments, bool reversed) {
  emulate::reversed = reversed;
#define OFFER(kernel) \
  if (std::strcmp(name, #kernel) == 0) return emulate::launch(kernel, arguments, grid, block, shared_bytes), true;
  OFFER(kmeans_assign_naive_f64)
  OFFER(kmeans_rank_naive_f64)
  OFFER(kmeans_prepare_f16)
  OFFER(kmeans_propose_f16)
  OFFER(kmeans_decide_f64)
  OFFER(kmeans_probe_f16)
  OFFER(kmeans_seed_norms_f64)
  OFFER(kmeans_seed_nearer_f64)
  OFFER(kmeans_seed_masses_i128)
  OFFER(kmeans_sums_add_i64)
  return false;
}

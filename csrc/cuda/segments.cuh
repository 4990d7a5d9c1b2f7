// Assignment of points to threads: regions of a plan are shared out between warps, known from N, R and the plan alone.
//
// A short region (at most kShort points) is read by one group of lanes, in the order of its points. A long one is cut from
// its own beginning into chunks, one warp each, and a second kernel adds the chunks in their order. So a region's result
// depends on its own points and the number of channels, not on its neighbours and never on timing.
//
// The host does not know how many chunks there are, and asking would wait for the device. It starts N / kShort warps, one per
// slot: slot s belongs to the last region r with offsets[r] / kShort <= s, and is chunk s - offsets[r] / kShort of it if it
// has that many. The slots suffice: a region of n > kShort points has more than n / kShort - 1 of them, which is at least
// the number of its chunks, at most n / kChunk rounded up, as kChunk >= 4 * kShort.
#pragma once

#include <cstdint>

#include "cuda/elements.cuh"

namespace pc_ssl::cuda {

constexpr int kShort = 32;        // points that one group of lanes reads alone
constexpr int kChunk = 128;       // points of a chunk, at least
constexpr int kMaxChunks = 1024;  // of one region; beyond, chunks get longer, so that adding them up stays short

struct Plan {
  const int32_t* order;    // [N]
  const int64_t* offsets;  // [R + 1]
  int64_t num_points;
  int64_t num_regions;
};

struct Segment {
  int64_t region;
  int64_t begin;  // sorted points; begin == end: nothing to do
  int64_t end;
  bool whole;  // of its region
};

// A plan may be the caller's own: nothing of it is followed before it is known to stay inside the tensors.
__device__ inline void check_segment(const Plan& plan, int64_t begin, int64_t end) {
  assert(begin >= 0 && begin <= end && end <= plan.num_points && "the plan's offsets do not ascend from 0 to N");
}

__device__ inline int32_t row_of(const Plan& plan, int64_t k) {
  const int32_t row = __ldg(plan.order + k);
  assert(row >= 0 && row < plan.num_points && "the plan's order holds a row that is not one of 0 .. N - 1");
  return row;
}

__host__ __device__ inline int64_t chunk_slots(const Plan& plan) { return plan.num_points / kShort; }

__device__ inline int64_t chunk_length(int64_t points) {
  return kChunk * (1 + (points - 1) / (static_cast<int64_t>(kChunk) * kMaxChunks));
}

__device__ inline int64_t num_chunks(int64_t points) {
  const int64_t length = chunk_length(points);
  return (points + length - 1) / length;
}

// The last region r with offsets[r] < bound, where offsets[0] = 0 < bound. The whole warp calls it and probes 32 offsets at
// a time: four rounds for a million regions.
__device__ inline int64_t last_region_before(const Plan& plan, int64_t bound) {
  const int lane = threadIdx.x % kWarp;
  int64_t low = 0;  // offsets[low] < bound
  int64_t size = plan.num_regions;
  while (size > 1) {
    const int64_t step = (size + kWarp - 1) / kWarp;
    const int64_t probe = low + lane * step;
    const bool below = lane * step < size && __ldg(plan.offsets + probe) < bound;
    // lane 0 is below in a sound plan; in any other the search still has to stay inside
    const int last = max(__popc(__ballot_sync(kAllLanes, below)), 1) - 1;
    low += last * step;
    size = min(step, size - last * step);
  }
  return low;
}

__device__ inline Segment chunk_of_slot(const Plan& plan, int64_t slot) {
  const int64_t region = last_region_before(plan, (slot + 1) * kShort);
  const int64_t begin = plan.offsets[region];
  const int64_t points = plan.offsets[region + 1] - begin;
  check_segment(plan, begin, begin + points);
  const int64_t length = chunk_length(points);
  const int64_t chunk = slot - begin / kShort;
  assert(chunk >= 0 && "the plan's offsets do not begin with 0");
  if (points <= kShort || chunk * length >= points) return {region, 0, 0, false};
  return {region, begin + chunk * length, begin + min((chunk + 1) * length, points), points <= length};
}

}  // namespace pc_ssl::cuda

// Region pooling: points to regions and back. This header is the contract; the CPU and CUDA kernels both keep it.
//
// N points, C channels, R regions.
//   feature [N, C]   float32, float64, bfloat16 or float16; any strides.
//   region  [N]      int32 or int64; any stride. -1: the point belongs to no region. Any other id outside 0 .. R - 1 is an
//                    error that names the first such position and its value; no id is used before it is checked.
//   order   [N]      int32: the points sorted by region, ascending within a region; points of no region come last.
//   offsets [R + 1]  int64: region r holds the points order[offsets[r]:offsets[r + 1]].
//                    order and offsets come from region_plan, or from the caller: what is checked is said below.
//   counts  [R]      int64: points per region; the only test of emptiness.
//
// region_sum         pooled[r] = sum of feature[i] over region[i] == r, divided by counts[r] if mean. An empty region gives 0.
//                    Half types are added in float32 and rounded once.
// region_extremum    pooled[r, c] = largest or smallest of feature[i, c]; ties go to the lowest i; a NaN wins over every
//                    number, the first NaN over later ones. point[r, c] int32 is that i. An empty region gives 0 and -1.
//                    Without with_point, point is [0, C].
// region_gather      out[i] = region_feature[region[i]], divided by counts[region[i]] if counts are given; 0 for a point of
//                    no region. The adjoint of region_sum (of its mean with counts).
// region_extremum_grad  out[i, c] = grad[region[i], c] where point[region[i], c] == i, else 0. The adjoint of region_extremum.
//
// Differentiable: feature, region_feature and grad; counts and point are integers. region_sum and region_gather are each
// other's derivatives, so they differentiate any number of times.
// Deterministic: on the CPU every output element is added in the order of the points, in pieces of 4096 whose sums are added
// in turn, whatever the number of threads and with or without a plan, so results are equal to the last bit; on CUDA the
// grouping depends on the sizes alone.
// A plan is checked whenever it is used, so that it never leads outside the tensors: its sizes, that offsets ascend from 0 to
// at most N, that order holds rows 0 .. N - 1. The CPU also looks up the ids of the first and last point of every region, and
// so notices a plan of other ids; CUDA stops with a device assertion, without waiting. Which rows order repeats or leaves out
// is not checked here but in pc_ssl.ops.RegionPlan.
// Limits: N and R below 2^31; N * C and R * C only by memory.
#pragma once

#include <cstdint>

namespace pc_ssl {

constexpr int64_t kMaxRows = INT64_C(0x7fffffff);  // point and region numbers are kept as int32

// Neither -1 nor one of 0 .. R - 1. One comparison: -1 becomes 0, and what is below wraps to the largest numbers.
template <typename Id>
constexpr bool out_of_range(Id id, int64_t num_regions) {
  return static_cast<uint64_t>(static_cast<int64_t>(id)) + 1 > static_cast<uint64_t>(num_regions);
}

}  // namespace pc_ssl

// The kernels of region_pool.h's contract: pooling of a plan's regions, and the way back to the points.
//
// A row of channels is read by `lanes` adjacent threads (a power of two, at most a warp), V channels each, so that a warp
// reads whole rows or long pieces of one; blockIdx.y counts the pieces of rows that are wider. No atomics on floats: every
// output element and every partial result has one writer, and what it adds comes in a fixed order.
#pragma once

#include <cstdint>

#include "cuda/elements.cuh"
#include "cuda/segments.cuh"

namespace pc_ssl::cuda {

constexpr int kThreads = 256;
constexpr int kCombineWarps = 16;
constexpr int kRowsInFlight = 4;  // rows that a thread loads before it uses the first

template <typename T>
struct PoolArgs {
  const T* feature;
  int64_t stride;  // between rows, in elements
  Plan plan;
  int64_t channels;
  int lanes;
  bool mean;     // of Sum
  bool largest;  // of Extremum
  T* pooled;         // [R, C]
  int32_t* point;    // [R, C] or null
  Wide<T>* partial;  // [chunk_slots, C]
  int32_t* partial_point;
};

// ---- what is done to the rows: V channels of one thread ---------------------------------------------------------------------

template <typename T, int V>
struct Sum {
  Wide<T> value[V];

  __device__ static Sum none() { return {}; }

  __device__ void add(const PoolArgs<T>&, const Pack<T, V>& row, int32_t) {
#pragma unroll
    for (int v = 0; v < V; ++v) value[v] += widen(row.value[v]);
  }

  __device__ void merge(const PoolArgs<T>&, const Sum& other) {
#pragma unroll
    for (int v = 0; v < V; ++v) value[v] += other.value[v];
  }

  __device__ Sum of_lane_xor(int mask) const {
    Sum other;
#pragma unroll
    for (int v = 0; v < V; ++v) other.value[v] = __shfl_xor_sync(kAllLanes, value[v], mask);
    return other;
  }

  __device__ void store_pooled(const PoolArgs<T>& args, int64_t region, int64_t channel, int64_t points) const {
    const Wide<T> divisor = args.mean && points > 0 ? static_cast<Wide<T>>(points) : Wide<T>(1);
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v) narrow(value[v] / divisor, out.value[v]);
    store(args.pooled + region * args.channels + channel, out);
  }

  __device__ void store_partial(const PoolArgs<T>& args, int64_t slot, int64_t channel) const {
    Pack<Wide<T>, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v) out.value[v] = value[v];
    store(args.partial + slot * args.channels + channel, out);
  }

  __device__ static Sum load_partial(const PoolArgs<T>& args, int64_t slot, int64_t channel) {
    const Pack<Wide<T>, V> in = load_streaming<V>(args.partial + slot * args.channels + channel);
    Sum sum;
#pragma unroll
    for (int v = 0; v < V; ++v) sum.value[v] = in.value[v];
    return sum;
  }
};

// A point of -1 means none yet. A NaN wins over every number; ties, and a second NaN, go to the lower point.
template <typename T, int V>
struct Extremum {
  Wide<T> value[V];
  int32_t point[V];

  __device__ static Extremum none() {
    Extremum extremum = {};
#pragma unroll
    for (int v = 0; v < V; ++v) extremum.point[v] = -1;
    return extremum;
  }

  __device__ void take(bool largest, int v, Wide<T> x, int32_t at) {
    const bool was_nan = value[v] != value[v];
    const bool lower = at < point[v];
    const bool beyond = largest ? x > value[v] : x < value[v];
    const bool wins = x != x ? !was_nan || lower : !was_nan && (beyond || (x == value[v] && lower));
    if (at >= 0 && (point[v] < 0 || wins)) {
      value[v] = x;
      point[v] = at;
    }
  }

  __device__ void add(const PoolArgs<T>& args, const Pack<T, V>& row, int32_t at) {
#pragma unroll
    for (int v = 0; v < V; ++v) take(args.largest, v, widen(row.value[v]), at);
  }

  __device__ void merge(const PoolArgs<T>& args, const Extremum& other) {
#pragma unroll
    for (int v = 0; v < V; ++v) take(args.largest, v, other.value[v], other.point[v]);
  }

  __device__ Extremum of_lane_xor(int mask) const {
    Extremum other;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      other.value[v] = __shfl_xor_sync(kAllLanes, value[v], mask);
      other.point[v] = __shfl_xor_sync(kAllLanes, point[v], mask);
    }
    return other;
  }

  __device__ void store_pooled(const PoolArgs<T>& args, int64_t region, int64_t channel, int64_t) const {
    Pack<T, V> out;
    Pack<int32_t, V> out_point;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      narrow(value[v], out.value[v]);
      out_point.value[v] = point[v];
    }
    store(args.pooled + region * args.channels + channel, out);
    if (args.point) store(args.point + region * args.channels + channel, out_point);
  }

  __device__ void store_partial(const PoolArgs<T>& args, int64_t slot, int64_t channel) const {
    Pack<Wide<T>, V> out;
    Pack<int32_t, V> out_point;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      out.value[v] = value[v];
      out_point.value[v] = point[v];
    }
    store(args.partial + slot * args.channels + channel, out);
    store(args.partial_point + slot * args.channels + channel, out_point);
  }

  __device__ static Extremum load_partial(const PoolArgs<T>& args, int64_t slot, int64_t channel) {
    const Pack<Wide<T>, V> in = load_streaming<V>(args.partial + slot * args.channels + channel);
    const Pack<int32_t, V> in_point = load_streaming<V>(args.partial_point + slot * args.channels + channel);
    Extremum extremum;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      extremum.value[v] = in.value[v];
      extremum.point[v] = in_point.value[v];
    }
    return extremum;
  }
};

// ---- pooling ----------------------------------------------------------------------------------------------------------------

// The sorted points begin, begin + step, ... before end.
template <template <typename, int> class Reduction, typename T, int V>
__device__ Reduction<T, V> reduce_rows(const PoolArgs<T>& args, int64_t begin, int64_t end, int step, int64_t channel) {
  auto result = Reduction<T, V>::none();
  for (int64_t k = begin; k < end; k += kRowsInFlight * step) {
    int32_t row[kRowsInFlight];
    Pack<T, V> in[kRowsInFlight];
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u)
      if (k + u * step < end) row[u] = row_of(args.plan, k + u * step);
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u)
      if (k + u * step < end) in[u] = load_streaming<V>(args.feature + row[u] * args.stride + channel);
#pragma unroll
    for (int u = 0; u < kRowsInFlight; ++u)
      if (k + u * step < end) result.add(args, in[u], row[u]);
  }
  return result;
}

// Warps [0, chunk_slots) take the chunks of long regions, the warps after them kWarp / lanes short regions each.
template <template <typename, int> class Reduction, typename T, int V>
__global__ void __launch_bounds__(kThreads) pool_kernel(const PoolArgs<T> args) {
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  const int group = threadIdx.x % kWarp / args.lanes;
  const int groups = kWarp / args.lanes;
  const int64_t channel = (static_cast<int64_t>(blockIdx.y) * args.lanes + threadIdx.x % args.lanes) * V;
  const int64_t slots = chunk_slots(args.plan);
  if (warp >= slots) {
    const int64_t region = (warp - slots) * groups + group;
    if (region >= args.plan.num_regions || channel >= args.channels) return;
    const int64_t begin = args.plan.offsets[region];
    const int64_t end = args.plan.offsets[region + 1];
    check_segment(args.plan, begin, end);
    if (end - begin > kShort) return;
    reduce_rows<Reduction, T, V>(args, begin, end, 1, channel).store_pooled(args, region, channel, end - begin);
    return;
  }
  const Segment chunk = chunk_of_slot(args.plan, warp);
  if (chunk.begin == chunk.end) return;
  auto result = Reduction<T, V>::none();
  if (channel < args.channels)
    result = reduce_rows<Reduction, T, V>(args, chunk.begin + group, chunk.end, groups, channel);
  for (int mask = args.lanes; mask < kWarp; mask *= 2) result.merge(args, result.of_lane_xor(mask));
  if (group > 0 || channel >= args.channels) return;
  if (chunk.whole)
    result.store_pooled(args, chunk.region, channel, chunk.end - chunk.begin);
  else
    result.store_partial(args, warp, channel);
}

// Adds up the chunks of the regions that have several, one block each and kWarp channels at a time. Block b takes region b
// or, where there are fewer chunks than regions, the last region that begins at or before sorted points [b, b + 1) * kChunk:
// one that is longer than kChunk is the last of exactly one b.
template <template <typename, int> class Reduction, typename T>
__global__ void __launch_bounds__(kCombineWarps * kWarp) combine_kernel(const PoolArgs<T> args, bool block_per_region) {
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int64_t region = block_per_region ? blockIdx.x : last_region_before(args.plan, (blockIdx.x + int64_t(1)) * kChunk);
  const int64_t begin = args.plan.offsets[region];
  const int64_t points = args.plan.offsets[region + 1] - begin;
  check_segment(args.plan, begin, begin + points);
  const int64_t chunks = num_chunks(points);
  if (points <= kShort || chunks == 1 || (!block_per_region && begin / kChunk != blockIdx.x)) return;

  const int64_t channel = static_cast<int64_t>(blockIdx.y) * kWarp + lane;
  auto result = Reduction<T, 1>::none();
  if (channel < args.channels) {
#pragma unroll 4
    for (int64_t chunk = warp; chunk < chunks; chunk += kCombineWarps)
      result.merge(args, Reduction<T, 1>::load_partial(args, begin / kShort + chunk, channel));
  }
  __shared__ Reduction<T, 1> of_warp[kCombineWarps][kWarp];
  of_warp[warp][lane] = result;
  __syncthreads();
  if (warp > 0 || channel >= args.channels) return;
  for (int w = 1; w < kCombineWarps; ++w) result.merge(args, of_warp[w][lane]);
  result.store_pooled(args, region, channel, points);
}

// ---- regions to points ------------------------------------------------------------------------------------------------------

enum class Gather { kCopy, kDivide, kSelect };  // kDivide: by counts; kSelect: only where `point` names this very point

template <typename T>
struct GatherArgs {
  const T* table;  // [R, C]
  Ids ids;
  int64_t num_regions;
  int64_t channels;
  int lanes;
  const int64_t* counts;  // [R], of kDivide
  const int32_t* point;   // [R, C], of kSelect
  T* out;                 // [N, C]
};

// What one point gets. Copy and select move bits, so there T is an unsigned integer of the element's size.
template <Gather kind, typename T, int V>
struct Gathered {
  Pack<T, V> value;
  int64_t count;  // of kDivide

  __device__ void load(const GatherArgs<T>& args, int64_t i, int32_t id, int64_t channel) {
    const int64_t at = id * args.channels + channel;
    value = load_cached<V>(args.table + at);
    if constexpr (kind == Gather::kDivide) count = __ldg(args.counts + id);
    if constexpr (kind == Gather::kSelect) {
      const Pack<int32_t, V> point = load_cached<V>(args.point + at);
#pragma unroll
      for (int v = 0; v < V; ++v) value.value[v] = point.value[v] == i ? value.value[v] : T{};
    }
  }

  __device__ void divide() {
    const auto divisor = static_cast<Wide<T>>(max(count, int64_t(1)));
#pragma unroll
    for (int v = 0; v < V; ++v) narrow(widen(value.value[v]) / divisor, value.value[v]);
  }
};

template <Gather kind, typename T, int V>
__global__ void __launch_bounds__(kThreads) gather_kernel(const GatherArgs<T> args) {
  const int rows = kThreads / args.lanes;  // of a block at a time
  const int64_t channel = (static_cast<int64_t>(blockIdx.y) * args.lanes + threadIdx.x % args.lanes) * V;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * rows * kRowsInFlight + threadIdx.x / args.lanes;
  if (channel >= args.channels) return;
  int32_t id[kRowsInFlight];
  Gathered<kind, T, V> got[kRowsInFlight];
#pragma unroll
  for (int u = 0; u < kRowsInFlight; ++u) {
    const int64_t i = first + u * rows;
    const int64_t wide_id = i < args.ids.size ? args.ids.at(i) : -1;
    assert(wide_id >= -1 && wide_id < args.num_regions && "region id out of range: the plan is of other ids");
    id[u] = wide_id < 0 ? -1 : static_cast<int32_t>(wide_id);
  }
#pragma unroll
  for (int u = 0; u < kRowsInFlight; ++u) {
    got[u] = {};
    if (id[u] >= 0) got[u].load(args, first + u * rows, id[u], channel);
  }
#pragma unroll
  for (int u = 0; u < kRowsInFlight; ++u) {
    const int64_t i = first + u * rows;
    if (i >= args.ids.size) return;
    if constexpr (kind == Gather::kDivide) got[u].divide();
    store_streaming(args.out + i * args.channels + channel, got[u].value);
  }
}

}  // namespace pc_ssl::cuda

// A plan on the device: a stable radix sort of the points by region, least significant digit first. Stable, so the result is
// the only right one whatever runs first; the integer atomics below only count and take minima.
//
// Each pass counts the digits of every tile, turns the counts into places, and moves keys and points there. A tile is first
// sorted in shared memory, so that what goes to one digit's place is written in runs.
#pragma once

#include <cstdint>

#include "cuda/elements.cuh"

namespace pc_ssl::cuda {

constexpr int kMaxDigitBits = 8;
constexpr int kMaxBins = 1 << kMaxDigitBits;
constexpr int kPlanThreads = 256;  // at least kMaxBins: one thread per bin
constexpr int kPlanWarps = kPlanThreads / kWarp;
constexpr int kItems = 8;  // of a thread
constexpr int kTile = kPlanThreads * kItems;
constexpr int kNoDigit = kMaxBins;  // of the places behind the last point

// One pass. The first pass makes the keys of `ids` (the number of regions encodes none), later ones read keys_in.
struct SortPass {
  Ids ids;
  const int32_t* keys_in;   // null in the first pass
  const int32_t* order_in;  // null in the first pass, where point i is at i
  int32_t* keys_out;
  int32_t* order_out;
  int64_t size;
  int32_t num_regions;
  int shift;  // of the digit
  int bits;
  int32_t* place;       // [bins, tiles]: points of the tile with that digit, then of the digit in the tiles before
  int32_t* bin_total;   // [bins]
  unsigned* first_bad;  // position of the first id out of range; starts as the largest unsigned

  __host__ __device__ int64_t tiles() const { return (size + kTile - 1) / kTile; }
  __host__ __device__ int bins() const { return 1 << bits; }
  __device__ int digit(int32_t key) const { return static_cast<unsigned>(key) >> shift & (bins() - 1); }

  __device__ int32_t key(int64_t i) const {
    if (keys_in) return keys_in[i];
    const int64_t id = ids.at(i);
    return id < 0 || id >= num_regions ? num_regions : static_cast<int32_t>(id);
  }
};

// Sum of `value` over the threads before this one; `total` over all. The whole block calls it.
__device__ inline int32_t exclusive_scan(int32_t value, int32_t& total) {
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  int32_t inclusive = value;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const int32_t before = __shfl_up_sync(kAllLanes, inclusive, distance);
    if (lane >= distance) inclusive += before;
  }
  __shared__ int32_t of_warp[kPlanWarps];
  __syncthreads();  // the last call's readers are done
  if (lane == kWarp - 1) of_warp[warp] = inclusive;
  __syncthreads();
  int32_t begin = 0;
  total = 0;
#pragma unroll
  for (int w = 0; w < kPlanWarps; ++w) {
    if (w == warp) begin = total;
    total += of_warp[w];
  }
  return begin + inclusive - value;
}

__global__ void __launch_bounds__(kPlanThreads) count_kernel(const SortPass pass) {
  __shared__ int32_t count[kMaxBins];
  count[threadIdx.x] = 0;
  __syncthreads();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.x;
#pragma unroll
  for (int item = 0; item < kItems; ++item) {
    const int64_t i = first + item * kPlanThreads;
    if (i >= pass.size) break;
    if (!pass.keys_in && pass.ids.out_of_range(i, pass.num_regions)) atomicMin(pass.first_bad, static_cast<unsigned>(i));
    atomicAdd(&count[pass.digit(pass.key(i))], 1);
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) < pass.bins()) pass.place[threadIdx.x * pass.tiles() + blockIdx.x] = count[threadIdx.x];
}

// Block b: the places of digit b, from the counts of its tiles.
__global__ void __launch_bounds__(kPlanThreads) scan_kernel(const SortPass pass) {
  int32_t* place = pass.place + blockIdx.x * pass.tiles();
  int32_t before = 0;
  for (int64_t begin = 0; begin < pass.tiles(); begin += kPlanThreads) {
    const int64_t tile = begin + threadIdx.x;
    int32_t total;
    const int32_t here = exclusive_scan(tile < pass.tiles() ? place[tile] : 0, total);
    if (tile < pass.tiles()) place[tile] = before + here;
    before += total;
  }
  if (threadIdx.x == 0) pass.bin_total[blockIdx.x] = before;
}

// A warp holds kItems * kWarp points that follow each other, one of every lane at a time. Returns how many before mine have
// my digit, of those that this warp has seen; `seen` [kMaxBins + 1] is the warp's own.
__device__ inline int32_t rank_in_warp(int digit, int32_t* seen) {
  const unsigned peers = __match_any_sync(kAllLanes, digit);
  const int before = __popc(peers & ((1u << threadIdx.x % kWarp) - 1));
  const int32_t base = seen[digit];
  __syncwarp();
  if (before == 0) seen[digit] = base + __popc(peers);
  __syncwarp();
  return base + before;
}

__global__ void __launch_bounds__(kPlanThreads) move_kernel(const SortPass pass) {
  __shared__ int32_t begin_of[kPlanWarps][kMaxBins + 1];  // points of that digit in the warp, then where they begin
  __shared__ int32_t shift_of[kMaxBins];                  // from a place in the sorted tile to one in the output
  __shared__ int32_t sorted_key[kTile];
  __shared__ int32_t sorted_point[kTile];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile + warp * (kItems * kWarp) + lane;
  for (int bin = lane; bin <= kMaxBins; bin += kWarp) begin_of[warp][bin] = 0;
  __syncwarp();

  int32_t key[kItems];
  int32_t rank[kItems];
#pragma unroll
  for (int item = 0; item < kItems; ++item) {
    const int64_t i = first + item * kWarp;
    key[item] = i < pass.size ? pass.key(i) : 0;
    rank[item] = rank_in_warp(i < pass.size ? pass.digit(key[item]) : kNoDigit, begin_of[warp]);
  }
  __syncthreads();

  const int bin = threadIdx.x;
  int32_t in_tile = 0;
#pragma unroll
  for (int w = 0; w < kPlanWarps; ++w) {
    const int32_t count = begin_of[w][bin];
    begin_of[w][bin] = in_tile;
    in_tile += count;
  }
  int32_t ignored;
  const int32_t tile_begin = exclusive_scan(in_tile, ignored);
  const int32_t output_begin = exclusive_scan(bin < pass.bins() ? pass.bin_total[bin] : 0, ignored);
#pragma unroll
  for (int w = 0; w < kPlanWarps; ++w) begin_of[w][bin] += tile_begin;
  if (bin < pass.bins()) shift_of[bin] = output_begin + pass.place[bin * pass.tiles() + blockIdx.x] - tile_begin;
  __syncthreads();

#pragma unroll
  for (int item = 0; item < kItems; ++item) {
    const int64_t i = first + item * kWarp;
    if (i >= pass.size) break;
    const int32_t to = begin_of[warp][pass.digit(key[item])] + rank[item];
    sorted_key[to] = key[item];
    sorted_point[to] = pass.order_in ? pass.order_in[i] : static_cast<int32_t>(i);
  }
  __syncthreads();

  const int64_t left = pass.size - static_cast<int64_t>(blockIdx.x) * kTile;
  for (int from = threadIdx.x; from < kTile && from < left; from += kPlanThreads) {
    const int32_t to = shift_of[pass.digit(sorted_key[from])] + from;
    pass.keys_out[to] = sorted_key[from];
    pass.order_out[to] = sorted_point[from];
  }
}

// offsets[r] = number of points with a key below r: a search in the sorted keys by each region.
__global__ void __launch_bounds__(kPlanThreads)
    offsets_kernel(const int32_t* keys, int64_t size, int64_t num_regions, int64_t* offsets) {
  const int64_t region = static_cast<int64_t>(blockIdx.x) * kPlanThreads + threadIdx.x;
  if (region > num_regions) return;
  int64_t low = 0;
  int64_t high = size;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (__ldg(keys + middle) < region)
      low = middle + 1;
    else
      high = middle;
  }
  offsets[region] = low;
}

}  // namespace pc_ssl::cuda

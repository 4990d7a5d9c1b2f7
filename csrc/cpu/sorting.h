// Points sorted by region: a counting sort, stable, the same for any number of threads. No torch types.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "region_pool.h"

namespace pc_ssl::cpu {

// Threads as the caller has them: run(n, task) calls task(0) ... task(n - 1), each once, in any order or at the same time.
struct Threads {
  int64_t count;
  std::function<void(int64_t n, const std::function<void(int64_t)>& task)> run;
};

// Part `index` of `parts` of [0, size).
inline int64_t part_begin(int64_t size, int64_t parts, int64_t index) { return size / parts * index + std::min(size % parts, index); }

// Ids that ascend already, as of a cloud stored region by region: fills offsets [R + 1] and returns the number of ids -1,
// which then come first; or returns -1 where they do not ascend or one is out of range. Offsets are written up to an id only
// after that id is checked: it says how far they are written.
template <typename Id>
int64_t offsets_of_ascending(const Id* region, int64_t size, int64_t num_regions, int64_t* offsets) {
  if (size > 0 && out_of_range(region[size - 1], num_regions)) return -1;  // saves most bad clouds the pass below
  int64_t outside = 0;
  while (outside < size && region[outside] == -1) ++outside;
  int64_t next = 0;  // the region whose begin is to be written next
  for (int64_t i = outside; i < size; ++i) {
    const int64_t r = region[i];
    if (r < next - 1 || out_of_range(r, num_regions)) return -1;
    for (; next <= r; ++next) offsets[next] = i - outside;
  }
  for (; next <= num_regions; ++next) offsets[next] = size - outside;
  return outside;
}

// Fills order [N] (points of no region last) and offsets [R + 1]. Returns -1, or the first position whose id is out of range;
// then order and offsets mean nothing.
template <typename Id>
int64_t sort_by_region(const Id* region, int64_t size, int64_t num_regions, int32_t* order, int64_t* offsets,
                       const Threads& threads) {
  const int64_t buckets = num_regions + 1;  // the last one: no region
  // A thread's share of the ids must outweigh its own row of counters.
  const int64_t parts = std::clamp<int64_t>(size / std::max<int64_t>(2 * buckets, 16384), 1, threads.count);
  std::vector<int32_t> next(parts * buckets);
  std::vector<int64_t> bad(parts, -1);
  const auto bucket_of = [num_regions](Id id) { return id < 0 ? num_regions : static_cast<int64_t>(id); };

  threads.run(parts, [&](int64_t part) {
    int32_t* count = next.data() + part * buckets;
    const int64_t end = part_begin(size, parts, part + 1);
    for (int64_t i = part_begin(size, parts, part); i < end; ++i) {
      if (out_of_range(region[i], num_regions)) {
        bad[part] = i;
        return;
      }
      ++count[bucket_of(region[i])];
    }
  });
  for (const int64_t position : bad)
    if (position >= 0) return position;

  int64_t begin = 0;
  for (int64_t b = 0; b < buckets; ++b) {
    offsets[b] = begin;
    for (int64_t part = 0; part < parts; ++part) {
      int32_t& cursor = next[part * buckets + b];
      const int32_t count = cursor;
      cursor = static_cast<int32_t>(begin);
      begin += count;
    }
  }

  threads.run(parts, [&](int64_t part) {
    int32_t* cursor = next.data() + part * buckets;
    const int64_t end = part_begin(size, parts, part + 1);
    for (int64_t i = part_begin(size, parts, part); i < end; ++i)
      order[cursor[bucket_of(region[i])]++] = static_cast<int32_t>(i);
  });
  return -1;
}

}  // namespace pc_ssl::cpu

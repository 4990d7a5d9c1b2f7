// Work distribution: sharing a pooling or a gather out between threads. No torch types.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/loops.h"
#include "cpu/sorting.h"

namespace pc_ssl::cpu {

enum class Reduction { kSum, kMean, kMax, kMin };

template <typename T>
struct Pooling {
  SortedRows<T> rows;
  const int64_t* offsets;  // [R + 1]
  int64_t num_regions;
  int64_t channels;
  Reduction reduction;
  T* pooled;       // [R, C]
  int32_t* point;  // [R, C] or null
};

inline std::vector<Piece> pieces_of_long_regions(const int64_t* offsets, int64_t num_regions) {
  std::vector<Piece> pieces;
  for (int64_t r = 0; r < num_regions; ++r)
    if (offsets[r + 1] - offsets[r] > kPiece)
      for (int64_t k = offsets[r]; k < offsets[r + 1]; k += kPiece)
        pieces.push_back({r, k, std::min(k + kPiece, offsets[r + 1])});
  return pieces;
}

// Cuts [0, R) where `parts` threads have about the same rows to read and write; a long region's rows are read before.
inline std::vector<int64_t> equal_shares(const int64_t* offsets, int64_t num_regions, int64_t parts) {
  if (parts == 1) return {0, num_regions};
  std::vector<int64_t> work(num_regions + 1, 0);
  for (int64_t r = 0; r < num_regions; ++r) {
    const int64_t count = offsets[r + 1] - offsets[r];
    work[r + 1] = work[r] + 1 + (count > kPiece ? count / kPiece : count);
  }
  std::vector<int64_t> cut(parts + 1, 0);
  for (int64_t part = 1; part <= parts; ++part)
    cut[part] = std::lower_bound(work.begin(), work.end(), part_begin(work.back(), parts, part)) - work.begin();
  return cut;
}

// A result too large to stay in the caches is written past them, which spares reading its lines before. Bytes.
constexpr int64_t kStreamed = INT64_C(16) << 20;

inline bool worth_streaming(const void* out, int64_t rows, int64_t row_bytes) {
  return rows * row_bytes >= kStreamed && row_bytes % 64 == 0 && reinterpret_cast<uintptr_t>(out) % 64 == 0;
}

template <typename T>
void pool(const Loops& all, const Pooling<T>& todo, const Threads& threads) {
  const PoolLoops<T>& loops = all.pool<T>();
  const std::vector<Piece> piece = pieces_of_long_regions(todo.offsets, todo.num_regions);
  std::vector<Wide<T>> partial(piece.size() * todo.channels);
  std::vector<int32_t> partial_point(todo.point ? partial.size() : 0);
  const PoolJob<T> job{todo.rows,     todo.offsets, todo.channels, todo.reduction == Reduction::kMean,
                       todo.pooled,   todo.point,   piece.data(),  static_cast<int64_t>(piece.size()),
                       partial.data(), partial_point.data(),
                       worth_streaming(todo.pooled, todo.num_regions, todo.channels * sizeof(T))};
  const bool extremum = todo.reduction == Reduction::kMax || todo.reduction == Reduction::kMin;
  const int smallest = todo.reduction == Reduction::kMin;
  const auto pieces = extremum ? loops.extremum_pieces[smallest] : loops.sum_pieces;
  const auto regions = extremum ? loops.extremum_regions[smallest] : loops.sum_regions;
  threads.run(job.num_pieces, [&](int64_t p) { pieces(job, p, p + 1); });
  const std::vector<int64_t> cut = equal_shares(todo.offsets, todo.num_regions, threads.count);
  threads.run(threads.count, [&](int64_t part) { regions(job, cut[part], cut[part + 1]); });
}

// Runs rows(begin, end) over [0, size) in shares and returns the first position that any of them reports, or -1.
template <typename Rows>
int64_t first_reported(int64_t size, const Threads& threads, Rows rows) {
  std::vector<int64_t> bad(threads.count, -1);
  threads.run(threads.count, [&](int64_t part) {
    bad[part] = rows(part_begin(size, threads.count, part), part_begin(size, threads.count, part + 1));
  });
  for (const int64_t position : bad)
    if (position >= 0) return position;
  return -1;
}

}  // namespace pc_ssl::cpu

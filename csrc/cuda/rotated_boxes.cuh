// The kernels of rotated_boxes.h's contract: the overlap of every pair, and the greedy choice among boxes that come best first.
//
// The choice goes through the boxes in panels of kPanel. For each, mask_kernel finds which boxes each box of the panel would
// drop from those behind it in the panel, a bit each; choose_kernel, one block, walks through the panel 64 boxes at a time and
// keeps those that no kept one drops; drop_kernel strikes out what these drop behind the panel. So overlaps are computed
// within a panel, and beyond it for kept boxes alone; the host receives nothing and does not wait; and the bits take 2 MB
// for any number of boxes. Every bit has one writer; no atomics are used.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/elements.cuh"
#include "rotated_overlap.h"

namespace pc_ssl::cuda {

constexpr int kBoxThreads = 256;
constexpr int kBoxWarps = kBoxThreads / kWarp;
constexpr int kBoxRows = 8;        // of a warp's tile: it holds its columns and goes through kBoxRows rows
constexpr int kWordBits = 64;
constexpr int kPanelWords = 64;
constexpr int kPanel = kPanelWords * kWordBits;
constexpr int kChooseParts = 8;    // threads that share what is struck out of one word
constexpr int kChooseThreads = kChooseParts * kPanelWords;

// ---- boxes ------------------------------------------------------------------------------------------------------------------

// Boxes as rotated_overlap.h has them, one field after the other.
template <typename T>
struct BoxTable {
  T* data;  // [kBoxFields, size]
  int64_t size;

  __device__ Box<T> at(int64_t i) const {
    const T* p = data + i;
    return {__ldg(p),
            __ldg(p + size),
            __ldg(p + 2 * size),
            __ldg(p + 3 * size),
            __ldg(p + 4 * size),
            __ldg(p + 5 * size),
            __ldg(p + 6 * size),
            __ldg(p + 7 * size),
            __ldg(p + 8 * size),
            __ldg(p + 9 * size)};
  }
};

// In half turns and in double, once for each box: sincos itself needs a stack for the reduction of large angles. The yaw over
// pi is kept to twice the digits while whole turns are taken off, so that turned boxes far from 0 lose nothing.
template <typename T>
__device__ inline void sine_and_cosine(T yaw, T& sine, T& cosine) {
  constexpr double kPerPi = 0.31830988618379067, kPerPiRest = -1.9678676675182486e-17;
  const double angle = yaw, half_turns = angle * kPerPi;
  const double rest = fma(angle, kPerPi, -half_turns) + angle * kPerPiRest;
  double s, c;
  sincospi(half_turns - 2 * rint(half_turns / 2) + rest, &s, &c);
  sine = static_cast<T>(s);
  cosine = static_cast<T>(c);
}

template <typename T>
__global__ void __launch_bounds__(kBoxThreads)
    box_kernel(const T* rows, int64_t stride, bool in_3d, const BoxTable<T> table) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kBoxThreads + threadIdx.x;
  if (i >= table.size) return;
  const T* row = rows + i * stride;
  Box<T> box = box_of_row(row, in_3d);
  sine_and_cosine(row[6], box.sin, box.cos);
  box.radius = std::sqrt(box.radius);
  const T field[kBoxFields] = {box.x,   box.y,      box.half_l,  box.half_w, box.cos,
                               box.sin, box.radius, box.measure, box.low,    box.high};
#pragma unroll
  for (int f = 0; f < kBoxFields; ++f) table.data[f * table.size + i] = field[f];
}

// A warp: kBoxRows rows of `out` [N, M], a column each lane.
template <typename T>
__global__ void __launch_bounds__(kBoxThreads) iou_kernel(const BoxTable<T> a, const BoxTable<T> b, T* out) {
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * kBoxWarps + threadIdx.x / kWarp;
  const int64_t column_tiles = (b.size + kWarp - 1) / kWarp;
  const int64_t column = tile % column_tiles * kWarp + threadIdx.x % kWarp;
  if (column >= b.size) return;
  const Box<T> other = b.at(column);
  const int64_t first = tile / column_tiles * kBoxRows;
  const int64_t end = min(first + kBoxRows, a.size);
  for (int64_t row = first; row < end; ++row) {
    const Box<T> own = a.at(row);
    out[row * b.size + column] = may_overlap(own, other) ? iou_of(own, other) : T{};
  }
}

// ---- the choice -------------------------------------------------------------------------------------------------------------

// What drops what: by overlap.
template <typename T>
struct Overlap {
  using Item = Box<T>;
  BoxTable<T> boxes;
  T threshold;

  __device__ Item at(int64_t i) const { return boxes.at(i); }
  __device__ bool drops(const Item& kept, const Item& other) const {
    return may_overlap(kept, other) && iou_of(kept, other) > threshold;
  }
};

// By the distance of centres.
template <typename T>
struct Distance {
  struct Item {
    T x, y, squared_distance;
  };
  const T* center;
  int64_t stride;  // between centres
  const T* squared_distance;

  __device__ Item at(int64_t i) const {
    return {__ldg(center + i * stride), __ldg(center + i * stride + 1), __ldg(squared_distance + i)};
  }
  __device__ bool drops(const Item& kept, const Item& other) const {
    const T dx = kept.x - other.x, dy = kept.y - other.y;
    return dx * dx + dy * dy <= kept.squared_distance;
  }
};

// One panel, and what is known before it. Bit b of a word represents box 64 * word + b.
struct Choice {
  int64_t size;          // of all boxes
  int64_t begin;         // of the panel, a multiple of kPanel
  const int64_t* group;  // [size] or null
  int64_t max_kept;
  int64_t* num_kept;     // so far
  uint64_t* dropped;     // [words of all boxes], by the kept ones of the panels before
  uint64_t* mask;        // [kPanel, kPanelWords], unset where no bit can be
  uint64_t* kept_words;  // [kPanelWords], of the panel
  bool* kept;            // [size]

  __host__ __device__ int64_t panel_size() const { return size - begin < kPanel ? size - begin : kPanel; }
  __host__ __device__ int64_t panel_words() const { return (panel_size() + kWordBits - 1) / kWordBits; }
  __device__ int64_t group_of(int64_t i) const { return group ? __ldg(group + i) : 0; }
  __device__ bool full() const { return *num_kept >= max_kept; }
};

// The boxes of one word, two to each lane of a warp.
template <template <typename> class Rule, typename T>
struct Candidates {
  int64_t first;
  uint64_t gone;  // dropped already
  typename Rule<T>::Item item[2];
  int64_t group[2];

  __device__ Candidates(const Rule<T>& rule, const Choice& choice, int64_t word)
      : first(word * kWordBits), gone(choice.dropped[word]), item{}, group{} {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = index(half);
      if (i >= choice.size) continue;  // its bits are not read
      item[half] = rule.at(i);
      group[half] = choice.group_of(i);
    }
  }

  __device__ int64_t index(int half) const { return first + half * kWarp + threadIdx.x % kWarp; }

  // Those that go if box i is kept, which comes before them; what the bits up to its own say is of no interest. The whole
  // warp calls it.
  __device__ uint64_t dropped_by(const Rule<T>& rule, const Choice& choice, int64_t i) const {
    const auto own = rule.at(i);
    const int64_t own_group = choice.group_of(i);
    uint64_t bits = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const bool rival = group[half] == own_group && !(gone >> (index(half) - first) & 1);
      const unsigned votes = __ballot_sync(kAllLanes, rival && rule.drops(own, item[half]));
      bits |= static_cast<uint64_t>(votes) << half * kWarp;
    }
    return bits;
  }
};

// A warp: kBoxRows boxes of the panel against one word of it.
template <template <typename> class Rule, typename T>
__global__ void __launch_bounds__(kBoxThreads) mask_kernel(const Rule<T> rule, const Choice choice) {
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * kBoxWarps + threadIdx.x / kWarp;
  const int64_t word = tile % choice.panel_words();
  const int64_t first = tile / choice.panel_words() * kBoxRows;
  const int64_t end = min(first + kBoxRows, choice.panel_size());
  if (first >= end || word < first / kWordBits || choice.full()) return;
  const uint64_t gone = choice.dropped[(choice.begin + first) / kWordBits];
  const Candidates<Rule, T> candidates(rule, choice, choice.begin / kWordBits + word);
  for (int64_t row = first; row < end; ++row) {
    if (gone >> row % kWordBits & 1) continue;  // it will drop nothing
    const uint64_t bits = candidates.dropped_by(rule, choice, choice.begin + row);
    if (threadIdx.x % kWarp == 0) choice.mask[row * kPanelWords + word] = bits;
  }
}

// One block. Thread (part, word) strikes out of its word what every kChooseParts-th kept box drops.
__global__ void __launch_bounds__(kChooseThreads) choose_kernel(const Choice choice) {
  __shared__ uint64_t of_own_word[kPanel];  // the mask's words on the diagonal
  __shared__ uint64_t dropped[kChooseParts][kPanelWords];
  const int part = threadIdx.x / kPanelWords;
  const int own = threadIdx.x % kPanelWords;
  const int size = static_cast<int>(choice.panel_size());
  const int words = static_cast<int>(choice.panel_words());
  for (int row = threadIdx.x; row < size; row += kChooseThreads)
    of_own_word[row] = choice.mask[row * kPanelWords + row / kWordBits];
  dropped[part][own] = part == 0 && own < words ? choice.dropped[choice.begin / kWordBits + own] : 0;
  int64_t num_kept = *choice.num_kept;
  __syncthreads();

  for (int word = 0; word < words; ++word) {  // every thread finds the same
    const int first = word * kWordBits;
    uint64_t left = size - first < kWordBits ? ~(~uint64_t(0) << (size - first)) : ~uint64_t(0);
#pragma unroll
    for (int p = 0; p < kChooseParts; ++p) left &= ~dropped[p][word];
    uint64_t kept = 0;
    for (; left && num_kept < choice.max_kept; ++num_kept) {
      const int bit = __ffsll(static_cast<long long>(left)) - 1;
      kept |= uint64_t(1) << bit;
      left &= ~(uint64_t(1) << bit | of_own_word[first + bit]);
    }
    if (part == 0 && first + own < size) choice.kept[choice.begin + first + own] = kept >> own & 1;
    if (threadIdx.x == 0) choice.kept_words[word] = kept;
    if (own > word && own < words) {
      uint64_t bits = 0;
#pragma unroll
      for (int bit = part; bit < kWordBits; bit += kChooseParts)
        if (kept >> bit & 1) bits |= choice.mask[(first + bit) * kPanelWords + own];
      dropped[part][own] |= bits;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *choice.num_kept = num_kept;
}

// A warp: one word behind the panel, which is a full one, against the kept boxes of the panel. One block at a time is enough:
// for a second one the compiler would spill doubles.
template <template <typename> class Rule, typename T>
__global__ void __launch_bounds__(kBoxThreads, 1) drop_kernel(const Rule<T> rule, const Choice choice) {
  const int64_t word = choice.begin / kWordBits + kPanelWords + static_cast<int64_t>(blockIdx.x) * kBoxWarps +
                       threadIdx.x / kWarp;
  if (word * kWordBits >= choice.size || choice.full()) return;
  Candidates<Rule, T> candidates(rule, choice, word);
  for (int of_panel = 0; of_panel < kPanelWords && ~candidates.gone; ++of_panel) {
    for (uint64_t kept = choice.kept_words[of_panel]; kept; kept &= kept - 1) {
      const int64_t i = choice.begin + of_panel * kWordBits + __ffsll(static_cast<long long>(kept)) - 1;
      candidates.gone |= candidates.dropped_by(rule, choice, i);
    }
  }
  if (threadIdx.x % kWarp == 0) choice.dropped[word] = candidates.gone;
}

}  // namespace pc_ssl::cuda

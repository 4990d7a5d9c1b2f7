// The inner loops of the ops on the CPU: raw pointers, no torch, no threads. Each instruction set has its own copy.
#pragma once

#include <cstdint>
#include <type_traits>

#include "region_pool.h"

namespace pc_ssl {

template <typename Number>
struct Box;  // rotated_overlap.h, which each instruction set compiles for itself

}  // namespace pc_ssl

namespace pc_ssl::cpu {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// The type in which elements are added and compared.
template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

// A region is added up in pieces of this many points, first point to last, and the pieces' sums in turn. So the result does
// not depend on the thread that computes a piece, a huge region can be shared between threads, and its rounding error is small.
constexpr int64_t kPiece = 4096;

struct Piece {
  int64_t region;
  int64_t begin;  // in the order of the sorted points
  int64_t end;
};

// Points sorted by region. Sorted point k is row order[k] of the features or, where order is null, row first + k.
template <typename T>
struct SortedRows {
  const T* feature;
  int64_t stride;  // between rows, in elements; the channels of a row are adjacent
  const int32_t* order;
  int64_t first;
  int64_t size;  // sorted points that belong to a region

  int64_t row(int64_t k) const { return order ? order[k] : first + k; }
};

template <typename T>
struct PoolJob {
  SortedRows<T> rows;
  const int64_t* offsets;  // [R + 1]: region r holds the sorted points offsets[r] to offsets[r + 1]
  int64_t channels;
  bool mean;
  T* pooled;                // [R, C]
  int32_t* point;           // [R, C], or null: not wanted (region_extremum)
  const Piece* piece;       // the pieces of all regions longer than one piece, by region
  int64_t num_pieces;
  Wide<T>* partial;         // [num_pieces, C]
  int32_t* partial_point;   // [num_pieces, C], or null
  bool stream;              // write pooled past the caches; its rows and address must then be multiples of 64 bytes
};

template <typename T>
struct PoolLoops {
  void (*sum_pieces)(const PoolJob<T>&, int64_t begin, int64_t end);   // fills partial
  void (*sum_regions)(const PoolJob<T>&, int64_t begin, int64_t end);  // fills pooled, using partial
  // [0] largest, [1] smallest
  void (*extremum_pieces[2])(const PoolJob<T>&, int64_t begin, int64_t end);
  void (*extremum_regions[2])(const PoolJob<T>&, int64_t begin, int64_t end);
  // out[r] = in[r] / counts[r] for rows of `channels`, counts below 1 taken as 1
  void (*divide_rows)(const T* in, const int64_t* counts, int64_t channels, int64_t begin, int64_t end, T* out);
};

template <typename Id>
struct GatherJob {
  const Id* region;        // [N]
  int64_t num_regions;
  const void* table;       // [R, row_bytes]
  int64_t row_bytes;
  const int64_t* counts;   // [R], or null: the elements of a row are divided by its count (float and double only)
  const int32_t* point;    // [R, C], or null: an element is kept only where point says this row (region_extremum_grad)
  void* out;               // [N, row_bytes]
  bool stream;             // write past the caches; rows and out must then be multiples of 64 bytes
};

// Each returns the first position in [begin, end) whose id is out of range, where it stops, or -1.
template <typename Id>
struct GatherLoops {
  int64_t (*copy)(const GatherJob<Id>&, int64_t begin, int64_t end);
  int64_t (*divide_float)(const GatherJob<Id>&, int64_t begin, int64_t end);
  int64_t (*divide_double)(const GatherJob<Id>&, int64_t begin, int64_t end);
  int64_t (*select[3])(const GatherJob<Id>&, int64_t begin, int64_t end);  // elements of 2, 4 and 8 bytes
};

// Many boxes, one field of Box after the other: field f of box i is data[f * capacity + i].
template <typename T>
struct BoxColumns {
  const T* data;
  int64_t capacity;  // a multiple of kBoxStep
  int64_t size;      // the boxes from here to the next multiple of kBoxStep have a NaN for x
};

constexpr int64_t kBoxStep = 16;  // boxes that are read together, at most

template <typename T>
struct BoxLoops {
  void (*iou_row)(const Box<T>&, const BoxColumns<T>&, T* out);  // out[i] = overlap with box i
  bool (*any_iou_above)(const Box<T>&, const BoxColumns<T>&, T threshold);
  // Whether some (xs, ys)[i] is no further from (x, y) than the root of squared_distance[i]; arrays as in BoxColumns.
  bool (*any_within)(T x, T y, const T* xs, const T* ys, const T* squared_distance, int64_t size);
};

// A sparse convolution (sparse_conv.h) with checked pairs; all tensors are contiguous.
template <typename T>
struct ConvJob {
  const T* x;       // [V, in_channels]
  const T* weight;  // [K, in_channels, out_channels]
  const T* grad;    // [M, out_channels]
  T* y;             // [M, out_channels]
  T* weight_grad;   // [K, in_channels, out_channels]
  int64_t in_channels;
  int64_t out_channels;
  const int32_t* in_row;
  const int32_t* out_row;
  const int64_t* offsets;  // [num_offsets + 1]
  int64_t num_offsets;
};

template <typename T>
struct ConvLoops {
  void (*rows)(const ConvJob<T>&, int64_t begin, int64_t end);          // fills rows of y from x and weight
  void (*weight_grads)(const ConvJob<T>&, int64_t begin, int64_t end);  // fills offsets of weight_grad from x and grad
};

struct Loops {
  PoolLoops<float> of_float;
  PoolLoops<double> of_double;
  PoolLoops<Half> of_half;
  PoolLoops<BFloat16> of_bfloat16;
  GatherLoops<int32_t> by_int32;
  GatherLoops<int64_t> by_int64;
  BoxLoops<float> boxes_of_float;
  BoxLoops<double> boxes_of_double;
  ConvLoops<float> conv_of_float;
  ConvLoops<double> conv_of_double;

  template <typename T>
  const PoolLoops<T>& pool() const {
    if constexpr (std::is_same_v<T, float>) return of_float;
    if constexpr (std::is_same_v<T, double>) return of_double;
    if constexpr (std::is_same_v<T, Half>) return of_half;
    if constexpr (std::is_same_v<T, BFloat16>) return of_bfloat16;
  }
  template <typename Id>
  const GatherLoops<Id>& gather() const {
    if constexpr (std::is_same_v<Id, int32_t>) return by_int32;
    if constexpr (std::is_same_v<Id, int64_t>) return by_int64;
  }
  template <typename T>
  const BoxLoops<T>& boxes() const {
    if constexpr (std::is_same_v<T, float>) return boxes_of_float;
    if constexpr (std::is_same_v<T, double>) return boxes_of_double;
  }
  template <typename T>
  const ConvLoops<T>& conv() const {
    if constexpr (std::is_same_v<T, float>) return conv_of_float;
    if constexpr (std::is_same_v<T, double>) return conv_of_double;
  }
};

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PC_SSL_X86_LOOPS
extern const Loops loops_avx2;
extern const Loops loops_avx512;
#endif
extern const Loops loops_generic;

}  // namespace pc_ssl::cpu

// Sparse convolution: gather, multiply and add in one pass. Part of loops_impl.h, see there.
//
// A tile is P pairs by N vectors of output channels, whose sums stay in registers while the input channels pass: each weight
// that is loaded serves P pairs, each input N vectors. Columns that do not fill a vector take half of it, and so on down to 1.

// Without fused multiply-add the products would take twice as long; processors of this class have it.
#ifndef PC_SSL_CONV_TARGET
#define PC_SSL_CONV_TARGET
#endif

namespace pc_ssl::cpu {
namespace {

constexpr int64_t kPairsInCache = 128;  // whose rows stay in the first cache while a weight gradient passes over them

// y[out[p]] += x[in[p]] @ w for P pairs, at L * N columns of w [ci, co] and y [M, co], which begin at the first of them.
template <typename T, int L, int N, int P>
PC_SSL_INLINE void multiply_tile(const ConvJob<T>& job, const T* w, T* y, const int32_t* in, const int32_t* out) {
  using V = Vector<T, L>;
  V sum[P][N];
  const T* row[P];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    row[p] = job.x + in[p] * job.in_channels;
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[p][n] = load<L>(y + out[p] * job.out_channels + n * L);
  }
  for (int64_t c = 0; c < job.in_channels; ++c) {
    V weight[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) weight[n] = load<L>(w + c * job.out_channels + n * L);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const T value = row[p][c];
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[p][n] += value * weight[n];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) *reinterpret_cast<V*>(y + out[p] * job.out_channels + n * L) = sum[p][n];
  }
}

template <typename T, int L, int N>
PC_SSL_CONV_TARGET void multiply_pairs(const ConvJob<T>& job, const T* w, T* y, int64_t begin, int64_t end) {
  constexpr int P = N == 2 ? 4 : 8;
  int64_t p = begin;
  for (; p + P <= end; p += P) multiply_tile<T, L, N, P>(job, w, y, job.in_row + p, job.out_row + p);
  for (; p < end; ++p) multiply_tile<T, L, N, 1>(job, w, y, job.in_row + p, job.out_row + p);
}

// All columns from `column` on, by vectors of L and then of L / 2.
template <typename T, int L>
void multiply_columns(const ConvJob<T>& job, const T* w, int64_t column, int64_t begin, int64_t end) {
  for (; column + 2 * L <= job.out_channels && 2 * L * static_cast<int>(sizeof(T)) > PC_SSL_VECTOR_BYTES; column += 2 * L)
    multiply_pairs<T, L, 2>(job, w + column, job.y + column, begin, end);
  for (; column + L <= job.out_channels; column += L)
    multiply_pairs<T, L, 1>(job, w + column, job.y + column, begin, end);
  if constexpr (L > 1) {
    if (column < job.out_channels) multiply_columns<T, L / 2>(job, w, column, begin, end);
  }
}

inline int64_t first_at_least(const int32_t* row, int64_t begin, int64_t end, int64_t value) {
  while (begin < end) {
    const int64_t middle = begin + (end - begin) / 2;
    if (row[middle] < value) begin = middle + 1;
    else end = middle;
  }
  return begin;
}

template <typename T>
void conv_rows(const ConvJob<T>& job, int64_t begin, int64_t end) {
  __builtin_memset(job.y + begin * job.out_channels, 0, (end - begin) * job.out_channels * sizeof(T));
  for (int64_t k = 0; k < job.num_offsets; ++k) {
    const int64_t first = first_at_least(job.out_row, job.offsets[k], job.offsets[k + 1], begin);
    const int64_t last = first_at_least(job.out_row, first, job.offsets[k + 1], end);
    if (first < last)
      multiply_columns<T, kLanes<T>>(job, job.weight + k * job.in_channels * job.out_channels, 0, first, last);
  }
}

// w [ci, co] += x[in]^T dy[out] over pairs, at C rows (input channels) and L * N columns, which begin at the first of them.
template <typename T, int L, int N, int C>
PC_SSL_CONV_TARGET void add_products(const ConvJob<T>& job, const T* x, const T* dy, T* w, int64_t begin, int64_t end) {
  using V = Vector<T, L>;
  V sum[C][N];
#pragma GCC unroll 8
  for (int c = 0; c < C; ++c) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[c][n] = load<L>(w + c * job.out_channels + n * L);
  }
  for (int64_t p = begin; p < end; ++p) {
    const T* row = x + job.in_row[p] * job.in_channels;
    const T* grad = dy + job.out_row[p] * job.out_channels;
    V value[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) value[n] = load<L>(grad + n * L);
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[c][n] += row[c] * value[n];
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < C; ++c) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) *reinterpret_cast<V*>(w + c * job.out_channels + n * L) = sum[c][n];
  }
}

template <typename T, int L, int N>
void add_products_at(const ConvJob<T>& job, T* w, int64_t column, int64_t begin, int64_t end) {
  int64_t c = 0;
  const int64_t size = job.in_channels, width = job.out_channels;
  for (; c + 8 <= size; c += 8)
    add_products<T, L, N, 8>(job, job.x + c, job.grad + column, w + c * width + column, begin, end);
  for (; c + 2 <= size; c += 2)
    add_products<T, L, N, 2>(job, job.x + c, job.grad + column, w + c * width + column, begin, end);
  for (; c < size; ++c)
    add_products<T, L, N, 1>(job, job.x + c, job.grad + column, w + c * width + column, begin, end);
}

template <typename T, int L>
void add_columns(const ConvJob<T>& job, T* w, int64_t column, int64_t begin, int64_t end) {
  constexpr bool kTwo = PC_SSL_VECTOR_REGISTERS >= 32 && L == kLanes<T>;
  if constexpr (kTwo) {
    for (; column + 2 * L <= job.out_channels; column += 2 * L) add_products_at<T, L, 2>(job, w, column, begin, end);
  }
  for (; column + L <= job.out_channels; column += L) add_products_at<T, L, 1>(job, w, column, begin, end);
  if constexpr (L > 1) {
    if (column < job.out_channels) add_columns<T, L / 2>(job, w, column, begin, end);
  }
}

template <typename T>
void conv_weight_grads(const ConvJob<T>& job, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; ++k) {
    T* w = job.weight_grad + k * job.in_channels * job.out_channels;
    __builtin_memset(w, 0, job.in_channels * job.out_channels * sizeof(T));
    for (int64_t p = job.offsets[k]; p < job.offsets[k + 1]; p += kPairsInCache) {
      const int64_t rest = job.offsets[k + 1] - p;
      add_columns<T, kLanes<T>>(job, w, 0, p, p + (rest < kPairsInCache ? rest : kPairsInCache));
    }
  }
}

}  // namespace
}  // namespace pc_ssl::cpu

// The inner loops, written once with the compiler's vector types and compiled per instruction set: the including file has set
// PC_SSL_VECTOR_BYTES, PC_SSL_VECTOR_REGISTERS, PC_SSL_LOOPS (the table's name) and the target. Nothing of the standard
// library is used here: an inline function of it compiled for AVX-512 could replace the copy of the whole program.
#include "cpu/loops.h"

namespace pc_ssl::cpu {
namespace {

#define PC_SSL_INLINE inline __attribute__((always_inline))

// L adjacent numbers, at any address.
template <typename T, int L>
struct VectorOf {
  typedef T type __attribute__((vector_size(L * sizeof(T)), aligned(alignof(T)), may_alias));
};
template <typename T, int L>
using Vector = typename VectorOf<T, L>::type;

template <typename T>
constexpr int kLanes = PC_SSL_VECTOR_BYTES / sizeof(Wide<T>);
// Channels held in registers at once: all of a row of 256 floats where there are 32 registers.
template <typename T>
constexpr int kChunk = 16 * kLanes<T>;
constexpr int64_t kTile = 64;  // points per pass where a chunk needs several passes; they stay in the first-level cache

// ---- loading and storing --------------------------------------------------------------------------------------------------

template <int L>
PC_SSL_INLINE Vector<float, L> load(const float* p) {
  return *reinterpret_cast<const Vector<float, L>*>(p);
}
template <int L>
PC_SSL_INLINE Vector<double, L> load(const double* p) {
  return *reinterpret_cast<const Vector<double, L>*>(p);
}
template <int L>
PC_SSL_INLINE Vector<float, L> load(const BFloat16* p) {
  const auto bits = *reinterpret_cast<const Vector<uint16_t, L>*>(p);
  const auto wide = __builtin_convertvector(bits, Vector<uint32_t, L>) << 16;
  return reinterpret_cast<const Vector<float, L>&>(wide);
}
// Exponent and fraction move into place and a factor 2^112 makes up for the other bias, which is exact for subnormal halves
// too; what comes out at 2^16 or above was an infinity or NaN.
template <int L>
PC_SSL_INLINE Vector<float, L> load(const Half* p) {
  using Bits = Vector<uint32_t, L>;
  using Floats = Vector<float, L>;
  const Bits bits = __builtin_convertvector(*reinterpret_cast<const Vector<uint16_t, L>*>(p), Bits);
  const Bits shifted = (bits & 0x7fff) << 13;
  const Floats scaled = reinterpret_cast<const Floats&>(shifted) * 0x1p112f;
  const auto special = __builtin_convertvector(scaled >= 0x1p16f, Bits);
  const Bits out = reinterpret_cast<const Bits&>(scaled) | (special & 0x7f800000) | ((bits & 0x8000) << 16);
  return reinterpret_cast<const Floats&>(out);
}

PC_SSL_INLINE void store(float value, float* p) { *p = value; }
PC_SSL_INLINE void store(double value, double* p) { *p = value; }
// To the nearest, ties to even; a NaN stays one.
PC_SSL_INLINE void store(float value, BFloat16* p) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  p->bits = static_cast<uint16_t>(value == value ? rounded : 0x7fc0);
}
PC_SSL_INLINE void store(float value, Half* p) {
  const float size = __builtin_fabsf(value);
  uint32_t bits;
  __builtin_memcpy(&bits, &size, 4);
  uint32_t half = ((bits + 0xfff + ((bits >> 13) & 1)) >> 13) - (112 << 10);  // to the nearest, ties to even; bias 127 to 15
  if (size < 0x1p-14f) {  // subnormal: 0.5 has its last bit at 2^-24, the unit of these, so the addition rounds
    const float shifted = size + 0.5f;
    __builtin_memcpy(&half, &shifted, 4);
    half -= 0x3f000000;
  }
  if (size >= 65520.0f) half = 0x7c00;
  if (value != value) half = 0x7e00;
  p->bits = static_cast<uint16_t>(half | (__builtin_signbit(value) ? 0x8000 : 0));
}

template <typename T>
PC_SSL_INLINE void prefetch_row(const SortedRows<T>& rows, int64_t k, int64_t channels) {
  const char* line = reinterpret_cast<const char*>(rows.feature + rows.row(k < rows.size ? k : rows.size - 1) * rows.stride);
  for (int64_t byte = 0; byte < channels * static_cast<int64_t>(sizeof(T)); byte += 64) __builtin_prefetch(line + byte);
}

// How many points to fetch ahead of the additions: 16 KB hide the memory's latency behind its bandwidth.
template <typename T>
PC_SSL_INLINE int64_t points_ahead(int64_t channels) {
  const int64_t points = 16384 / (channels * static_cast<int64_t>(sizeof(T)) + 1);
  return points < 8 ? 8 : points > 64 ? 64 : points;
}

// ---- the two reductions ---------------------------------------------------------------------------------------------------

// Sum of sorted points [begin, end), channels [c, c + B * L), onto `state`.
template <typename T>
struct Sum {
  struct State {
    Wide<T> value[kChunk<T>];
  };
  static constexpr int kBlocks = PC_SSL_VECTOR_REGISTERS / 2;

  template <int L, int B>
  static PC_SSL_INLINE void add(const PoolJob<T>& job, int64_t begin, int64_t end, bool fresh, int64_t first_channel,
                                int64_t c, int64_t ahead, State& state) {
    const SortedRows<T>& rows = job.rows;
    Vector<Wide<T>, L> sum[B];
#pragma GCC unroll 16
    for (int b = 0; b < B; ++b) sum[b] = fresh ? Vector<Wide<T>, L>{} : load<L>(state.value + c + b * L);
    for (int64_t k = begin; k < end; ++k) {
      if (first_channel + c == 0) prefetch_row(rows, k + ahead, job.channels);
      const T* row = rows.feature + rows.row(k) * rows.stride + first_channel + c;
#pragma GCC unroll 16
      for (int b = 0; b < B; ++b) sum[b] += load<L>(row + b * L);
    }
#pragma GCC unroll 16
    for (int b = 0; b < B; ++b) *reinterpret_cast<Vector<Wide<T>, L>*>(state.value + c + b * L) = sum[b];
  }

  static PC_SSL_INLINE void add_piece(const PoolJob<T>& job, int64_t piece, bool fresh, int64_t first_channel, int64_t width,
                                      State& state) {
    const Wide<T>* part = job.partial + piece * job.channels + first_channel;
    for (int64_t c = 0; c < width; ++c) state.value[c] = fresh ? part[c] : state.value[c] + part[c];
  }

  static PC_SSL_INLINE void keep_piece(const PoolJob<T>& job, int64_t piece, int64_t first_channel, int64_t width,
                                       const State& state) {
    Wide<T>* part = job.partial + piece * job.channels + first_channel;
    for (int64_t c = 0; c < width; ++c) part[c] = state.value[c];
  }

  static PC_SSL_INLINE void keep_region(const PoolJob<T>& job, int64_t region, int64_t count, int64_t first_channel,
                                        int64_t width, const State& state) {
    T* out = job.pooled + region * job.channels + first_channel;
    const Wide<T> by = static_cast<Wide<T>>(count);
    if (count == 0)
      for (int64_t c = 0; c < width; ++c) store(Wide<T>{0}, out + c);
    else if (job.mean && count > 1)
      for (int64_t c = 0; c < width; ++c) store(state.value[c] / by, out + c);
    else
      for (int64_t c = 0; c < width; ++c) store(state.value[c], out + c);
  }
};

template <typename T, bool Smallest, bool WithPoint>
struct Extremum {
  struct State {
    Wide<T> value[kChunk<T>];
    int32_t point[kChunk<T>];
  };
  static constexpr int kBlocks = PC_SSL_VECTOR_REGISTERS / (WithPoint ? 4 : 2);

  // Not worse than `best` rather than better: so a NaN is taken, and keeps its place.
  template <typename V>
  static PC_SSL_INLINE auto better(V value, V best) {
    return Smallest ? ~(value >= best) & (best == best) : ~(value <= best) & (best == best);
  }

  template <int L, int B>
  static PC_SSL_INLINE void add(const PoolJob<T>& job, int64_t begin, int64_t end, bool fresh, int64_t first_channel,
                                int64_t c, int64_t ahead, State& state) {
    using Values = Vector<Wide<T>, L>;
    using Points = Vector<int32_t, L>;
    const SortedRows<T>& rows = job.rows;
    Values best[B];
    Points point[B];
    if (fresh) {
      const T* row = rows.feature + rows.row(begin) * rows.stride + first_channel + c;
#pragma GCC unroll 16
      for (int b = 0; b < B; ++b) best[b] = load<L>(row + b * L);
#pragma GCC unroll 16
      for (int b = 0; b < B; ++b) point[b] = Points{} + static_cast<int32_t>(rows.row(begin));
    } else {
#pragma GCC unroll 16
      for (int b = 0; b < B; ++b) best[b] = load<L>(state.value + c + b * L);
#pragma GCC unroll 16
      for (int b = 0; WithPoint && b < B; ++b) point[b] = *reinterpret_cast<const Points*>(state.point + c + b * L);
    }
    for (int64_t k = begin; k < end; ++k) {
      if (first_channel + c == 0) prefetch_row(rows, k + ahead, job.channels);
      const int64_t i = rows.row(k);
      const T* row = rows.feature + i * rows.stride + first_channel + c;
#pragma GCC unroll 16
      for (int b = 0; b < B; ++b) {
        const Values value = load<L>(row + b * L);
        const auto take = better(value, best[b]);
        best[b] = take ? value : best[b];
        if (WithPoint) point[b] = __builtin_convertvector(take, Points) ? Points{} + static_cast<int32_t>(i) : point[b];
      }
    }
#pragma GCC unroll 16
    for (int b = 0; b < B; ++b) *reinterpret_cast<Values*>(state.value + c + b * L) = best[b];
#pragma GCC unroll 16
    for (int b = 0; WithPoint && b < B; ++b) *reinterpret_cast<Points*>(state.point + c + b * L) = point[b];
  }

  static PC_SSL_INLINE void add_piece(const PoolJob<T>& job, int64_t piece, bool fresh, int64_t first_channel, int64_t width,
                                      State& state) {
    const int64_t at = piece * job.channels + first_channel;
    for (int64_t c = 0; c < width; ++c) {
      const Wide<T> value = job.partial[at + c];
      if (!fresh && !((Smallest ? !(value >= state.value[c]) : !(value <= state.value[c])) && state.value[c] == state.value[c]))
        continue;
      state.value[c] = value;
      if (WithPoint) state.point[c] = job.partial_point[at + c];
    }
  }

  static PC_SSL_INLINE void keep_piece(const PoolJob<T>& job, int64_t piece, int64_t first_channel, int64_t width,
                                       const State& state) {
    const int64_t at = piece * job.channels + first_channel;
    for (int64_t c = 0; c < width; ++c) job.partial[at + c] = state.value[c];
    for (int64_t c = 0; WithPoint && c < width; ++c) job.partial_point[at + c] = state.point[c];
  }

  static PC_SSL_INLINE void keep_region(const PoolJob<T>& job, int64_t region, int64_t count, int64_t first_channel,
                                        int64_t width, const State& state) {
    const int64_t at = region * job.channels + first_channel;
    for (int64_t c = 0; c < width; ++c) store(count ? state.value[c] : Wide<T>{0}, job.pooled + at + c);
    for (int64_t c = 0; WithPoint && c < width; ++c) job.point[at + c] = count ? state.point[c] : -1;
  }
};

// ---- a run of points, a piece, a region -----------------------------------------------------------------------------------

// One pass over [begin, end) for as many whole blocks of B vectors of L channels as fit between c and width; returns the
// next channel.
template <typename T, typename Reduction, int L, int B>
PC_SSL_INLINE int64_t add_blocks(const PoolJob<T>& job, int64_t begin, int64_t end, bool fresh, int64_t first_channel,
                                 int64_t c, int64_t width, int64_t ahead, typename Reduction::State& state) {
  if constexpr (B <= Reduction::kBlocks)
    for (; c + B * L <= width; c += B * L)
      Reduction::template add<L, B>(job, begin, end, fresh, first_channel, c, ahead, state);
  return c;
}

// Sorted points [begin, end) into `state`, channels first_channel + [0, width).
template <typename T, typename Reduction>
void add_points(const PoolJob<T>& job, int64_t begin, int64_t end, int64_t first_channel, int64_t width,
                typename Reduction::State& state) {
  constexpr int L = kLanes<T>;
  const int64_t ahead = points_ahead<T>(job.channels);
  const bool one_block = width == L || width == 2 * L || width == 4 * L || width == 8 * L || width == 16 * L;
  const int64_t tile = one_block && width <= Reduction::kBlocks * L ? end - begin : kTile;
  for (int64_t k = begin; k < end; k += tile) {
    const int64_t stop = k + tile < end ? k + tile : end;
    const bool fresh = k == begin;
    int64_t c = 0;
    c = add_blocks<T, Reduction, L, 16>(job, k, stop, fresh, first_channel, c, width, ahead, state);
    c = add_blocks<T, Reduction, L, 8>(job, k, stop, fresh, first_channel, c, width, ahead, state);
    c = add_blocks<T, Reduction, L, 4>(job, k, stop, fresh, first_channel, c, width, ahead, state);
    c = add_blocks<T, Reduction, L, 2>(job, k, stop, fresh, first_channel, c, width, ahead, state);
    c = add_blocks<T, Reduction, L, 1>(job, k, stop, fresh, first_channel, c, width, ahead, state);
    if constexpr (L > 8) c = add_blocks<T, Reduction, 8, 1>(job, k, stop, fresh, first_channel, c, width, ahead, state);
    if constexpr (L > 4) c = add_blocks<T, Reduction, 4, 1>(job, k, stop, fresh, first_channel, c, width, ahead, state);
    if constexpr (L > 2) c = add_blocks<T, Reduction, 2, 1>(job, k, stop, fresh, first_channel, c, width, ahead, state);
    add_blocks<T, Reduction, 1, 1>(job, k, stop, fresh, first_channel, c, width, ahead, state);
  }
}

template <typename T, typename Reduction>
void pieces(const PoolJob<T>& job, int64_t begin, int64_t end) {
  typename Reduction::State state;
  for (int64_t p = begin; p < end; ++p)
    for (int64_t c = 0; c < job.channels; c += kChunk<T>) {
      const int64_t width = job.channels - c < kChunk<T> ? job.channels - c : kChunk<T>;
      add_points<T, Reduction>(job, job.piece[p].begin, job.piece[p].end, c, width, state);
      Reduction::keep_piece(job, p, c, width, state);
    }
}

template <typename T, typename Reduction>
void regions(const PoolJob<T>& job, int64_t begin, int64_t end) {
  typename Reduction::State state;
  int64_t piece = 0;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t count = job.offsets[r + 1] - job.offsets[r];
    const bool is_long = count > kPiece;
    while (is_long && job.piece[piece].region < r) ++piece;
    for (int64_t c = 0; c < job.channels; c += kChunk<T>) {
      const int64_t width = job.channels - c < kChunk<T> ? job.channels - c : kChunk<T>;
      if (is_long)
        for (int64_t p = piece; p < job.num_pieces && job.piece[p].region == r; ++p)
          Reduction::add_piece(job, p, p == piece, c, width, state);
      else if (count > 0)
        add_points<T, Reduction>(job, job.offsets[r], job.offsets[r + 1], c, width, state);
      Reduction::keep_region(job, r, count, c, width, state);
    }
  }
}

template <typename T, bool Smallest>
void extremum_pieces(const PoolJob<T>& job, int64_t begin, int64_t end) {
  job.point ? pieces<T, Extremum<T, Smallest, true>>(job, begin, end)
            : pieces<T, Extremum<T, Smallest, false>>(job, begin, end);
}

template <typename T, bool Smallest>
void extremum_regions(const PoolJob<T>& job, int64_t begin, int64_t end) {
  job.point ? regions<T, Extremum<T, Smallest, true>>(job, begin, end)
            : regions<T, Extremum<T, Smallest, false>>(job, begin, end);
}

// ---- regions to points ----------------------------------------------------------------------------------------------------

template <typename T>
PC_SSL_INLINE void divide_row(const T* in, int64_t count, int64_t channels, T* out) {
  const Wide<T> factor = Wide<T>{1} / static_cast<Wide<T>>(count > 1 ? count : 1);
  constexpr int L = kLanes<T>;
  int64_t c = 0;
  if constexpr (std::is_same_v<T, Wide<T>>)
    for (; c + L <= channels; c += L) *reinterpret_cast<Vector<T, L>*>(out + c) = load<L>(in + c) * factor;
  for (; c < channels; ++c) store(load<1>(in + c)[0] * factor, out + c);
}

template <typename T>
void divide_rows(const T* in, const int64_t* counts, int64_t channels, int64_t begin, int64_t end, T* out) {
  for (int64_t r = begin; r < end; ++r) divide_row(in + r * channels, counts[r], channels, out + r * channels);
}

template <int Bytes>
PC_SSL_INLINE void copy_bytes(const char* in, char* out) {
  using Chunk = Vector<char, Bytes>;
  *reinterpret_cast<Chunk*>(out) = *reinterpret_cast<const Chunk*>(in);
}

PC_SSL_INLINE void copy_row(const char* in, int64_t bytes, char* out) {
  constexpr int V = PC_SSL_VECTOR_BYTES;
  int64_t at = 0;
  for (; at + V <= bytes; at += V) copy_bytes<V>(in + at, out + at);
  if (at == bytes) return;
  if (bytes >= V) return copy_bytes<V>(in + bytes - V, out + bytes - V);  // the last vector overlaps the one before
  for (; at + 8 <= bytes; at += 8) copy_bytes<8>(in + at, out + at);
  for (; at < bytes; ++at) out[at] = in[at];
}

PC_SSL_INLINE void zero_row(int64_t bytes, char* out) {
  for (int64_t at = 0; at < bytes; ++at) out[at] = 0;
}

// Calls write(region, i) for every point of [begin, end) and writes zeros for those of no region.
template <typename Id, typename Write>
PC_SSL_INLINE int64_t for_each_row(const GatherJob<Id>& job, int64_t begin, int64_t end, Write write) {
  constexpr int64_t kAhead = 8;
  const char* table = static_cast<const char*>(job.table);
  for (int64_t i = begin; i < end; ++i) {
    const Id next = job.region[i + kAhead < end ? i + kAhead : i];
    const char* line = table + (next < 0 || next >= job.num_regions ? 0 : next) * job.row_bytes;
    for (int64_t byte = 0; byte < job.row_bytes; byte += 64) __builtin_prefetch(line + byte);
    const Id region = job.region[i];
    if (region >= job.num_regions) return i;
    if (region < 0)
      zero_row(job.row_bytes, static_cast<char*>(job.out) + i * job.row_bytes);
    else
      write(static_cast<int64_t>(region), i);
  }
  return -1;
}

template <typename Id>
int64_t gather_copy(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  return for_each_row(job, begin, end, [&](int64_t region, int64_t i) __attribute__((always_inline)) {
    copy_row(static_cast<const char*>(job.table) + region * job.row_bytes, job.row_bytes,
             static_cast<char*>(job.out) + i * job.row_bytes);
  });
}

template <typename Id, typename T>
int64_t gather_divided(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  const int64_t channels = job.row_bytes / static_cast<int64_t>(sizeof(T));
  return for_each_row(job, begin, end, [&](int64_t region, int64_t i) __attribute__((always_inline)) {
    divide_row(static_cast<const T*>(job.table) + region * channels, job.counts[region], channels,
               static_cast<T*>(job.out) + i * channels);
  });
}

template <typename Id, typename Bits>
int64_t gather_selected(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  constexpr int L = PC_SSL_VECTOR_BYTES / (sizeof(Bits) < 4 ? 4 : sizeof(Bits));
  const int64_t channels = job.row_bytes / static_cast<int64_t>(sizeof(Bits));
  return for_each_row(job, begin, end, [&](int64_t region, int64_t i) __attribute__((always_inline)) {
    const Bits* in = static_cast<const Bits*>(job.table) + region * channels;
    const int32_t* point = job.point + region * channels;
    Bits* out = static_cast<Bits*>(job.out) + i * channels;
    const int32_t me = static_cast<int32_t>(i);
    int64_t c = 0;
    for (; c + L <= channels; c += L) {
      const auto mine = *reinterpret_cast<const Vector<int32_t, L>*>(point + c) == me;
      const auto mask = reinterpret_cast<const Vector<int32_t, L>&>(mine);
      *reinterpret_cast<Vector<Bits, L>*>(out + c) =
          *reinterpret_cast<const Vector<Bits, L>*>(in + c) & __builtin_convertvector(mask, Vector<Bits, L>);
    }
    for (; c < channels; ++c) out[c] = point[c] == me ? in[c] : Bits{0};
  });
}

template <typename T>
constexpr PoolLoops<T> pool_loops() {
  return {pieces<T, Sum<T>>,
          regions<T, Sum<T>>,
          {extremum_pieces<T, false>, extremum_pieces<T, true>},
          {extremum_regions<T, false>, extremum_regions<T, true>},
          divide_rows<T>};
}

template <typename Id>
constexpr GatherLoops<Id> gather_loops() {
  return {gather_copy<Id>,
          gather_divided<Id, float>,
          gather_divided<Id, double>,
          {gather_selected<Id, uint16_t>, gather_selected<Id, uint32_t>, gather_selected<Id, uint64_t>}};
}

}  // namespace

const Loops PC_SSL_LOOPS = {pool_loops<float>(),    pool_loops<double>(),  pool_loops<Half>(),
                            pool_loops<BFloat16>(), gather_loops<int32_t>(), gather_loops<int64_t>()};

}  // namespace pc_ssl::cpu

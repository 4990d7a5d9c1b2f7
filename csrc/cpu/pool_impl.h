// Points to regions. Part of loops_impl.h, see there.
namespace pc_ssl::cpu {
namespace {

// Channels held in registers at once: all of a row of 256 floats where there are 32 registers.
template <typename T>
constexpr int kChunk = 16 * kLanes<T>;

// Rows in 16 KB, a third of a first-level cache: fetched so far ahead of the additions, the memory's latency hides behind its
// bandwidth, and such a run of rows can be passed over again for other channels.
template <typename T>
PC_SSL_INLINE int64_t rows_at_hand(int64_t channels) {
  const int64_t rows = 16384 / (channels * static_cast<int64_t>(sizeof(T)) + 1);
  return rows < 8 ? 8 : rows > 64 ? 64 : rows;
}

// Some of the channels of every row, few enough for a reduction's state.
struct Chunk {
  int64_t first;
  int64_t width;
  int64_t ahead;  // rows to fetch ahead
  int64_t run;    // rows to pass over at a time
};

// A chunk of several blocks takes a pass for each: its rows come in runs that stay in the first-level cache meanwhile.
template <typename T, typename Reduction>
PC_SSL_INLINE Chunk chunk_at(int64_t channel, int64_t channels) {
  const int64_t width = channels - channel < kChunk<T> ? channels - channel : kChunk<T>;
  const int64_t vectors = width / kLanes<T>;
  const bool one_block = width % kLanes<T> == 0 && (vectors & (vectors - 1)) == 0 && vectors <= Reduction::kBlocks;
  const int64_t rows = rows_at_hand<T>(width);
  return {channel, width, rows, one_block ? kMaxRows : rows};
}

// Fetches the chunk of the row of sorted point k. Blocks as wide as the chunk do so without a loop.
template <typename T, int Block>
PC_SSL_INLINE void prefetch_chunk(const SortedRows<T>& rows, int64_t k, const Chunk& chunk) {
  const T* row = rows.feature + rows.row(k < rows.size ? k : rows.size - 1) * rows.stride + chunk.first;
  if (chunk.width == Block)
    prefetch_bytes<Block * sizeof(T)>(reinterpret_cast<const char*>(row));
  else
    prefetch_row(reinterpret_cast<const char*>(row), chunk.width * static_cast<int64_t>(sizeof(T)));
}

// One region's result, of the chunk's channels.
template <typename T>
PC_SSL_INLINE void keep_values(const PoolJob<T>& job, int64_t region, const Chunk& chunk, const Wide<T>* value) {
  T* out = job.pooled + region * job.channels + chunk.first;
  if constexpr (std::is_same_v<T, Wide<T>>) {
    const char* in = reinterpret_cast<const char*>(value);
    const int64_t bytes = chunk.width * static_cast<int64_t>(sizeof(T));
    job.stream ? copy_row<true>(in, bytes, reinterpret_cast<char*>(out))
               : copy_row<false>(in, bytes, reinterpret_cast<char*>(out));
  } else {
    for (int64_t c = 0; c < chunk.width; ++c) store(value[c], out + c);
  }
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
  static PC_SSL_INLINE void add(const PoolJob<T>& job, int64_t begin, int64_t end, bool fresh, const Chunk& chunk,
                                int64_t c, State& state) {
    const SortedRows<T>& rows = job.rows;
    Vector<Wide<T>, L> sum[B];
#pragma GCC unroll 16
    for (int b = 0; b < B; ++b) sum[b] = fresh ? Vector<Wide<T>, L>{} : load<L>(state.value + c + b * L);
    for (int64_t k = begin; k < end; ++k) {
      if (c == 0) prefetch_chunk<T, B * L>(rows, k + chunk.ahead, chunk);
      const T* row = rows.feature + rows.row(k) * rows.stride + chunk.first + c;
#pragma GCC unroll 16
      for (int b = 0; b < B; ++b) sum[b] += load<L>(row + b * L);
    }
#pragma GCC unroll 16
    for (int b = 0; b < B; ++b) *reinterpret_cast<Vector<Wide<T>, L>*>(state.value + c + b * L) = sum[b];
  }

  static PC_SSL_INLINE void add_piece(const PoolJob<T>& job, int64_t piece, bool fresh, const Chunk& chunk, State& state) {
    const Wide<T>* part = job.partial + piece * job.channels + chunk.first;
    for (int64_t c = 0; c < chunk.width; ++c) state.value[c] = fresh ? part[c] : state.value[c] + part[c];
  }

  static PC_SSL_INLINE void keep_piece(const PoolJob<T>& job, int64_t piece, const Chunk& chunk, const State& state) {
    Wide<T>* part = job.partial + piece * job.channels + chunk.first;
    for (int64_t c = 0; c < chunk.width; ++c) part[c] = state.value[c];
  }

  static PC_SSL_INLINE void keep_region(const PoolJob<T>& job, int64_t region, int64_t count, const Chunk& chunk,
                                        State& state) {
    const Wide<T> by = static_cast<Wide<T>>(count);
    if (count == 0)
      for (int64_t c = 0; c < chunk.width; ++c) state.value[c] = 0;
    else if (job.mean && count > 1)
      for (int64_t c = 0; c < chunk.width; ++c) state.value[c] /= by;
    keep_values(job, region, chunk, state.value);
  }
};

// Whether any of the vectors seen holds a NaN.
template <typename W, int L>
struct NanWatch {
  decltype(Vector<W, L>{} != Vector<W, L>{}) seen{};

  PC_SSL_INLINE void see(Vector<W, L> a, Vector<W, L> b) { seen |= (a != a) | (b != b); }

  PC_SSL_INLINE bool any() const {
    bool found = false;
    for (int lane = 0; lane < L; ++lane) found |= seen[lane] != 0;
    return found;
  }
};

#if PC_SSL_VECTOR_BYTES == 64
// AVX-512 compares two vectors with each other for "one of them is a NaN" at once.
template <>
struct NanWatch<float, 16> {
  uint16_t seen = 0;
  PC_SSL_INLINE void see(Vector<float, 16> a, Vector<float, 16> b) { seen |= __builtin_ia32_cmpps512_mask(a, b, 3, -1, 4); }
  PC_SSL_INLINE bool any() const { return seen != 0; }
};
template <>
struct NanWatch<double, 8> {
  uint8_t seen = 0;
  PC_SSL_INLINE void see(Vector<double, 8> a, Vector<double, 8> b) { seen |= __builtin_ia32_cmppd512_mask(a, b, 3, -1, 4); }
  PC_SSL_INLINE bool any() const { return seen != 0; }
};
#endif

template <typename T, bool Smallest, bool WithPoint>
struct Extremum {
  struct State {
    Wide<T> value[kChunk<T>];
    int32_t point[kChunk<T>];
  };
  static constexpr int kBlocks = PC_SSL_VECTOR_REGISTERS / (WithPoint ? 4 : 2);

  // A value takes the place of the best so far if it beats it; a NaN beats every number, and nothing beats a NaN.
  static PC_SSL_INLINE bool takes(Wide<T> value, Wide<T> best) {
    return (Smallest ? !(value >= best) : !(value <= best)) && best == best;
  }

  // The plain comparison never takes a NaN, so a run that holds one is done again, one value at a time.
  template <int L, int B>
  static PC_SSL_INLINE void add(const PoolJob<T>& job, int64_t begin, int64_t end, bool fresh, const Chunk& chunk,
                                int64_t c, State& state) {
    using Values = Vector<Wide<T>, L>;
    using Points = Vector<int32_t, L>;
    const SortedRows<T>& rows = job.rows;
    Values best[B];
    Points point[B];
    const int32_t first_point = static_cast<int32_t>(rows.row(begin));
    const T* first_row = rows.feature + first_point * rows.stride + chunk.first + c;
#pragma GCC unroll 16
    for (int b = 0; b < B; ++b) best[b] = fresh ? load<L>(first_row + b * L) : load<L>(state.value + c + b * L);
#pragma GCC unroll 16
    for (int b = 0; WithPoint && b < B; ++b)
      point[b] = fresh ? Points{} + first_point : *reinterpret_cast<const Points*>(state.point + c + b * L);
    NanWatch<Wide<T>, L> nan;
    for (int64_t k = begin; k < end; ++k) {
      if (c == 0) prefetch_chunk<T, B * L>(rows, k + chunk.ahead, chunk);
      const int64_t i = rows.row(k);
      const T* row = rows.feature + i * rows.stride + chunk.first + c;
      Values value[B];
#pragma GCC unroll 16
      for (int b = 0; b < B; ++b) {
        value[b] = load<L>(row + b * L);
        const auto take = Smallest ? value[b] < best[b] : value[b] > best[b];
        best[b] = take ? value[b] : best[b];
        if (WithPoint) point[b] = __builtin_convertvector(take, Points) ? Points{} + static_cast<int32_t>(i) : point[b];
        if (b % 2 || b + 1 == B) nan.see(value[b], value[b - b % 2]);
      }
    }
    if (nan.any()) return add_values(job, begin, end, fresh, chunk, c, B * L, state);
#pragma GCC unroll 16
    for (int b = 0; b < B; ++b) *reinterpret_cast<Values*>(state.value + c + b * L) = best[b];
#pragma GCC unroll 16
    for (int b = 0; WithPoint && b < B; ++b) *reinterpret_cast<Points*>(state.point + c + b * L) = point[b];
  }

  static __attribute__((noinline)) void add_values(const PoolJob<T>& job, int64_t begin, int64_t end, bool fresh,
                                                   const Chunk& chunk, int64_t c, int64_t width, State& state) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t i = job.rows.row(k);
      const T* row = job.rows.feature + i * job.rows.stride + chunk.first;
      for (int64_t at = c; at < c + width; ++at) {
        const Wide<T> value = load<1>(row + at)[0];
        if (!(fresh && k == begin) && !takes(value, state.value[at])) continue;
        state.value[at] = value;
        state.point[at] = static_cast<int32_t>(i);
      }
    }
  }

  static PC_SSL_INLINE void add_piece(const PoolJob<T>& job, int64_t piece, bool fresh, const Chunk& chunk, State& state) {
    const int64_t at = piece * job.channels + chunk.first;
    for (int64_t c = 0; c < chunk.width; ++c) {
      const Wide<T> value = job.partial[at + c];
      if (!fresh && !takes(value, state.value[c])) continue;
      state.value[c] = value;
      if (WithPoint) state.point[c] = job.partial_point[at + c];
    }
  }

  static PC_SSL_INLINE void keep_piece(const PoolJob<T>& job, int64_t piece, const Chunk& chunk, const State& state) {
    const int64_t at = piece * job.channels + chunk.first;
    for (int64_t c = 0; c < chunk.width; ++c) job.partial[at + c] = state.value[c];
    for (int64_t c = 0; WithPoint && c < chunk.width; ++c) job.partial_point[at + c] = state.point[c];
  }

  static PC_SSL_INLINE void keep_region(const PoolJob<T>& job, int64_t region, int64_t count, const Chunk& chunk,
                                        State& state) {
    for (int64_t c = 0; count == 0 && c < chunk.width; ++c) state.value[c] = 0;
    keep_values(job, region, chunk, state.value);
    const int64_t at = region * job.channels + chunk.first;
    for (int64_t c = 0; WithPoint && c < chunk.width; ++c) job.point[at + c] = count ? state.point[c] : -1;
  }
};

// ---- a run of points, a piece, a region -----------------------------------------------------------------------------------

// One pass over [begin, end) for as many whole blocks of B vectors of L channels as fit between c and width; returns the
// next channel.
template <typename T, typename Reduction, int L, int B>
PC_SSL_INLINE int64_t add_blocks(const PoolJob<T>& job, int64_t begin, int64_t end, bool fresh, const Chunk& chunk, int64_t c,
                                 typename Reduction::State& state) {
  if constexpr (B <= Reduction::kBlocks)
    for (; c + B * L <= chunk.width; c += B * L) Reduction::template add<L, B>(job, begin, end, fresh, chunk, c, state);
  return c;
}

// Sorted points [begin, end) into `state`.
template <typename T, typename Reduction>
void add_points(const PoolJob<T>& job, int64_t begin, int64_t end, const Chunk& chunk, typename Reduction::State& state) {
  constexpr int L = kLanes<T>;
  for (int64_t k = begin; k < end; k += chunk.run) {
    const int64_t stop = k + chunk.run < end ? k + chunk.run : end;
    const bool fresh = k == begin;
    int64_t c = 0;
    c = add_blocks<T, Reduction, L, 16>(job, k, stop, fresh, chunk, c, state);
    c = add_blocks<T, Reduction, L, 8>(job, k, stop, fresh, chunk, c, state);
    c = add_blocks<T, Reduction, L, 4>(job, k, stop, fresh, chunk, c, state);
    c = add_blocks<T, Reduction, L, 2>(job, k, stop, fresh, chunk, c, state);
    c = add_blocks<T, Reduction, L, 1>(job, k, stop, fresh, chunk, c, state);
    if constexpr (L > 8) c = add_blocks<T, Reduction, 8, 1>(job, k, stop, fresh, chunk, c, state);
    if constexpr (L > 4) c = add_blocks<T, Reduction, 4, 1>(job, k, stop, fresh, chunk, c, state);
    if constexpr (L > 2) c = add_blocks<T, Reduction, 2, 1>(job, k, stop, fresh, chunk, c, state);
    add_blocks<T, Reduction, 1, 1>(job, k, stop, fresh, chunk, c, state);
  }
}

template <typename T, typename Reduction>
void pieces(const PoolJob<T>& job, int64_t begin, int64_t end) {
  typename Reduction::State state;
  for (int64_t p = begin; p < end; ++p)
    for (int64_t c = 0; c < job.channels; c += kChunk<T>) {
      const Chunk chunk = chunk_at<T, Reduction>(c, job.channels);
      add_points<T, Reduction>(job, job.piece[p].begin, job.piece[p].end, chunk, state);
      Reduction::keep_piece(job, p, chunk, state);
    }
}

template <typename T, typename Reduction>
void regions(const PoolJob<T>& job, int64_t begin, int64_t end) {
  typename Reduction::State state;
  const Chunk first = chunk_at<T, Reduction>(0, job.channels);
  int64_t piece = 0;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t count = job.offsets[r + 1] - job.offsets[r];
    const bool is_long = count > kPiece;
    while (is_long && job.piece[piece].region < r) ++piece;
    for (int64_t c = 0; c < job.channels; c += kChunk<T>) {
      const Chunk chunk = c == 0 ? first : chunk_at<T, Reduction>(c, job.channels);
      if (is_long)
        for (int64_t p = piece; p < job.num_pieces && job.piece[p].region == r; ++p)
          Reduction::add_piece(job, p, p == piece, chunk, state);
      else if (count > 0)
        add_points<T, Reduction>(job, job.offsets[r], job.offsets[r + 1], chunk, state);
      Reduction::keep_region(job, r, count, chunk, state);
    }
  }
  if (job.stream) end_stream();
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

}  // namespace
}  // namespace pc_ssl::cpu

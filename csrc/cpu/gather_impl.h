// Regions to points. Part of loops_impl.h, see there.
namespace pc_ssl::cpu {
namespace {

template <bool Stream, typename T>
PC_SSL_INLINE void divide_row(const T* in, int64_t count, int64_t channels, T* out) {
  const Wide<T> factor = Wide<T>{1} / static_cast<Wide<T>>(count > 1 ? count : 1);
  constexpr int L = kLanes<T>;
  int64_t c = 0;
  if constexpr (std::is_same_v<T, Wide<T>>)
    for (; c + L <= channels; c += L) put<Stream, T, L>(load<L>(in + c) * factor, out + c);
  for (; c < channels; ++c) store(load<1>(in + c)[0] * factor, out + c);
}

template <typename T>
void divide_rows(const T* in, const int64_t* counts, int64_t channels, int64_t begin, int64_t end, T* out) {
  for (int64_t r = begin; r < end; ++r) divide_row<false>(in + r * channels, counts[r], channels, out + r * channels);
}

// Element c where point[c] is `me`, else 0.
template <bool Stream, typename Bits>
PC_SSL_INLINE void select_row(const Bits* in, const int32_t* point, int32_t me, int64_t channels, Bits* out) {
  constexpr int L = PC_SSL_VECTOR_BYTES / (sizeof(Bits) < 4 ? 4 : sizeof(Bits));
  int64_t c = 0;
  for (; c + L <= channels; c += L) {
    const auto mine = *reinterpret_cast<const Vector<int32_t, L>*>(point + c) == me;
    const auto mask = reinterpret_cast<const Vector<int32_t, L>&>(mine);
    const auto all = *reinterpret_cast<const Vector<Bits, L>*>(in + c);
    put<Stream, Bits, L>(all & __builtin_convertvector(mask, Vector<Bits, L>), out + c);
  }
  for (; c < channels; ++c) out[c] = point[c] == me ? in[c] : Bits{0};
}

// Calls write(region, i) for every point of [begin, end) and writes zeros for those of no region. Fetches the rows of later
// points ahead by fetch(region).
template <bool Stream, typename Id, typename Fetch, typename Write>
PC_SSL_INLINE int64_t for_each_row(const GatherJob<Id>& job, int64_t begin, int64_t end, Fetch fetch, Write write) {
  constexpr int64_t kAhead = 8;
  int64_t bad = -1;
  for (int64_t i = begin; i < end; ++i) {
    const Id next = job.region[i + kAhead < end ? i + kAhead : i];
    fetch(next < 0 || next >= job.num_regions ? 0 : static_cast<int64_t>(next));
    const Id region = job.region[i];
    if (out_of_range(region, job.num_regions)) {
      bad = i;
      break;
    }
    char* out = static_cast<char*>(job.out) + i * job.row_bytes;
    if (region < 0)
      for (int64_t at = 0; at < job.row_bytes; ++at) out[at] = 0;
    else
      write(static_cast<int64_t>(region), i);
  }
  if (Stream) end_stream();
  return bad;
}

#define PC_SSL_LAMBDA(...) [&](__VA_ARGS__) __attribute__((always_inline))

template <typename Id, bool Stream>
int64_t copy_rows(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  const char* table = static_cast<const char*>(job.table);
  char* out = static_cast<char*>(job.out);
  return for_each_row<Stream>(
      job, begin, end, PC_SSL_LAMBDA(int64_t region) { prefetch_row(table + region * job.row_bytes, job.row_bytes); },
      PC_SSL_LAMBDA(int64_t region, int64_t i) {
        copy_row<Stream>(table + region * job.row_bytes, job.row_bytes, out + i * job.row_bytes);
      });
}

template <typename Id, typename T, bool Stream>
int64_t divided_rows(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  const int64_t channels = job.row_bytes / static_cast<int64_t>(sizeof(T));
  const T* table = static_cast<const T*>(job.table);
  T* out = static_cast<T*>(job.out);
  return for_each_row<Stream>(
      job, begin, end,
      PC_SSL_LAMBDA(int64_t region) {
        prefetch_row(reinterpret_cast<const char*>(table + region * channels), job.row_bytes);
        __builtin_prefetch(job.counts + region);
      },
      PC_SSL_LAMBDA(int64_t region, int64_t i) {
        divide_row<Stream>(table + region * channels, job.counts[region], channels, out + i * channels);
      });
}

template <typename Id, typename Bits, bool Stream>
int64_t selected_rows(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  const int64_t channels = job.row_bytes / static_cast<int64_t>(sizeof(Bits));
  const Bits* table = static_cast<const Bits*>(job.table);
  Bits* out = static_cast<Bits*>(job.out);
  return for_each_row<Stream>(
      job, begin, end,
      PC_SSL_LAMBDA(int64_t region) {
        prefetch_row(reinterpret_cast<const char*>(table + region * channels), job.row_bytes);
        prefetch_row(reinterpret_cast<const char*>(job.point + region * channels), channels * 4);
      },
      PC_SSL_LAMBDA(int64_t region, int64_t i) {
        select_row<Stream>(table + region * channels, job.point + region * channels, static_cast<int32_t>(i), channels,
                           out + i * channels);
      });
}

template <typename Id>
int64_t gather_copy(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  return job.stream ? copy_rows<Id, true>(job, begin, end) : copy_rows<Id, false>(job, begin, end);
}

template <typename Id, typename T>
int64_t gather_divided(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  return job.stream ? divided_rows<Id, T, true>(job, begin, end) : divided_rows<Id, T, false>(job, begin, end);
}

template <typename Id, typename Bits>
int64_t gather_selected(const GatherJob<Id>& job, int64_t begin, int64_t end) {
  return job.stream ? selected_rows<Id, Bits, true>(job, begin, end) : selected_rows<Id, Bits, false>(job, begin, end);
}

}  // namespace
}  // namespace pc_ssl::cpu

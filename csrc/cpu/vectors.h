// Vectors of the compiler's own type: loading, storing, fetching. Part of loops_impl.h, see there.
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

template <int Bytes>
PC_SSL_INLINE void prefetch_bytes(const char* from) {
#pragma GCC unroll 16
  for (int byte = 0; byte < Bytes; byte += 64) __builtin_prefetch(from + byte);
}

PC_SSL_INLINE void prefetch_row(const char* row, int64_t bytes) {
  int64_t byte = 0;
  for (; byte + 256 <= bytes; byte += 256) prefetch_bytes<256>(row + byte);
  for (; byte < bytes; byte += 64) __builtin_prefetch(row + byte);
}

// L adjacent numbers to any address or, for whole vectors at an address that fits them, past the caches where that is known.
template <bool Stream, typename T, int L>
PC_SSL_INLINE void put(Vector<T, L> value, T* out) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  if constexpr (Stream && L * sizeof(T) == PC_SSL_VECTOR_BYTES) {
    typedef float Whole __attribute__((vector_size(PC_SSL_VECTOR_BYTES), may_alias));
#if PC_SSL_VECTOR_BYTES == 64
    __builtin_ia32_movntps512(reinterpret_cast<float*>(out), reinterpret_cast<const Whole&>(value));
#elif PC_SSL_VECTOR_BYTES == 32
    __builtin_ia32_movntps256(reinterpret_cast<float*>(out), reinterpret_cast<const Whole&>(value));
#else
    __builtin_ia32_movntps(reinterpret_cast<float*>(out), reinterpret_cast<const Whole&>(value));
#endif
    return;
  }
#endif
  *reinterpret_cast<Vector<T, L>*>(out) = value;
}

// Other threads see streamed rows after this.
PC_SSL_INLINE void end_stream() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  __builtin_ia32_sfence();
#endif
}

template <int Bytes, bool Stream>
PC_SSL_INLINE void copy_bytes(const char* in, char* out) {
  put<Stream, char, Bytes>(*reinterpret_cast<const Vector<char, Bytes>*>(in), out);
}

template <bool Stream>
PC_SSL_INLINE void copy_row(const char* in, int64_t bytes, char* out) {
  constexpr int V = PC_SSL_VECTOR_BYTES;
  int64_t at = 0;
  for (; at + V <= bytes; at += V) copy_bytes<V, Stream>(in + at, out + at);
  if (at == bytes) return;
  if (bytes >= V) return copy_bytes<V, false>(in + bytes - V, out + bytes - V);  // overlaps the vector before
  for (; at + 8 <= bytes; at += 8) copy_bytes<8, false>(in + at, out + at);
  for (; at < bytes; ++at) out[at] = in[at];
}

}  // namespace
}  // namespace pc_ssl::cpu

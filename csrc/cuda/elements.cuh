// Numbers as the kernels hold them, and packs of them that move in one instruction.
#pragma once

#include <cassert>  // once, and before cuda_runtime.h: the stand-in for it on the host has an assert of its own

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pc_ssl::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kVectorBytes = 16;  // the widest load of a thread

// The type in which elements are added and compared.
template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline float widen(__half x) { return __half2float(x); }
__device__ inline float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

__device__ inline void narrow(float x, float& out) { out = x; }
__device__ inline void narrow(double x, double& out) { out = x; }
__device__ inline void narrow(float x, __half& out) { out = __float2half_rn(x); }
__device__ inline void narrow(float x, __nv_bfloat16& out) { out = __float2bfloat16_rn(x); }

// V adjacent elements. Their address is a multiple of the pack's size, or of 16 bytes for larger packs.
template <typename T, int V>
struct Pack {
  T value[V];
};

template <int Bytes>
struct WordOf;
template <>
struct WordOf<2> {
  using type = unsigned short;
};
template <>
struct WordOf<4> {
  using type = unsigned;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<16> {
  using type = uint4;
};

// A pack as the machine words that carry it.
template <typename T, int V>
struct Words {
  static constexpr int kBytes = sizeof(Pack<T, V>);
  using Word = typename WordOf<kBytes <= kVectorBytes ? kBytes : kVectorBytes>::type;
  static constexpr int kCount = kBytes / sizeof(Word);
};

// `from` is read once: it need not stay in the cache.
template <int V, typename T>
__device__ inline Pack<T, V> load_streaming(const T* from) {
  using W = Words<T, V>;
  typename W::Word word[W::kCount];
#pragma unroll
  for (int i = 0; i < W::kCount; ++i) word[i] = __ldcs(reinterpret_cast<const typename W::Word*>(from) + i);
  Pack<T, V> pack;
  memcpy(&pack, word, sizeof(pack));
  return pack;
}

// `from` is read again by other threads, and not written while the kernel runs.
template <int V, typename T>
__device__ inline Pack<T, V> load_cached(const T* from) {
  using W = Words<T, V>;
  typename W::Word word[W::kCount];
#pragma unroll
  for (int i = 0; i < W::kCount; ++i) word[i] = __ldg(reinterpret_cast<const typename W::Word*>(from) + i);
  Pack<T, V> pack;
  memcpy(&pack, word, sizeof(pack));
  return pack;
}

template <typename T, int V>
__device__ inline void store_streaming(T* to, const Pack<T, V>& pack) {
  using W = Words<T, V>;
  typename W::Word word[W::kCount];
  memcpy(word, &pack, sizeof(pack));
#pragma unroll
  for (int i = 0; i < W::kCount; ++i) __stcs(reinterpret_cast<typename W::Word*>(to) + i, word[i]);
}

template <typename T, int V>
__device__ inline void store(T* to, const Pack<T, V>& pack) {
  using W = Words<T, V>;
  typename W::Word word[W::kCount];
  memcpy(word, &pack, sizeof(pack));
#pragma unroll
  for (int i = 0; i < W::kCount; ++i) reinterpret_cast<typename W::Word*>(to)[i] = word[i];
}

// Region ids as they come, int32 or int64. Both in one kernel: the cost of the test is hidden by the load.
struct Ids {
  const void* data;
  bool wide;
  int64_t size;

  __device__ int64_t at(int64_t i) const {
    return wide ? __ldg(static_cast<const int64_t*>(data) + i) : __ldg(static_cast<const int32_t*>(data) + i);
  }
  // Neither -1, for no region, nor one of 0 .. num_regions - 1.
  __device__ bool out_of_range(int64_t i, int64_t num_regions) const { return at(i) < -1 || at(i) >= num_regions; }
};

}  // namespace pc_ssl::cuda

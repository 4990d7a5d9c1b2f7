// Stands in for CUDA's header of this name: what the kernels use of the language and of the device. The threads of a block
// are fibers of one host thread; a warp runs as far as it gets without the others, and which warp and which lane goes first
// is drawn anew at every meeting, so that a missing barrier shows as a wrong result. Blocks run one after the other, also in
// a drawn order. A missing __syncwarp next to another collective is not detected: here memory is always in order.
//
// Stricter than a GPU: a lane that is missing from its warp's collective, a thread that has left before its block's barrier,
// lanes in different collectives, and a misaligned access through these functions all end the launch with a message.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "cuda_runtime_api.h"

#define __global__ inline  // so that all shared memory can go into one section
#define __device__
#define __host__
#define __launch_bounds__(...)
// Blocks run one after the other, so a block's memory can be static. The executor spoils it before every block.
#define __shared__ static __attribute__((section("pc_ssl_shared")))

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
};

extern dim3 blockIdx, threadIdx;  // of the thread that runs

namespace shim {

enum class Collective { kSync, kShuffle, kBallot, kMatch };

cudaError_t run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& thread_body);
void block_barrier();
// Waits for all lanes of the warp and returns what each has brought.
const uint64_t* exchange(unsigned mask, Collective kind, uint64_t value);
[[noreturn]] void fail(const char* message);

template <typename T>
void require_aligned(const T* p) {
  if (reinterpret_cast<std::uintptr_t>(p) % sizeof(T)) fail("misaligned access");
}

template <typename T>
uint64_t bits_of(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T value_of(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace shim

#undef assert
#define assert(condition) ((condition) ? static_cast<void>(0) : shim::fail("assertion failed: " #condition))

using std::max;
using std::min;

template <typename... Formal, typename... Actual>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Formal...), Actual&&... args) {
  return shim::run_grid(*config, [&] { kernel(args...); });
}

inline void __syncthreads() { shim::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { shim::exchange(mask, shim::Collective::kSync, 0); }

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  const uint64_t* of_lane = shim::exchange(mask, shim::Collective::kShuffle, shim::bits_of(value));
  return shim::value_of<T>(of_lane[(threadIdx.x % 32) ^ static_cast<unsigned>(lane_mask)]);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
  const uint64_t* of_lane = shim::exchange(mask, shim::Collective::kShuffle, shim::bits_of(value));
  const unsigned lane = threadIdx.x % 32;
  return shim::value_of<T>(of_lane[lane >= distance ? lane - distance : lane]);
}

inline unsigned __ballot_sync(unsigned mask, bool predicate) {
  const uint64_t* of_lane = shim::exchange(mask, shim::Collective::kBallot, predicate);
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) votes |= static_cast<unsigned>(of_lane[lane]) << lane;
  return votes;
}

template <typename T>
unsigned __match_any_sync(unsigned mask, T value) {
  const uint64_t* of_lane = shim::exchange(mask, shim::Collective::kMatch, shim::bits_of(value));
  unsigned peers = 0;
  for (unsigned lane = 0; lane < 32; ++lane) peers |= unsigned(of_lane[lane] == shim::bits_of(value)) << lane;
  return peers;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }

// As on the device exact where x is a multiple of a half.
inline void sincospi(double x, double* sine, double* cosine) {
  const double turned = std::remainder(x, 2.0);
  const int quarters = static_cast<int>(std::rint(2 * turned));  // -2 to 2
  const long double rest = 3.141592653589793238462643383279502884L * (turned - 0.5 * quarters);
  const double s = static_cast<double>(std::sin(rest)), c = static_cast<double>(std::cos(rest));
  *sine = quarters == 0 ? s : quarters == 1 ? c : quarters == -1 ? -c : -s;
  *cosine = quarters == 0 ? c : quarters == 1 ? -s : quarters == -1 ? s : -c;
}

template <typename T>
T __ldg(const T* from) {
  shim::require_aligned(from);
  return *from;
}

template <typename T>
T __ldcs(const T* from) {
  shim::require_aligned(from);
  return *from;
}

template <typename T>
void __stcs(T* to, T value) {
  shim::require_aligned(to);
  *to = value;
}

template <typename T>
T atomicAdd(T* at, T value) {
  const T old = *at;
  *at += value;
  return old;
}

template <typename T>
T atomicMin(T* at, T value) {
  const T old = *at;
  *at = std::min(old, value);
  return old;
}

// How a call of the host becomes launches and places in a workspace.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace pc_ssl::cuda {

inline int64_t blocks_for(int64_t work, int64_t per_block) { return (work + per_block - 1) / per_block; }

template <typename... Formal, typename... Actual>
cudaError_t launch(void (*kernel)(Formal...), int64_t blocks, int64_t channel_pieces, int threads, cudaStream_t stream,
                   Actual... args) {
  if (blocks == 0 || channel_pieces == 0) return cudaSuccess;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(channel_pieces));
  config.blockDim = dim3(threads);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, Formal(args)...);
}

// The parts of a workspace, one after the other.
class Workspace {
 public:
  explicit Workspace(void* begin) : begin_(static_cast<char*>(begin)) {}

  template <typename T>
  T* take(int64_t count) {
    T* part = reinterpret_cast<T*>(begin_ + used_);
    used_ += (count * sizeof(T) + 255) / 256 * 256;
    return part;
  }
  std::size_t used() const { return used_; }

 private:
  char* begin_;
  std::size_t used_ = 0;
};

}  // namespace pc_ssl::cuda

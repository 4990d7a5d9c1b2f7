// Stands in for CUDA's header of this name, so that the kernels' own source compiles with a host compiler and runs there.
#pragma once

#include <cstddef>

enum cudaError_t { cudaSuccess = 0, cudaErrorAssert = 710 };
using cudaStream_t = struct CUstream_st*;

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream);

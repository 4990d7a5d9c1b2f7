// Host interface: region_pool.h's contract on device memory, with raw pointers and a stream, and no torch.
//
// Every call only enqueues: none waits for the device and none allocates, so the caller brings the workspace, of the stated
// bytes and aligned to 256. How much is launched depends on sizes alone. Tensors are contiguous unless a stride is given.
// Sizes are the caller's to check (checks.h); a returned error is the launch's own.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace pc_ssl::cuda {

enum class Element { kFloat32, kFloat64, kFloat16, kBFloat16 };

struct IdsView {
  const void* data;  // [N]
  bool wide;         // int64, else int32
  int64_t size;
};

struct PlanView {
  const int32_t* order;    // [N]
  const int64_t* offsets;  // [R + 1]
  int64_t num_points;
  int64_t num_regions;
};

struct RowsView {
  const void* data;  // [rows, channels]
  int64_t stride;    // between rows, in elements
  int64_t channels;
  Element element;
};

constexpr unsigned kNoBadId = 0xffffffffu;

// `first_bad` is where the device writes the position of the first id that is neither -1 nor below num_regions, or kNoBadId.
std::size_t plan_workspace(int64_t num_points);
cudaError_t build_plan(IdsView ids, int64_t num_regions, int32_t* order, int64_t* offsets, unsigned* first_bad,
                       void* workspace, cudaStream_t stream);

std::size_t pool_workspace(const PlanView& plan, const RowsView& feature, bool extremum);
cudaError_t region_sum(const PlanView& plan, const RowsView& feature, bool mean, void* pooled, void* workspace,
                       cudaStream_t stream);
cudaError_t region_extremum(const PlanView& plan, const RowsView& feature, bool largest, void* pooled, int32_t* point,
                            void* workspace, cudaStream_t stream);  // `point` may be null

// An id out of range ends the kernel with a device assertion: nothing outside `table` is read.
cudaError_t region_gather(const RowsView& table, IdsView ids, int64_t num_regions, const int64_t* counts, void* out,
                          cudaStream_t stream);  // `counts` may be null
cudaError_t region_extremum_grad(const RowsView& grad, const int32_t* point, IdsView ids, int64_t num_regions, void* out,
                                 cudaStream_t stream);

}  // namespace pc_ssl::cuda

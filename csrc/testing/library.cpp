// The calls of cuda/launch.h and cuda/rotated_launch.h with C linkage, for Python's ctypes. Each returns null or what went wrong. The workspace is as
// large as asked for and starts as rubbish, as on a device.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "cuda/launch.h"
#include "cuda/rotated_launch.h"
#include "testing/executor.h"

using namespace pc_ssl::cuda;

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

std::unique_ptr<void, Free> workspace_of(std::size_t bytes) {
  void* memory = std::aligned_alloc(256, bytes + (bytes == 0 ? 256 : 0));
  std::memset(memory, 0xa5, bytes);
  return std::unique_ptr<void, Free>(memory);
}

const char* outcome(cudaError_t error) { return error == cudaSuccess ? nullptr : shim::last_failure(); }

}  // namespace

extern "C" {

void shim_schedule(uint64_t seed) { shim::schedule(seed); }

const char* shim_plan(IdsView ids, int64_t num_regions, int32_t* order, int64_t* offsets, unsigned* first_bad) {
  const auto workspace = workspace_of(plan_workspace(ids.size));
  return outcome(build_plan(ids, num_regions, order, offsets, first_bad, workspace.get(), nullptr));
}

const char* shim_sum(PlanView plan, RowsView feature, bool mean, void* pooled) {
  const auto workspace = workspace_of(pool_workspace(plan, feature, false));
  return outcome(region_sum(plan, feature, mean, pooled, workspace.get(), nullptr));
}

const char* shim_extremum(PlanView plan, RowsView feature, bool largest, void* pooled, int32_t* point) {
  const auto workspace = workspace_of(pool_workspace(plan, feature, true));
  return outcome(region_extremum(plan, feature, largest, pooled, point, workspace.get(), nullptr));
}

const char* shim_gather(RowsView table, IdsView ids, int64_t num_regions, const int64_t* counts, void* out) {
  return outcome(region_gather(table, ids, num_regions, counts, out, nullptr));
}

const char* shim_extremum_grad(RowsView grad, const int32_t* point, IdsView ids, int64_t num_regions, void* out) {
  return outcome(region_extremum_grad(grad, point, ids, num_regions, out, nullptr));
}

const char* shim_rotated_iou(RowsView a, int64_t n, RowsView b, int64_t m, bool in_3d, void* out) {
  const auto workspace = workspace_of(rotated_iou_workspace(n, m, a.element));
  return outcome(rotated_iou(a, n, b, m, in_3d, out, workspace.get(), nullptr));
}

const char* shim_rotated_nms(RowsView boxes, int64_t n, const int64_t* group, double threshold, int64_t max_kept,
                             bool* kept) {
  const auto workspace = workspace_of(rotated_nms_workspace(n, boxes.element));
  return outcome(rotated_nms(boxes, n, group, threshold, max_kept, kept, workspace.get(), nullptr));
}

const char* shim_circle_nms(RowsView center, int64_t n, const void* squared_distance, const int64_t* group,
                            int64_t max_kept, bool* kept) {
  const auto workspace = workspace_of(circle_nms_workspace(n));
  return outcome(circle_nms(center, n, squared_distance, group, max_kept, kept, workspace.get(), nullptr));
}

}  // extern "C"

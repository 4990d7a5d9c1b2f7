// The contract of rotated_boxes.h on CUDA: checks, memory and streams of torch around the launches of cuda/rotated_launch.h.
//
// Nothing here waits for the device.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <optional>

#include "box_checks.h"
#include "cuda/bind.h"
#include "cuda/rotated_launch.h"

namespace pc_ssl::cuda {
namespace {

using at::Tensor;
using std::optional;

optional<Tensor> adjacent(const optional<Tensor>& group) {
  return group ? optional<Tensor>(group->contiguous()) : std::nullopt;
}

const int64_t* pointer_or_null(const optional<Tensor>& group) {
  return group ? group->const_data_ptr<int64_t>() : nullptr;
}

Tensor rotated_iou_cuda(const Tensor& a, const Tensor& b, bool in_3d) {
  check_box_pair(a, b);
  const c10::cuda::CUDAGuard guard(a.device());
  const Tensor rows = with_adjacent_channels(a), others = with_adjacent_channels(b);
  const int64_t n = rows.size(0), m = others.size(0);
  const Tensor out = at::empty({n, m}, a.options());
  const Tensor memory = workspace(rotated_iou_workspace(n, m, element_of(a)), a);
  C10_CUDA_CHECK(rotated_iou(rows_view(rows), n, rows_view(others), m, in_3d, out.mutable_data_ptr(),
                             memory.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()));
  return out;
}

Tensor rotated_nms_cuda(const Tensor& boxes, const optional<Tensor>& group, double threshold, optional<int64_t> max_kept) {
  check_box_rows("boxes", boxes, kBoxColumns);
  check_group(group, boxes);
  const c10::cuda::CUDAGuard guard(boxes.device());
  const Tensor rows = with_adjacent_channels(boxes);
  const optional<Tensor> groups = adjacent(group);
  const int64_t n = rows.size(0);
  const Tensor kept = at::empty({n}, boxes.options().dtype(at::kBool));
  const Tensor memory = workspace(rotated_nms_workspace(n, element_of(boxes)), boxes);
  C10_CUDA_CHECK(rotated_nms(rows_view(rows), n, pointer_or_null(groups), threshold, max_kept.value_or(n),
                             kept.mutable_data_ptr<bool>(), memory.mutable_data_ptr(),
                             c10::cuda::getCurrentCUDAStream()));
  return kept;
}

Tensor circle_nms_cuda(const Tensor& center, const Tensor& squared_distance, const optional<Tensor>& group,
                       optional<int64_t> max_kept) {
  check_box_rows("center", center, 2);
  check_per_row("squared_distance", squared_distance, center.scalar_type(), center);
  check_group(group, center);
  const c10::cuda::CUDAGuard guard(center.device());
  const Tensor rows = with_adjacent_channels(center), reaches = squared_distance.contiguous();
  const optional<Tensor> groups = adjacent(group);
  const int64_t n = rows.size(0);
  const Tensor kept = at::empty({n}, center.options().dtype(at::kBool));
  const Tensor memory = workspace(circle_nms_workspace(n), center);
  C10_CUDA_CHECK(circle_nms(rows_view(rows), n, reaches.const_data_ptr(), pointer_or_null(groups), max_kept.value_or(n),
                            kept.mutable_data_ptr<bool>(), memory.mutable_data_ptr(),
                            c10::cuda::getCurrentCUDAStream()));
  return kept;
}

}  // namespace

TORCH_LIBRARY_IMPL(pc_ssl, CUDA, m) {
  m.impl("rotated_iou", rotated_iou_cuda);
  m.impl("rotated_nms", rotated_nms_cuda);
  m.impl("circle_nms", circle_nms_cuda);
}

}  // namespace pc_ssl::cuda

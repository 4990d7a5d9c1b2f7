// The contract of region_pool.h on CUDA: checks, memory and streams of torch around the launches of cuda/launch.h.
//
// Ids are checked where a plan is made, which waits for the device once; with a plan nothing here waits.
#include <ATen/core/Tensor.h>
#include <ATen/ops/diff.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <optional>
#include <tuple>

#include "checks.h"
#include "cuda/bind.h"
#include "cuda/launch.h"

namespace pc_ssl::cuda {
namespace {

using at::Tensor;
using std::optional;

IdsView ids_view(const Tensor& ids) { return {ids.const_data_ptr(), ids.scalar_type() == at::kLong, ids.numel()}; }

struct SortedPoints {
  Tensor order;
  Tensor offsets;

  PlanView view() const {
    return {order.const_data_ptr<int32_t>(), offsets.const_data_ptr<int64_t>(), order.numel(), offsets.numel() - 1};
  }
};

SortedPoints sort_points(const Tensor& region, int64_t num_regions) {
  const Tensor ids = region.contiguous();
  const SortedPoints sorted{at::empty(ids.sizes(), ids.options().dtype(at::kInt)),
                            at::empty({num_regions + 1}, ids.options().dtype(at::kLong))};
  const Tensor first_bad = at::empty({}, ids.options().dtype(at::kInt));
  const Tensor memory = workspace(plan_workspace(ids.numel()), ids);
  C10_CUDA_CHECK(build_plan(ids_view(ids), num_regions, sorted.order.mutable_data_ptr<int32_t>(),
                            sorted.offsets.mutable_data_ptr<int64_t>(),
                            reinterpret_cast<unsigned*>(first_bad.mutable_data_ptr<int32_t>()), memory.mutable_data_ptr(),
                            c10::cuda::getCurrentCUDAStream()));
  const auto position = static_cast<unsigned>(first_bad.item<int32_t>());  // waits
  TORCH_CHECK_VALUE(position == kNoBadId, bad_id_message(position, ids[position].item<int64_t>(), num_regions));
  return sorted;
}

SortedPoints plan_or_sort(const Tensor& region, int64_t num_regions, const optional<Tensor>& order,
                          const optional<Tensor>& offsets) {
  return order ? SortedPoints{*order, *offsets} : sort_points(region, num_regions);
}

std::tuple<Tensor, Tensor> region_plan(const Tensor& region, int64_t num_regions) {
  check_region(region, num_regions);
  const c10::cuda::CUDAGuard guard(region.device());
  const SortedPoints sorted = sort_points(region, num_regions);
  return {sorted.order, sorted.offsets};
}

std::tuple<Tensor, Tensor> region_sum_cuda(const Tensor& feature, const Tensor& region, int64_t num_regions, bool mean,
                                           const optional<Tensor>& order, const optional<Tensor>& offsets) {
  check_pooling(feature, region, num_regions, order, offsets);
  const c10::cuda::CUDAGuard guard(region.device());
  const SortedPoints sorted = plan_or_sort(region, num_regions, order, offsets);
  const Tensor input = with_adjacent_channels(feature);
  const Tensor pooled = at::empty({num_regions, feature.size(1)}, feature.options());
  const Tensor memory = workspace(pool_workspace(sorted.view(), rows_view(input), false), region);
  C10_CUDA_CHECK(region_sum(sorted.view(), rows_view(input), mean, pooled.mutable_data_ptr(), memory.mutable_data_ptr(),
                            c10::cuda::getCurrentCUDAStream()));
  return {pooled, at::diff(sorted.offsets)};
}

std::tuple<Tensor, Tensor> region_extremum_cuda(const Tensor& feature, const Tensor& region, int64_t num_regions,
                                                bool largest, bool with_point, const optional<Tensor>& order,
                                                const optional<Tensor>& offsets) {
  check_pooling(feature, region, num_regions, order, offsets);
  const c10::cuda::CUDAGuard guard(region.device());
  const SortedPoints sorted = plan_or_sort(region, num_regions, order, offsets);
  const Tensor input = with_adjacent_channels(feature);
  const Tensor pooled = at::empty({num_regions, feature.size(1)}, feature.options());
  const Tensor point = at::empty({with_point ? num_regions : 0, feature.size(1)}, region.options().dtype(at::kInt));
  const Tensor memory = workspace(pool_workspace(sorted.view(), rows_view(input), true), region);
  C10_CUDA_CHECK(region_extremum(sorted.view(), rows_view(input), largest, pooled.mutable_data_ptr(),
                                 with_point ? point.mutable_data_ptr<int32_t>() : nullptr, memory.mutable_data_ptr(),
                                 c10::cuda::getCurrentCUDAStream()));
  return {pooled, point};
}

Tensor region_gather_cuda(const Tensor& region_feature, const Tensor& region, const optional<Tensor>& counts,
                          const optional<Tensor>& order, const optional<Tensor>& offsets) {
  check_table("region_feature", region_feature, region);
  check_plan_sizes(region, region_feature.size(0), order, offsets);
  if (counts) check_counts(*counts, region_feature);
  const c10::cuda::CUDAGuard guard(region.device());
  const int64_t num_regions = region_feature.size(0);
  if (!order) sort_points(region, num_regions);  // for its check: with a plan the ids are known to be good
  const Tensor table = region_feature.contiguous();
  const Tensor ids = region.contiguous();
  const Tensor out = at::empty({ids.numel(), table.size(1)}, table.options());
  C10_CUDA_CHECK(region_gather(rows_view(table), ids_view(ids), num_regions,
                               counts ? counts->const_data_ptr<int64_t>() : nullptr, out.mutable_data_ptr(),
                               c10::cuda::getCurrentCUDAStream()));
  return out;
}

// The ids passed the forward's check.
Tensor region_extremum_grad_cuda(const Tensor& grad, const Tensor& point, const Tensor& region) {
  check_table("grad", grad, region);
  check_point(point, grad);
  const c10::cuda::CUDAGuard guard(region.device());
  const Tensor table = grad.contiguous();
  const Tensor points = point.contiguous();
  const Tensor ids = region.contiguous();
  const Tensor out = at::empty({ids.numel(), table.size(1)}, table.options());
  C10_CUDA_CHECK(region_extremum_grad(rows_view(table), points.const_data_ptr<int32_t>(), ids_view(ids), table.size(0),
                                      out.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()));
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(pc_ssl, CUDA, m) {
  m.impl("region_plan", region_plan);
  m.impl("region_sum", region_sum_cuda);
  m.impl("region_extremum", region_extremum_cuda);
  m.impl("region_extremum_grad", region_extremum_grad_cuda);
  m.impl("region_gather", region_gather_cuda);
}

}  // namespace pc_ssl::cuda

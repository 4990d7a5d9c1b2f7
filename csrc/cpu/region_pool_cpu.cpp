// The contract of region_pool.h on the CPU.
#include "region_pool.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <limits>
#include <tuple>

namespace pc_ssl {
namespace {

using at::Tensor;
using std::optional;

void check_region(const Tensor& region, int64_t num_regions) {
  TORCH_CHECK_VALUE(region.dim() == 1, "region must be [N], got ", region.sizes());
  TORCH_CHECK_VALUE(region.scalar_type() == at::kInt || region.scalar_type() == at::kLong,
                    "region must be int32 or int64, got ", region.scalar_type());
  TORCH_CHECK_VALUE(num_regions >= 0, "num_regions must not be negative, got ", num_regions);
  TORCH_CHECK_VALUE(region.size(0) <= kMaxRows && num_regions <= kMaxRows,
                    "points and regions must number below 2^31, got ", region.size(0), " and ", num_regions);
}

void check_feature(const char* name, const Tensor& feature, const Tensor& region) {
  TORCH_CHECK_VALUE(feature.dim() == 2, name, " must be two-dimensional, got ", feature.sizes());
  TORCH_CHECK_VALUE(feature.is_floating_point(), name, " must be floating point, got ", feature.scalar_type());
  TORCH_CHECK_VALUE(feature.device() == region.device(), name, " is on ", feature.device(), ", region on ",
                    region.device());
}

template <typename F>
void for_each_point(const Tensor& region, int64_t num_regions, F&& visit) {
  AT_DISPATCH_INDEX_TYPES(region.scalar_type(), "region", [&] {
    const auto ids = region.contiguous();
    const index_t* id = ids.const_data_ptr<index_t>();
    for (int64_t i = 0; i < ids.numel(); ++i) {
      TORCH_CHECK_VALUE(id[i] < num_regions, "region[", i, "] is ", id[i], ", expected below num_regions = ", num_regions);
      if (id[i] >= 0) visit(i, static_cast<int64_t>(id[i]));
    }
  });
}

std::tuple<Tensor, Tensor> region_plan(const Tensor& region, int64_t num_regions) {
  check_region(region, num_regions);
  Tensor offsets = at::zeros({num_regions + 1}, region.options().dtype(at::kLong));
  int64_t* begin = offsets.mutable_data_ptr<int64_t>();
  for_each_point(region, num_regions, [&](int64_t, int64_t r) { ++begin[r + 1]; });
  for (int64_t r = 0; r < num_regions; ++r) begin[r + 1] += begin[r];
  Tensor order = at::empty({region.size(0)}, region.options().dtype(at::kInt));
  int32_t* rank = order.mutable_data_ptr<int32_t>();
  std::vector<int64_t> next(begin, begin + num_regions);
  int64_t outside = begin[num_regions];
  int64_t seen = 0;
  for_each_point(region, num_regions, [&](int64_t i, int64_t r) {
    for (; seen < i; ++seen) rank[outside++] = static_cast<int32_t>(seen);
    rank[next[r]++] = static_cast<int32_t>(i);
    ++seen;
  });
  for (; seen < region.size(0); ++seen) rank[outside++] = static_cast<int32_t>(seen);
  return {order, offsets};
}

std::tuple<Tensor, Tensor> region_sum(const Tensor& feature, const Tensor& region, int64_t num_regions, bool mean,
                                      const optional<Tensor>&, const optional<Tensor>&) {
  check_region(region, num_regions);
  check_feature("feature", feature, region);
  TORCH_CHECK_VALUE(feature.size(0) == region.size(0), "feature has ", feature.size(0), " rows, region ", region.size(0));
  const int64_t channels = feature.size(1);
  Tensor counts = at::zeros({num_regions}, region.options().dtype(at::kLong));
  int64_t* count = counts.mutable_data_ptr<int64_t>();
  const auto wide = feature.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const Tensor input = feature.to(wide).contiguous();
  Tensor pooled = at::zeros({num_regions, channels}, input.options());
  AT_DISPATCH_FLOATING_TYPES(wide, "region_sum", [&] {
    const scalar_t* in = input.const_data_ptr<scalar_t>();
    scalar_t* out = pooled.mutable_data_ptr<scalar_t>();
    for_each_point(region, num_regions, [&](int64_t i, int64_t r) {
      ++count[r];
      for (int64_t c = 0; c < channels; ++c) out[r * channels + c] += in[i * channels + c];
    });
    for (int64_t r = 0; mean && r < num_regions; ++r)
      for (int64_t c = 0; count[r] > 0 && c < channels; ++c) out[r * channels + c] /= static_cast<scalar_t>(count[r]);
  });
  return {pooled.to(feature.scalar_type()), counts};
}

std::tuple<Tensor, Tensor> region_extremum(const Tensor& feature, const Tensor& region, int64_t num_regions,
                                           bool largest, bool with_point, const optional<Tensor>&,
                                           const optional<Tensor>&) {
  check_region(region, num_regions);
  check_feature("feature", feature, region);
  TORCH_CHECK_VALUE(feature.size(0) == region.size(0), "feature has ", feature.size(0), " rows, region ", region.size(0));
  const int64_t channels = feature.size(1);
  const Tensor input = feature.contiguous();
  Tensor pooled = at::zeros({num_regions, channels}, input.options());
  Tensor point = at::full({num_regions, channels}, -1, region.options().dtype(at::kInt));
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, input.scalar_type(), "region_extremum", [&] {
    const scalar_t* in = input.const_data_ptr<scalar_t>();
    scalar_t* out = pooled.mutable_data_ptr<scalar_t>();
    int32_t* arg = point.mutable_data_ptr<int32_t>();
    for_each_point(region, num_regions, [&](int64_t i, int64_t r) {
      for (int64_t c = 0; c < channels; ++c) {
        const scalar_t value = in[i * channels + c];
        const scalar_t best = out[r * channels + c];
        const bool better = largest ? !(value <= best) : !(value >= best);
        if (arg[r * channels + c] < 0 || (better && best == best)) {
          out[r * channels + c] = value;
          arg[r * channels + c] = static_cast<int32_t>(i);
        }
      }
    });
  });
  return {pooled, with_point ? point : point.new_empty({0, channels})};
}

Tensor region_gather(const Tensor& region_feature, const Tensor& region, const optional<Tensor>& counts,
                     const optional<Tensor>&, const optional<Tensor>&) {
  const int64_t num_regions = region_feature.size(0);
  check_feature("region_feature", region_feature, region);
  check_region(region, num_regions);
  Tensor source = region_feature;
  if (counts) source = source / counts->clamp_min(1).unsqueeze(1).to(source.scalar_type());
  source = source.contiguous();
  const int64_t row = source.size(1) * source.element_size();
  Tensor out = at::zeros({region.size(0), source.size(1)}, source.options());
  for_each_point(region, num_regions, [&](int64_t i, int64_t r) {
    std::memcpy(static_cast<char*>(out.mutable_data_ptr()) + i * row,
                static_cast<const char*>(source.const_data_ptr()) + r * row, row);
  });
  return out;
}

Tensor region_extremum_grad(const Tensor& grad, const Tensor& point, const Tensor& region) {
  const int64_t channels = grad.size(1);
  check_feature("grad", grad, region);
  const Tensor source = grad.contiguous();
  Tensor out = at::zeros({region.size(0), channels}, source.options());
  const int32_t* arg = point.const_data_ptr<int32_t>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, source.scalar_type(), "region_extremum_grad", [&] {
    const scalar_t* in = source.const_data_ptr<scalar_t>();
    scalar_t* to = out.mutable_data_ptr<scalar_t>();
    for (int64_t k = 0; k < source.numel(); ++k)
      if (arg[k] >= 0) to[arg[k] * channels + k % channels] = in[k];
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(pc_ssl, CPU, m) {
  m.impl("region_plan", region_plan);
  m.impl("region_sum", region_sum);
  m.impl("region_extremum", region_extremum);
  m.impl("region_extremum_grad", region_extremum_grad);
  m.impl("region_gather", region_gather);
}

}  // namespace pc_ssl

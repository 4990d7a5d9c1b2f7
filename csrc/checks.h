// What every device asks of its arguments; the messages name the argument, what was found and what was expected.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "region_pool.h"

namespace pc_ssl {

inline void check_region(const at::Tensor& region, int64_t num_regions) {
  TORCH_CHECK_VALUE(region.dim() == 1, "region must be [N], got ", region.sizes());
  TORCH_CHECK_VALUE(region.scalar_type() == at::kInt || region.scalar_type() == at::kLong,
                    "region must be int32 or int64, got ", region.scalar_type());
  TORCH_CHECK_VALUE(num_regions >= 0, "num_regions must not be negative, got ", num_regions);
  TORCH_CHECK_VALUE(region.size(0) <= kMaxRows && num_regions <= kMaxRows, "region_pool takes at most ", kMaxRows,
                    " points and as many regions, got ", region.size(0), " points and ", num_regions, " regions");
}

// `name` holds one row of channels per point or per region.
inline void check_rows(const char* name, const at::Tensor& rows, const at::Tensor& region) {
  TORCH_CHECK_VALUE(rows.dim() == 2, name, " must have two dimensions, rows and channels, got ", rows.sizes());
  const auto type = rows.scalar_type();
  TORCH_CHECK_VALUE(type == at::kFloat || type == at::kDouble || type == at::kHalf || type == at::kBFloat16, name,
                    " must be float32, float64, bfloat16 or float16, got ", type);
  TORCH_CHECK_VALUE(rows.device() == region.device(), name, " is on ", rows.device(), " but region on ", region.device());
}

inline void check_pooling(const at::Tensor& feature, const at::Tensor& region, int64_t num_regions,
                          const std::optional<at::Tensor>& order, const std::optional<at::Tensor>& offsets) {
  check_region(region, num_regions);
  check_rows("feature", feature, region);
  TORCH_CHECK_VALUE(feature.size(0) == region.size(0), "feature has ", feature.size(0), " rows but region ", region.size(0),
                    " ids");
  TORCH_CHECK_VALUE(order.has_value() == offsets.has_value(), "a plan has both order and offsets");
  if (!order) return;
  TORCH_CHECK_VALUE(order->scalar_type() == at::kInt && order->dim() == 1 && order->is_contiguous() &&
                        order->size(0) == region.size(0) && order->device() == region.device(),
                    "the plan's order must be int32 [", region.size(0), "] beside region, got ", order->scalar_type(), " ",
                    order->sizes(), " on ", order->device());
  TORCH_CHECK_VALUE(offsets->scalar_type() == at::kLong && offsets->dim() == 1 && offsets->is_contiguous() &&
                        offsets->size(0) == num_regions + 1 && offsets->device() == region.device(),
                    "the plan's offsets must be int64 [", num_regions + 1, "] beside region, got ", offsets->scalar_type(),
                    " ", offsets->sizes(), " on ", offsets->device());
}

// `table` holds one row per region, which is handed to the region's points.
inline void check_table(const char* name, const at::Tensor& table, const at::Tensor& region) {
  check_rows(name, table, region);
  check_region(region, table.size(0));
}

inline void check_counts(const at::Tensor& counts, const at::Tensor& table) {
  TORCH_CHECK_VALUE(counts.scalar_type() == at::kLong && counts.dim() == 1 && counts.is_contiguous() &&
                        counts.size(0) == table.size(0) && counts.device() == table.device(),
                    "counts must be int64 [", table.size(0), "] beside region_feature, got ", counts.scalar_type(), " ",
                    counts.sizes(), " on ", counts.device());
}

inline void check_point(const at::Tensor& point, const at::Tensor& grad) {
  TORCH_CHECK_VALUE(point.scalar_type() == at::kInt && point.sizes() == grad.sizes() && point.device() == grad.device(),
                    "point must be int32 of the shape of grad ", grad.sizes(), ", got ", point.scalar_type(), " ",
                    point.sizes(), " on ", point.device());
}

inline std::string bad_id_message(int64_t position, int64_t id, int64_t num_regions) {
  return "region[" + std::to_string(position) + "] is " + std::to_string(id) + ", expected below num_regions = " +
         std::to_string(num_regions);
}

}  // namespace pc_ssl

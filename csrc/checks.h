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

// One of a plan's two tensors, of `size` entries.
inline void check_plan_tensor(const char* name, const at::Tensor& entries, at::ScalarType type, int64_t size,
                              const at::Tensor& region) {
  TORCH_CHECK_VALUE(entries.scalar_type() == type && entries.dim() == 1 && entries.is_contiguous() &&
                        entries.size(0) == size && entries.device() == region.device(),
                    "the plan's ", name, " must be ", type, " [", size, "], contiguous, on ", region.device(), " as region, got ",
                    entries.scalar_type(), " ", entries.sizes(), " of strides ", entries.strides(), " on ", entries.device());
}

inline void check_plan_sizes(const at::Tensor& region, int64_t num_regions, const std::optional<at::Tensor>& order,
                             const std::optional<at::Tensor>& offsets) {
  TORCH_CHECK_VALUE(order.has_value() == offsets.has_value(), "a plan has both order and offsets");
  if (!order) return;
  check_plan_tensor("order", *order, at::kInt, region.size(0), region);
  check_plan_tensor("offsets", *offsets, at::kLong, num_regions + 1, region);
}

inline void check_pooling(const at::Tensor& feature, const at::Tensor& region, int64_t num_regions,
                          const std::optional<at::Tensor>& order, const std::optional<at::Tensor>& offsets) {
  check_region(region, num_regions);
  check_rows("feature", feature, region);
  TORCH_CHECK_VALUE(feature.size(0) == region.size(0), "feature has ", feature.size(0), " rows but region ", region.size(0),
                    " ids");
  check_plan_sizes(region, num_regions, order, offsets);
}

// `table` holds one row per region, which is handed to the region's points.
inline void check_table(const char* name, const at::Tensor& table, const at::Tensor& region) {
  check_rows(name, table, region);
  check_region(region, table.size(0));
}

inline void check_counts(const at::Tensor& counts, const at::Tensor& table) {
  TORCH_CHECK_VALUE(counts.scalar_type() == at::kLong && counts.dim() == 1 && counts.is_contiguous() &&
                        counts.size(0) == table.size(0) && counts.device() == table.device(),
                    "counts must be int64 [", table.size(0), "] to match region_feature, got ", counts.scalar_type(), " ",
                    counts.sizes(), " on ", counts.device());
}

inline void check_point(const at::Tensor& point, const at::Tensor& grad) {
  TORCH_CHECK_VALUE(point.scalar_type() == at::kInt && point.sizes() == grad.sizes() && point.device() == grad.device(),
                    "point must be int32 of the shape of grad ", grad.sizes(), ", got ", point.scalar_type(), " ",
                    point.sizes(), " on ", point.device());
}

inline std::string bad_id_message(int64_t position, int64_t id, int64_t num_regions) {
  const std::string range = num_regions > 0 ? " or 0 to " + std::to_string(num_regions - 1) : "";
  return "region[" + std::to_string(position) + "] is " + std::to_string(id) + ", expected -1 (no region)" + range +
         ", as num_regions is " + std::to_string(num_regions);
}

}  // namespace pc_ssl

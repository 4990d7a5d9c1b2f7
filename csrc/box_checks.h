// Checks of boxes on every device; the messages name the argument, what was found and what was expected.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "rotated_boxes.h"

namespace pc_ssl {

inline void check_box_rows(const char* name, const at::Tensor& rows, int64_t columns) {
  TORCH_CHECK_VALUE(rows.dim() == 2 && rows.size(1) >= columns, name, " must be [N, ", columns, "] or more columns, got ",
                    rows.sizes());
  TORCH_CHECK_VALUE(rows.scalar_type() == at::kFloat || rows.scalar_type() == at::kDouble, name,
                    " must be float32 or float64, got ", rows.scalar_type());
  TORCH_CHECK_VALUE(rows.size(0) <= kMaxBoxes, name, " has ", rows.size(0), " boxes, at most ", kMaxBoxes, " are taken");
}

inline void check_box_pair(const at::Tensor& a, const at::Tensor& b) {
  check_box_rows("a", a, kBoxColumns);
  check_box_rows("b", b, kBoxColumns);
  TORCH_CHECK_VALUE(a.scalar_type() == b.scalar_type(), "a is ", a.scalar_type(), " but b ", b.scalar_type());
  TORCH_CHECK_VALUE(a.device() == b.device(), "a is on ", a.device(), " but b on ", b.device());
}

inline void check_per_row(const char* name, const at::Tensor& values, at::ScalarType type, const at::Tensor& rows) {
  TORCH_CHECK_VALUE(values.scalar_type() == type && values.dim() == 1 && values.size(0) == rows.size(0) &&
                        values.device() == rows.device(),
                    name, " must be ", type, " [", rows.size(0), "] on ", rows.device(), ", got ", values.scalar_type(), " ",
                    values.sizes(), " on ", values.device());
}

inline void check_group(const std::optional<at::Tensor>& group, const at::Tensor& rows) {
  if (group) check_per_row("group", *group, at::kLong, rows);
}

}  // namespace pc_ssl

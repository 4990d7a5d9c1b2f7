// Tensors of torch as the launches take them.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "cuda/launch.h"

namespace pc_ssl::cuda {

inline Element element_of(const at::Tensor& rows) {
  switch (rows.scalar_type()) {
    case at::kFloat: return Element::kFloat32;
    case at::kDouble: return Element::kFloat64;
    case at::kHalf: return Element::kFloat16;
    case at::kBFloat16: return Element::kBFloat16;
    default: TORCH_CHECK(false, "not a floating type of these kernels: ", rows.scalar_type());
  }
}

inline RowsView rows_view(const at::Tensor& rows) {
  return {rows.const_data_ptr(), rows.stride(0), rows.size(1), element_of(rows)};
}

// From torch's stream-ordered allocator: it may be freed as soon as the launch is enqueued.
inline at::Tensor workspace(std::size_t bytes, const at::Tensor& like) {
  return at::empty({static_cast<int64_t>(bytes)}, like.options().dtype(at::kByte));
}

// Rows may lie apart, but the channels of a row must be adjacent.
inline at::Tensor with_adjacent_channels(const at::Tensor& rows) {
  return rows.size(1) < 2 || rows.stride(1) == 1 ? rows : rows.contiguous();
}

}  // namespace pc_ssl::cuda

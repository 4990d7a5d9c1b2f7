// The contract of sparse_conv.h on the CPU: checks, memory, torch's threads.
#include "sparse_conv.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cstring>
#include <tuple>

#include "cpu/choice.h"
#include "cpu/conv_pairs.h"
#include "cpu/loops.h"

namespace pc_ssl::cpu {
namespace {

using at::Tensor;

constexpr int64_t kRowsOfBlock = 256;  // output rows whose sums stay in the second cache while all offsets pass

void check_vector(const char* name, const Tensor& entries, at::ScalarType type) {
  TORCH_CHECK_VALUE(entries.scalar_type() == type && entries.dim() == 1 && entries.is_contiguous() && entries.is_cpu(), name,
                    " must be a contiguous vector of ", type, " on the CPU, got ", entries.scalar_type(), " ",
                    entries.sizes(), " on ", entries.device());
}

void check_matrix(const char* name, const Tensor& rows, const Tensor& feature) {
  TORCH_CHECK_VALUE(rows.dim() == 2 && rows.is_cpu() && rows.size(0) <= kMaxConvRows, name,
                    " must have two dimensions, rows and channels, on the CPU, got ", rows.sizes(), " on ", rows.device());
  TORCH_CHECK_VALUE(rows.scalar_type() == feature.scalar_type() &&
                        (rows.scalar_type() == at::kFloat || rows.scalar_type() == at::kDouble),
                    name, " must be float32 or float64 as feature, got ", rows.scalar_type(), " and ", feature.scalar_type());
}

void check_pairs(const Tensor& in_row, const Tensor& out_row, const Tensor& offsets, int64_t num_in, int64_t num_out) {
  check_vector("in_row", in_row, at::kInt);
  check_vector("out_row", out_row, at::kInt);
  check_vector("offsets", offsets, at::kLong);
  TORCH_CHECK_VALUE(in_row.size(0) == out_row.size(0), "in_row has ", in_row.size(0), " entries but out_row ",
                    out_row.size(0));
  TORCH_CHECK_VALUE(offsets.size(0) > 0, "offsets must be [K + 1], got [0]");
  const std::string fault = fault_of_pairs({in_row.const_data_ptr<int32_t>(), out_row.const_data_ptr<int32_t>(),
                                            offsets.const_data_ptr<int64_t>(), in_row.size(0), offsets.size(0) - 1, num_in,
                                            num_out});
  TORCH_CHECK_VALUE(fault.empty(), "sparse_conv: ", fault);
}

Sizes sizes_of(const char* name, at::IntArrayRef values, int64_t least) {
  TORCH_CHECK_VALUE(values.size() == 3, name, " must have 3 numbers (z, y, x), got ", values);
  for (const int64_t value : values)
    TORCH_CHECK_VALUE(value >= least && value <= INT32_MAX, name, " must be at least ", least, ", got ", values);
  return {values[0], values[1], values[2]};
}

template <typename T>
Tensor tensor_of(const std::vector<T>& values, at::ScalarType type, const Tensor& like) {
  const Tensor out = at::empty({static_cast<int64_t>(values.size())}, like.options().dtype(type));
  if (!values.empty()) std::memcpy(out.mutable_data_ptr(), values.data(), values.size() * sizeof(T));
  return out;
}

Tensor index_of_cells(const std::vector<int64_t>& cells, const Sizes& shape, const Tensor& like) {
  const Tensor out = at::empty({static_cast<int64_t>(cells.size()), 4}, like.options());
  int32_t* row = out.mutable_data_ptr<int32_t>();
  for (const int64_t cell : cells) {
    *row++ = static_cast<int32_t>(cell / (shape[0] * shape[1] * shape[2]));
    *row++ = static_cast<int32_t>(cell / (shape[1] * shape[2]) % shape[0]);
    *row++ = static_cast<int32_t>(cell / shape[2] % shape[1]);
    *row++ = static_cast<int32_t>(cell % shape[2]);
  }
  return out;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> sparse_conv_pairs(const Tensor& index, at::IntArrayRef in_shape,
                                                             at::IntArrayRef out_shape, at::IntArrayRef kernel,
                                                             at::IntArrayRef stride, at::IntArrayRef padding,
                                                             bool submanifold) {
  TORCH_CHECK_VALUE(index.dim() == 2 && index.size(1) == 4 && index.scalar_type() == at::kInt, "index must be int32 [V, 4], got ",
                    index.scalar_type(), " ", index.sizes());
  const ConvGeometry geometry{sizes_of("in_shape", in_shape, 1), sizes_of("out_shape", out_shape, 1),
                              sizes_of("kernel", kernel, 1), sizes_of("stride", stride, 1), sizes_of("padding", padding, 0)};
  const Tensor rows = index.contiguous();
  const int32_t* voxel = rows.const_data_ptr<int32_t>();
  const int64_t size = rows.size(0);
  int32_t frames = 0;
  for (int64_t v = 0; v < size; ++v) frames = std::max(frames, voxel[4 * v]);
  for (const Sizes& shape : {geometry.in_shape, geometry.out_shape})
    TORCH_CHECK_VALUE((frames + 1.0) * shape[0] * shape[1] * shape[2] < 4e18, frames + 1.0, " frames of ", shape[0], " x ",
                      shape[1], " x ", shape[2], " cells are more than 64 bits can number");
  const int64_t bad = first_misplaced(voxel, size, geometry.in_shape);
  TORCH_CHECK_VALUE(bad < 0, "index[", bad, "] is outside the shape ", in_shape,
                    " or does not follow the voxel before it: voxels must ascend strictly by frame, z, y, x");
  std::vector<int64_t> cells;
  if (submanifold) {
    for (int axis = 0; axis < 3; ++axis)
      TORCH_CHECK_VALUE(in_shape[axis] == out_shape[axis] && stride[axis] == 1 && kernel[axis] == 2 * padding[axis] + 1,
                        "a submanifold convolution keeps the shape and has stride 1, an odd kernel and half of it as padding,"
                        " got shapes ", in_shape, " and ", out_shape, ", kernel ", kernel, ", stride ", stride, ", padding ",
                        padding);
    for (int64_t v = 0; v < size; ++v)
      cells.push_back(cell_of(geometry.in_shape, voxel[4 * v], voxel[4 * v + 1], voxel[4 * v + 2], voxel[4 * v + 3]));
  } else {
    cells = cells_met(geometry, voxel, size);
  }
  const ConvPairs pairs = submanifold ? submanifold_pairs(geometry, voxel, size, cells)
                                      : pairs_with(geometry, voxel, size, cells, geometry.num_offsets());
  return {index_of_cells(cells, geometry.out_shape, rows), tensor_of(pairs.in_row, at::kInt, rows),
          tensor_of(pairs.out_row, at::kInt, rows), tensor_of(pairs.offsets, at::kLong, rows)};
}

// Calls task for blocks of `step` of the numbers 0 .. size - 1, on torch's threads.
template <typename Task>
void in_blocks(int64_t size, int64_t step, const Task& task) {
  const int64_t blocks = (size + step - 1) / step;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) task(b * step, std::min((b + 1) * step, size));
  });
}

Tensor sparse_conv(const Tensor& feature, const Tensor& weight, const Tensor& in_row, const Tensor& out_row,
                   const Tensor& offsets, int64_t num_out) {
  check_matrix("feature", feature, feature);
  TORCH_CHECK_VALUE(weight.dim() == 3 && weight.is_cpu() && weight.scalar_type() == feature.scalar_type() &&
                        weight.size(1) == feature.size(1) && weight.size(0) == offsets.size(0) - 1,
                    "weight must be ", feature.scalar_type(), " [", offsets.size(0) - 1, ", ", feature.size(1),
                    ", out] on the CPU, got ", weight.scalar_type(), " ", weight.sizes(), " on ", weight.device());
  TORCH_CHECK_VALUE(num_out >= 0 && num_out <= kMaxConvRows, "num_out must be 0 to ", kMaxConvRows, ", got ", num_out);
  check_pairs(in_row, out_row, offsets, feature.size(0), num_out);
  const Tensor x = feature.contiguous(), w = weight.contiguous();
  const Tensor y = at::empty({num_out, weight.size(2)}, feature.options());
  AT_DISPATCH_FLOATING_TYPES(feature.scalar_type(), "sparse_conv", [&] {
    const ConvJob<scalar_t> job{x.const_data_ptr<scalar_t>(), w.const_data_ptr<scalar_t>(), nullptr,
                                y.mutable_data_ptr<scalar_t>(), nullptr, w.size(1), w.size(2),
                                in_row.const_data_ptr<int32_t>(), out_row.const_data_ptr<int32_t>(),
                                offsets.const_data_ptr<int64_t>(), w.size(0)};
    const auto loop = best_loops().conv<scalar_t>().rows;
    in_blocks(num_out, kRowsOfBlock, [&](int64_t begin, int64_t end) { loop(job, begin, end); });
  });
  return y;
}

Tensor sparse_conv_weight_grad(const Tensor& feature, const Tensor& grad, const Tensor& in_row, const Tensor& out_row,
                               const Tensor& offsets) {
  check_matrix("feature", feature, feature);
  check_matrix("grad", grad, feature);
  check_pairs(in_row, out_row, offsets, feature.size(0), grad.size(0));
  const Tensor x = feature.contiguous(), dy = grad.contiguous();
  const int64_t kernels = offsets.size(0) - 1;
  const Tensor out = at::empty({kernels, x.size(1), dy.size(1)}, feature.options());
  AT_DISPATCH_FLOATING_TYPES(feature.scalar_type(), "sparse_conv_weight_grad", [&] {
    const ConvJob<scalar_t> job{x.const_data_ptr<scalar_t>(), nullptr, dy.const_data_ptr<scalar_t>(), nullptr,
                                out.mutable_data_ptr<scalar_t>(), x.size(1), dy.size(1), in_row.const_data_ptr<int32_t>(),
                                out_row.const_data_ptr<int32_t>(), offsets.const_data_ptr<int64_t>(), kernels};
    const auto loop = best_loops().conv<scalar_t>().weight_grads;
    in_blocks(kernels, 1, [&](int64_t begin, int64_t end) { loop(job, begin, end); });
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(pc_ssl, CPU, m) {
  m.impl("sparse_conv_pairs", sparse_conv_pairs);
  m.impl("sparse_conv", sparse_conv);
  m.impl("sparse_conv_weight_grad", sparse_conv_weight_grad);
}

}  // namespace pc_ssl::cpu

// Memory for large results and tables.
#pragma once

#include <ATen/core/Tensor.h>

namespace pc_ssl::cpu {

// As at::empty. A result of a megabyte or more stands in huge pages where the system has them, and its memory is kept for the
// next one when it is freed: most of the time of a backward pass is page faults on the fresh gradient, one per 4 KB otherwise.
// Kept memory is marked as free to take (MADV_FREE), so other programs get it when they need it. See docs/region_pool.md.
at::Tensor empty_output(at::IntArrayRef sizes, const at::TensorOptions& options);

}  // namespace pc_ssl::cpu

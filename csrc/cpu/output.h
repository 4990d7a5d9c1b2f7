// Fresh memory for large results.
#pragma once

#include <ATen/core/Tensor.h>

namespace pc_ssl::cpu {

// As at::empty; a result of 4 MB or more stands in huge pages where the system has them. See docs/region_pool.md: most of the
// time of a backward pass goes into the page faults of the fresh gradient, one per 4 KB.
at::Tensor empty_output(at::IntArrayRef sizes, const at::TensorOptions& options);

}  // namespace pc_ssl::cpu

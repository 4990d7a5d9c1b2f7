// Stands in for torch's header of this name.
#pragma once

#include <c10/util/Exception.h>
#include <cuda_runtime_api.h>

#include "testing/executor.h"

#define C10_CUDA_CHECK(launch) TORCH_CHECK((launch) == cudaSuccess, "CUDA error: ", shim::last_failure())

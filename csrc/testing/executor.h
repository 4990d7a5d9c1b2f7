// What the tests set and ask of the stand-in for a GPU; include/cuda_runtime.h is what the kernels see of it.
#pragma once

#include <cstdint>

namespace shim {

void schedule(uint64_t seed);  // the order in which threads and blocks run from here on
const char* last_failure();    // of the last launch; empty if there was none
uint64_t num_launches();       // so far

}  // namespace shim

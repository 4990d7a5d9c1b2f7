// The loops for processors with AVX512; chosen at run time, so the rest of the library must not be compiled for it.
#include "cpu/loops.h"

#ifdef PC_SSL_X86_LOOPS
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl", "prefer-vector-width=512")
#define PC_SSL_VECTOR_BYTES 64
#define PC_SSL_VECTOR_REGISTERS 32
#define PC_SSL_LOOPS loops_avx512
#include "cpu/loops_impl.h"
#endif

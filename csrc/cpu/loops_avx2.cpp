// The loops for processors with AVX2; chosen at run time, so the rest of the library must not be compiled for it.
#include "cpu/loops.h"

#ifdef PC_SSL_X86_LOOPS
#pragma GCC target("avx2")
#define PC_SSL_VECTOR_BYTES 32
#define PC_SSL_VECTOR_REGISTERS 16
#define PC_SSL_LOOPS loops_avx2
#define PC_SSL_CONV_TARGET __attribute__((target("avx2,fma")))  // torch counts a processor as AVX2 only if it has both
#include "cpu/loops_impl.h"
#endif

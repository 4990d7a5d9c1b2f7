// The loops for any processor.
#include "cpu/loops.h"

#define PC_SSL_VECTOR_BYTES 16
#define PC_SSL_VECTOR_REGISTERS 16
#define PC_SSL_LOOPS loops_generic
#include "cpu/loops_impl.h"

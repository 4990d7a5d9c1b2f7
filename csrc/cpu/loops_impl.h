// The inner loops, written once with the compiler's vector types and compiled per instruction set: the including file has set
// PC_SSL_VECTOR_BYTES, PC_SSL_VECTOR_REGISTERS, PC_SSL_LOOPS (the table's name) and the target. Nothing of the standard
// library is used here: an inline function of it compiled for AVX-512 could replace the copy of the whole program.
#include "cpu/loops.h"

#include "cpu/vectors.h"
#include "rotated_overlap.h"

#include "cpu/boxes_impl.h"
#include "cpu/conv_impl.h"
#include "cpu/gather_impl.h"
#include "cpu/pool_impl.h"

namespace pc_ssl::cpu {
namespace {

template <typename T>
constexpr PoolLoops<T> pool_loops() {
  return {pieces<T, Sum<T>>,
          regions<T, Sum<T>>,
          {extremum_pieces<T, false>, extremum_pieces<T, true>},
          {extremum_regions<T, false>, extremum_regions<T, true>},
          divide_rows<T>};
}

template <typename Id>
constexpr GatherLoops<Id> gather_loops() {
  return {gather_copy<Id>,
          gather_divided<Id, float>,
          gather_divided<Id, double>,
          {gather_selected<Id, uint16_t>, gather_selected<Id, uint32_t>, gather_selected<Id, uint64_t>}};
}

template <typename T>
constexpr BoxLoops<T> box_loops() {
  return {iou_row<T>, any_iou_above<T>, any_within<T>};
}

template <typename T>
constexpr ConvLoops<T> conv_loops() {
  return {conv_rows<T>, conv_weight_grads<T>};
}

}  // namespace

const Loops PC_SSL_LOOPS = {pool_loops<float>(),     pool_loops<double>(),    pool_loops<Half>(),  pool_loops<BFloat16>(),
                            gather_loops<int32_t>(), gather_loops<int64_t>(), box_loops<float>(), box_loops<double>(),
                            conv_loops<float>(),     conv_loops<double>()};

}  // namespace pc_ssl::cpu

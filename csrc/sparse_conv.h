// Sparse convolution by index pairs: the contract of the ops, on every device.
//
// A plan lists, for each of the K offsets of a kernel, pairs of an input and an output row: the pairs of offset k are
// in_row[p], out_row[p] for offsets[k] <= p < offsets[k + 1]. Within an offset both rows ascend strictly, so a row occurs at
// most once in it. A plan is checked whenever it is used: whatever it holds, nothing outside the tensors is read or written.
//
// sparse_conv:             out[o] = sum over k, over pairs (i, o) of k, of feature[i] @ weight[k], 0 where a row has no pair
// sparse_conv_weight_grad: out[k] = sum over pairs (i, o) of k of feature[i]^T grad[o]
//
// Every sum runs over the offsets, and within one over the pairs, in ascending order, so that results do not depend on the
// number of threads.
#pragma once

#include <cstdint>

namespace pc_ssl {

constexpr int64_t kMaxConvRows = INT32_MAX;  // rows are int32

}  // namespace pc_ssl

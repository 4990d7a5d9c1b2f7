// Overlap of boxes rotated about z, and non-maximum suppression. This header is the contract; the CPU and CUDA kernels both
// keep it.
//
// N and M boxes, K >= 7 columns: x y z l w h yaw, further columns are ignored. Metres and radians; x y z is the centre, l is
// along the heading, yaw turns counter-clockwise from x. float32 or float64, both tensors alike; any strides.
//
// rotated_iou  out[i, j] = what a[i] and b[j] share, over what they cover together: areas seen from above or, in_3d, volumes.
//              In [0, 1]. A box with a size that is not positive, or with a number that is not finite, overlaps nothing, not
//              even itself; seen from above z and h do not count.
// rotated_nms  The boxes come best first. kept[i] = no kept box j < i of its group has an overlap with it, seen from above,
//              greater than the threshold; after max_kept kept boxes all others are dropped.
// circle_nms   The same with centres [N, 2] instead of boxes, where box i is dropped if the squared distance of its centre to
//              that of a kept j < i of its group is at most squared_distance[j]. A NaN is near to nothing.
//
// group [N]    int64: only boxes of the same number drop each other. Without it all do.
//
// Not differentiable. Deterministic: an element depends on its two boxes alone, so nothing depends on the number of threads;
// rotated_iou(a, b) and rotated_iou(b, a), two instruction sets, and CPU and GPU, may differ in the last digits.
// Limits: N and M at most 2^20.
#pragma once

#include <cstdint>

namespace pc_ssl {

constexpr int64_t kMaxBoxes = INT64_C(1) << 20;
constexpr int64_t kBoxColumns = 7;

}  // namespace pc_ssl

// Host interface: rotated_boxes.h's contract on device memory. As in launch.h every call only enqueues, and the caller
// brings the workspace, aligned to 256. Rows are float32 or float64.
#pragma once

#include "cuda/launch.h"

namespace pc_ssl::cuda {

std::size_t rotated_iou_workspace(int64_t n, int64_t m, Element element);
cudaError_t rotated_iou(const RowsView& a, int64_t n, const RowsView& b, int64_t m, bool in_3d, void* out, void* workspace,
                        cudaStream_t stream);

// `group` [N] may be null; no more than `max_kept` are kept.
std::size_t rotated_nms_workspace(int64_t n, Element element);
cudaError_t rotated_nms(const RowsView& boxes, int64_t n, const int64_t* group, double threshold, int64_t max_kept,
                        bool* kept, void* workspace, cudaStream_t stream);

// `squared_distance` [N] of the element of the centres.
std::size_t circle_nms_workspace(int64_t n);
cudaError_t circle_nms(const RowsView& center, int64_t n, const void* squared_distance, const int64_t* group,
                       int64_t max_kept, bool* kept, void* workspace, cudaStream_t stream);

}  // namespace pc_ssl::cuda

// Launches of the kernels of turned boxes: types, sizes of grids, places in the workspace, panels.
#include "cuda/rotated_boxes.cuh"

#include <type_traits>

#include "cuda/enqueue.h"
#include "cuda/rotated_launch.h"

namespace pc_ssl::cuda {
namespace {

// Calls visit with a null pointer of the boxes' type.
template <typename Visit>
auto with_real(Element element, Visit visit) {
  return element == Element::kFloat64 ? visit(static_cast<double*>(nullptr)) : visit(static_cast<float*>(nullptr));
}

template <typename T>
BoxTable<T> take_table(int64_t size, Workspace& workspace) {
  return {workspace.take<T>(kBoxFields * size), size};
}

template <typename T>
cudaError_t fill_table(const RowsView& rows, bool in_3d, const BoxTable<T>& table, cudaStream_t stream) {
  return launch(box_kernel<T>, blocks_for(table.size, kBoxThreads), 1, kBoxThreads, stream,
                static_cast<const T*>(rows.data), rows.stride, in_3d, table);
}

struct ChoiceMemory {
  int64_t* num_kept;  // before the words of `dropped`, so that one call clears both
  uint64_t* dropped;
  uint64_t* mask;
  uint64_t* kept_words;
};

ChoiceMemory choice_memory(int64_t size, Workspace& workspace) {
  int64_t* num_kept = workspace.take<int64_t>(1 + blocks_for(size, kWordBits));
  const int64_t panel = size < kPanel ? size : kPanel;
  return {num_kept, reinterpret_cast<uint64_t*>(num_kept + 1), workspace.take<uint64_t>(panel * kPanelWords),
          workspace.take<uint64_t>(kPanelWords)};
}

template <template <typename> class Rule, typename T>
cudaError_t choose(const Rule<T>& rule, Choice choice, Workspace& workspace, cudaStream_t stream) {
  const ChoiceMemory memory = choice_memory(choice.size, workspace);
  choice.num_kept = memory.num_kept;
  choice.dropped = memory.dropped;
  choice.mask = memory.mask;
  choice.kept_words = memory.kept_words;
  cudaError_t error = cudaMemsetAsync(memory.num_kept, 0, (1 + blocks_for(choice.size, kWordBits)) * 8, stream);
  for (; choice.begin < choice.size && error == cudaSuccess; choice.begin += kPanel) {
    const int64_t tiles = blocks_for(choice.panel_size(), kBoxRows) * choice.panel_words();
    const int64_t words_behind = blocks_for(choice.size - choice.begin - choice.panel_size(), kWordBits);
    error = launch(mask_kernel<Rule, T>, blocks_for(tiles, kBoxWarps), 1, kBoxThreads, stream, rule, choice);
    if (error == cudaSuccess) error = launch(choose_kernel, 1, 1, kChooseThreads, stream, choice);
    if (error == cudaSuccess)
      error = launch(drop_kernel<Rule, T>, blocks_for(words_behind, kBoxWarps), 1, kBoxThreads, stream, rule, choice);
  }
  return error;
}

Choice choice_of(int64_t size, const int64_t* group, int64_t max_kept, bool* kept) {
  Choice choice{};
  choice.size = size;
  choice.group = group;
  choice.max_kept = max_kept;
  choice.kept = kept;
  return choice;
}

}  // namespace

std::size_t rotated_iou_workspace(int64_t n, int64_t m, Element element) {
  return with_real(element, [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    Workspace workspace(nullptr);
    take_table<T>(n, workspace);
    take_table<T>(m, workspace);
    return workspace.used();
  });
}

cudaError_t rotated_iou(const RowsView& a, int64_t n, const RowsView& b, int64_t m, bool in_3d, void* out, void* workspace,
                        cudaStream_t stream) {
  return with_real(a.element, [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    Workspace memory(workspace);
    const BoxTable<T> rows = take_table<T>(n, memory), columns = take_table<T>(m, memory);
    cudaError_t error = fill_table(a, in_3d, rows, stream);
    if (error == cudaSuccess) error = fill_table(b, in_3d, columns, stream);
    if (error != cudaSuccess) return error;
    const int64_t tiles = blocks_for(n, kBoxRows) * blocks_for(m, kWarp);
    return launch(iou_kernel<T>, blocks_for(tiles, kBoxWarps), 1, kBoxThreads, stream, rows, columns,
                  static_cast<T*>(out));
  });
}

std::size_t rotated_nms_workspace(int64_t n, Element element) {
  return with_real(element, [&](auto* null) {
    Workspace workspace(nullptr);
    take_table<std::remove_pointer_t<decltype(null)>>(n, workspace);
    choice_memory(n, workspace);
    return workspace.used();
  });
}

cudaError_t rotated_nms(const RowsView& boxes, int64_t n, const int64_t* group, double threshold, int64_t max_kept,
                        bool* kept, void* workspace, cudaStream_t stream) {
  return with_real(boxes.element, [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    Workspace memory(workspace);
    const Overlap<T> rule{take_table<T>(n, memory), static_cast<T>(threshold)};
    const cudaError_t error = fill_table(boxes, false, rule.boxes, stream);
    return error == cudaSuccess ? choose(rule, choice_of(n, group, max_kept, kept), memory, stream) : error;
  });
}

std::size_t circle_nms_workspace(int64_t n) {
  Workspace workspace(nullptr);
  choice_memory(n, workspace);
  return workspace.used();
}

cudaError_t circle_nms(const RowsView& center, int64_t n, const void* squared_distance, const int64_t* group,
                       int64_t max_kept, bool* kept, void* workspace, cudaStream_t stream) {
  return with_real(center.element, [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    Workspace memory(workspace);
    const Distance<T> rule{static_cast<const T*>(center.data), center.stride, static_cast<const T*>(squared_distance)};
    return choose(rule, choice_of(n, group, max_kept, kept), memory, stream);
  });
}

}  // namespace pc_ssl::cuda

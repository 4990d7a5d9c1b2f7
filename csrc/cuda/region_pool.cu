// Launches of the kernels of region pooling: types, widths of loads, sizes of grids, places in the workspace.
#include "cuda/region_pool.cuh"

#include <algorithm>

#include "cuda/enqueue.h"
#include "cuda/launch.h"
#include "cuda/plan.cuh"

namespace pc_ssl::cuda {
namespace {

// Calls visit with a null pointer of the kernels' own type.
template <typename Visit>
auto with_element(Element element, Visit visit) {
  switch (element) {
    case Element::kFloat32: return visit(static_cast<float*>(nullptr));
    case Element::kFloat64: return visit(static_cast<double*>(nullptr));
    case Element::kFloat16: return visit(static_cast<__half*>(nullptr));
    default: return visit(static_cast<__nv_bfloat16*>(nullptr));
  }
}

// The same for an unsigned integer of the element's size.
template <typename Visit>
auto with_bits(Element element, Visit visit) {
  switch (element) {
    case Element::kFloat32: return visit(static_cast<uint32_t*>(nullptr));
    case Element::kFloat64: return visit(static_cast<uint64_t*>(nullptr));
    default: return visit(static_cast<uint16_t*>(nullptr));
  }
}

template <typename T>
constexpr int kVector = kVectorBytes / sizeof(T);

// Whether rows can be read and written in packs of kVector<T>.
template <typename T>
bool vectors_fit(int64_t channels, int64_t stride, std::initializer_list<const void*> pointers) {
  return channels % kVector<T> == 0 && stride % kVector<T> == 0 &&
         std::all_of(pointers.begin(), pointers.end(),
                     [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % kVectorBytes == 0; });
}

int lanes_for(int64_t channels, int width) {
  int lanes = 1;
  while (lanes < kWarp && int64_t(lanes) * width < channels) lanes *= 2;
  return lanes;
}

int64_t channel_pieces(int64_t channels, int lanes, int width) { return blocks_for(channels, int64_t(lanes) * width); }

Plan plan_of(const PlanView& view) { return {view.order, view.offsets, view.num_points, view.num_regions}; }
Ids ids_of(const IdsView& view) { return {view.data, view.wide, view.size}; }

// ---- plans ------------------------------------------------------------------------------------------------------------------

struct SortMemory {
  int32_t* keys[2];
  int32_t* order;
  int32_t* place;
  int32_t* bin_total;
};

SortMemory sort_memory(int64_t num_points, Workspace& workspace) {
  const int64_t tiles = blocks_for(num_points, kTile);
  return {{workspace.take<int32_t>(num_points), workspace.take<int32_t>(num_points)},
          workspace.take<int32_t>(num_points),
          workspace.take<int32_t>(tiles * kMaxBins),
          workspace.take<int32_t>(kMaxBins)};
}

int bits_of_keys(int64_t num_regions) {  // the largest key is num_regions
  int bits = 1;
  while (num_regions >> bits) ++bits;
  return bits;
}

cudaError_t sort_once(const SortPass& pass, cudaStream_t stream) {
  cudaError_t error = launch(count_kernel, pass.tiles(), 1, kPlanThreads, stream, pass);
  if (error == cudaSuccess) error = launch(scan_kernel, pass.bins(), 1, kPlanThreads, stream, pass);
  if (error == cudaSuccess) error = launch(move_kernel, pass.tiles(), 1, kPlanThreads, stream, pass);
  return error;
}

// ---- pooling ----------------------------------------------------------------------------------------------------------------

template <typename T>
void take_partial(PoolArgs<T>& args, bool extremum, Workspace& workspace) {
  const int64_t count = chunk_slots(args.plan) * args.channels;
  args.partial = workspace.take<Wide<T>>(count);
  args.partial_point = extremum ? workspace.take<int32_t>(count) : nullptr;
}

template <template <typename, int> class Reduction, typename T, int V>
cudaError_t launch_pool(PoolArgs<T> args, cudaStream_t stream) {
  args.lanes = lanes_for(args.channels, V);
  const int64_t warps = chunk_slots(args.plan) + blocks_for(args.plan.num_regions, kWarp / args.lanes);
  const int64_t pieces = channel_pieces(args.channels, args.lanes, V);
  return launch(pool_kernel<Reduction, T, V>, blocks_for(warps, kThreads / kWarp), pieces, kThreads, stream, args);
}

template <template <typename, int> class Reduction, typename T>
cudaError_t pool(const PlanView& plan, const RowsView& feature, PoolArgs<T> args, bool extremum, void* workspace,
                 cudaStream_t stream) {
  if (plan.num_regions == 0 || feature.channels == 0) return cudaSuccess;
  args.feature = static_cast<const T*>(feature.data);
  args.stride = feature.stride;
  args.plan = plan_of(plan);
  args.channels = feature.channels;
  Workspace memory(workspace);
  take_partial(args, extremum, memory);
  const bool vectors = vectors_fit<T>(args.channels, args.stride, {args.feature, args.pooled, args.point});
  const cudaError_t error =
      vectors ? launch_pool<Reduction, T, kVector<T>>(args, stream) : launch_pool<Reduction, T, 1>(args, stream);
  if (error != cudaSuccess || plan.num_points <= kChunk) return error;
  const int64_t long_regions = plan.num_points / kChunk + 1;
  const bool block_per_region = plan.num_regions <= long_regions;
  return launch(combine_kernel<Reduction, T>, block_per_region ? plan.num_regions : long_regions,
                blocks_for(args.channels, kWarp), kCombineWarps * kWarp, stream, args, block_per_region);
}

// ---- regions to points ------------------------------------------------------------------------------------------------------

template <Gather kind, typename T, int V>
cudaError_t launch_gather(GatherArgs<T> args, cudaStream_t stream) {
  args.lanes = lanes_for(args.channels, V);
  const int64_t rows = int64_t(kThreads / args.lanes) * kRowsInFlight;
  return launch(gather_kernel<kind, T, V>, blocks_for(args.ids.size, rows), channel_pieces(args.channels, args.lanes, V),
                kThreads, stream, args);
}

template <Gather kind, typename T>
cudaError_t gather(const RowsView& table, IdsView ids, int64_t num_regions, const int64_t* counts, const int32_t* point,
                   void* out, cudaStream_t stream) {
  const GatherArgs<T> args{static_cast<const T*>(table.data), ids_of(ids), num_regions, table.channels, 0, counts, point,
                           static_cast<T*>(out)};
  return vectors_fit<T>(table.channels, table.channels, {table.data, point, out})
             ? launch_gather<kind, T, kVector<T>>(args, stream)
             : launch_gather<kind, T, 1>(args, stream);
}

}  // namespace

std::size_t plan_workspace(int64_t num_points) {
  Workspace workspace(nullptr);
  sort_memory(num_points, workspace);
  return workspace.used();
}

cudaError_t build_plan(IdsView ids, int64_t num_regions, int32_t* order, int64_t* offsets, unsigned* first_bad,
                       void* workspace, cudaStream_t stream) {
  cudaError_t error = cudaMemsetAsync(first_bad, 0xff, sizeof(*first_bad), stream);
  Workspace parts(workspace);
  const SortMemory memory = sort_memory(ids.size, parts);
  const int key_bits = bits_of_keys(num_regions);
  const int passes = static_cast<int>(blocks_for(key_bits, kMaxDigitBits));
  const int digit_bits = static_cast<int>(blocks_for(key_bits, passes));
  SortPass pass{};
  pass.ids = ids_of(ids);
  pass.size = ids.size;
  pass.num_regions = static_cast<int32_t>(num_regions);
  pass.bits = digit_bits;
  pass.place = memory.place;
  pass.bin_total = memory.bin_total;
  pass.first_bad = first_bad;
  for (int p = 0; p < passes && error == cudaSuccess; ++p) {
    pass.shift = p * digit_bits;
    pass.keys_in = pass.keys_out;
    pass.order_in = pass.order_out;
    pass.keys_out = memory.keys[p % 2];
    pass.order_out = (passes - p) % 2 ? order : memory.order;  // the last pass writes `order`
    error = sort_once(pass, stream);
  }
  if (error != cudaSuccess) return error;
  return launch(offsets_kernel, blocks_for(num_regions + 1, kPlanThreads), 1, kPlanThreads, stream, pass.keys_out, ids.size,
                num_regions, offsets);
}

std::size_t pool_workspace(const PlanView& plan, const RowsView& feature, bool extremum) {
  return with_element(feature.element, [&](auto* null) {
    PoolArgs<std::remove_pointer_t<decltype(null)>> args{};
    args.plan = plan_of(plan);
    args.channels = feature.channels;
    Workspace workspace(nullptr);
    take_partial(args, extremum, workspace);
    return workspace.used();
  });
}

cudaError_t region_sum(const PlanView& plan, const RowsView& feature, bool mean, void* pooled, void* workspace,
                       cudaStream_t stream) {
  return with_element(feature.element, [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    PoolArgs<T> args{};
    args.mean = mean;
    args.pooled = static_cast<T*>(pooled);
    return pool<Sum, T>(plan, feature, args, false, workspace, stream);
  });
}

cudaError_t region_extremum(const PlanView& plan, const RowsView& feature, bool largest, void* pooled, int32_t* point,
                            void* workspace, cudaStream_t stream) {
  return with_element(feature.element, [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    PoolArgs<T> args{};
    args.largest = largest;
    args.pooled = static_cast<T*>(pooled);
    args.point = point;
    return pool<Extremum, T>(plan, feature, args, true, workspace, stream);
  });
}

cudaError_t region_gather(const RowsView& table, IdsView ids, int64_t num_regions, const int64_t* counts, void* out,
                          cudaStream_t stream) {
  if (counts)
    return with_element(table.element, [&](auto* null) {
      using T = std::remove_pointer_t<decltype(null)>;
      return gather<Gather::kDivide, T>(table, ids, num_regions, counts, nullptr, out, stream);
    });
  return with_bits(table.element, [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    return gather<Gather::kCopy, T>(table, ids, num_regions, nullptr, nullptr, out, stream);
  });
}

cudaError_t region_extremum_grad(const RowsView& grad, const int32_t* point, IdsView ids, int64_t num_regions, void* out,
                                 cudaStream_t stream) {
  return with_bits(grad.element, [&](auto* null) {
    using T = std::remove_pointer_t<decltype(null)>;
    return gather<Gather::kSelect, T>(grad, ids, num_regions, nullptr, point, out, stream);
  });
}

}  // namespace pc_ssl::cuda

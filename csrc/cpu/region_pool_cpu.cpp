// The contract of region_pool.h on the CPU: checks, memory, torch's threads.
#include "region_pool.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "checks.h"
#include "cpu/choice.h"
#include "cpu/loops.h"
#include "cpu/plan_check.h"
#include "cpu/pooling.h"
#include "cpu/sorting.h"

namespace pc_ssl::cpu {
namespace {

using at::Tensor;
using std::optional;

constexpr int64_t kWorthSharing = 32768;  // elements; below, waking a thread costs more than it brings

// Torch's threads, or one where `work` (elements) is not worth sharing out.
Threads threads_for(int64_t work) {
  const int64_t count = work < kWorthSharing || at::in_parallel_region() ? 1 : at::get_num_threads();
  return {count, [](int64_t n, const std::function<void(int64_t)>& task) {
            at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) task(i);
            });
          }};
}

// Calls visit with a null pointer of the kernels' own type for a tensor's floating type.
template <typename Visit>
void with_element(at::ScalarType type, Visit&& visit) {
  switch (type) {
    case at::kFloat: return visit(static_cast<float*>(nullptr));
    case at::kDouble: return visit(static_cast<double*>(nullptr));
    case at::kHalf: return visit(static_cast<Half*>(nullptr));
    case at::kBFloat16: return visit(static_cast<BFloat16*>(nullptr));
    default: TORCH_CHECK(false, "not a floating type of region_pool: ", type);
  }
}

template <typename Id>
[[noreturn]] void throw_bad_id(const Id* region, int64_t position, int64_t num_regions) {
  TORCH_CHECK_VALUE(false, bad_id_message(position, region[position], num_regions));
}

// Points by region: of the plan that came, or found here. `order` is undefined where point k is just first + k.
struct Sorted {
  Tensor order;
  Tensor offsets;
  int64_t first = 0;
};

Sorted sort_points(const Tensor& region, int64_t num_regions, const Threads& threads) {
  Sorted sorted;
  sorted.offsets = at::empty({num_regions + 1}, region.options().dtype(at::kLong));
  int64_t* offsets = sorted.offsets.mutable_data_ptr<int64_t>();
  AT_DISPATCH_INDEX_TYPES(region.scalar_type(), "region", [&] {
    const index_t* id = region.const_data_ptr<index_t>();
    sorted.first = offsets_of_ascending(id, region.numel(), num_regions, offsets);
    if (sorted.first >= 0) return;
    sorted.first = 0;
    sorted.order = at::empty(region.sizes(), region.options().dtype(at::kInt));
    int32_t* order = sorted.order.mutable_data_ptr<int32_t>();
    const int64_t bad = sort_by_region(id, region.numel(), num_regions, order, offsets, threads);
    if (bad >= 0) throw_bad_id(id, bad, num_regions);
  });
  return sorted;
}

std::tuple<Tensor, Tensor> region_plan(const Tensor& region, int64_t num_regions) {
  check_region(region, num_regions);
  const Tensor ids = region.contiguous();
  Sorted sorted = sort_points(ids, num_regions, threads_for(ids.numel()));
  if (!sorted.order.defined()) {
    sorted.order = at::empty(ids.sizes(), ids.options().dtype(at::kInt));
    int32_t* order = sorted.order.mutable_data_ptr<int32_t>();
    const int64_t inside = ids.numel() - sorted.first;
    for (int64_t k = 0; k < inside; ++k) order[k] = static_cast<int32_t>(sorted.first + k);
    for (int64_t k = 0; k < sorted.first; ++k) order[inside + k] = static_cast<int32_t>(k);
  }
  return {sorted.order, sorted.offsets};
}

// The caller's plan, of sizes that are checked already.
Sorted checked_plan(const Tensor& region, int64_t num_regions, const Tensor& order, const Tensor& offsets) {
  AT_DISPATCH_INDEX_TYPES(region.scalar_type(), "region", [&] {
    const PlanToCheck<index_t> plan{order.const_data_ptr<int32_t>(), offsets.const_data_ptr<int64_t>(),
                                    region.const_data_ptr<index_t>(), region.stride(0), region.size(0), num_regions};
    const std::string fault = fault_of_plan(plan);
    TORCH_CHECK_VALUE(fault.empty(), fault);
  });
  return {order, offsets};
}

// Rows may lie apart, but the channels of a row must be adjacent.
Tensor with_adjacent_channels(const Tensor& feature) {
  return feature.size(1) < 2 || feature.stride(1) == 1 ? feature : feature.contiguous();
}

Sorted pool_points(const Tensor& feature, const Tensor& region, int64_t num_regions, Reduction reduction,
                   const optional<Tensor>& order, const optional<Tensor>& offsets, const Tensor& pooled,
                   const Tensor& point) {
  const Tensor input = with_adjacent_channels(feature);
  const Threads threads = threads_for(input.numel());
  Sorted sorted = order ? checked_plan(region, num_regions, *order, *offsets)
                              : sort_points(region.contiguous(), num_regions, threads);
  const int64_t* begin = sorted.offsets.const_data_ptr<int64_t>();
  with_element(feature.scalar_type(), [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const SortedRows<T> rows{static_cast<const T*>(input.const_data_ptr()), input.stride(0),
                             sorted.order.defined() ? sorted.order.const_data_ptr<int32_t>() : nullptr, sorted.first,
                             begin[num_regions]};
    const Pooling<T> todo{rows, begin, num_regions, feature.size(1), reduction, static_cast<T*>(pooled.mutable_data_ptr()),
                          point.defined() ? point.mutable_data_ptr<int32_t>() : nullptr};
    pool(best_loops(), todo, threads);
  });
  return sorted;
}

std::tuple<Tensor, Tensor> region_sum(const Tensor& feature, const Tensor& region, int64_t num_regions, bool mean,
                                      const optional<Tensor>& order, const optional<Tensor>& offsets) {
  check_pooling(feature, region, num_regions, order, offsets);
  const Tensor pooled = at::empty({num_regions, feature.size(1)}, feature.options());
  const Sorted sorted = pool_points(feature, region, num_regions, mean ? Reduction::kMean : Reduction::kSum, order, offsets,
                                    pooled, Tensor());
  const Tensor counts = at::empty({num_regions}, region.options().dtype(at::kLong));
  const int64_t* begin = sorted.offsets.const_data_ptr<int64_t>();
  int64_t* count = counts.mutable_data_ptr<int64_t>();
  for (int64_t r = 0; r < num_regions; ++r) count[r] = begin[r + 1] - begin[r];
  return {pooled, counts};
}

std::tuple<Tensor, Tensor> region_extremum(const Tensor& feature, const Tensor& region, int64_t num_regions, bool largest,
                                           bool with_point, const optional<Tensor>& order,
                                           const optional<Tensor>& offsets) {
  check_pooling(feature, region, num_regions, order, offsets);
  const int64_t channels = feature.size(1);
  const Tensor pooled = at::empty({num_regions, channels}, feature.options());
  const Tensor point = at::empty({with_point ? num_regions : 0, channels}, region.options().dtype(at::kInt));
  pool_points(feature, region, num_regions, largest ? Reduction::kMax : Reduction::kMin, order, offsets, pooled,
              with_point ? point : Tensor());
  return {pooled, point};
}

// Fills `out` row by row with the loop that `choose` picks, and checks the ids on the way.
template <typename Choose>
void gather_rows(const Tensor& table, const Tensor& region, const int64_t* counts, const int32_t* point, const Tensor& out,
                 Choose choose) {
  const Tensor ids = region.contiguous();
  AT_DISPATCH_INDEX_TYPES(ids.scalar_type(), "region", [&] {
    const index_t* id = ids.const_data_ptr<index_t>();
    const int64_t row_bytes = table.size(1) * table.element_size();
    const GatherJob<index_t> job{id,    table.size(0), table.const_data_ptr(), row_bytes, counts,
                                 point, out.mutable_data_ptr(), worth_streaming(out.const_data_ptr(), ids.numel(), row_bytes)};
    const auto loop = choose(best_loops().gather<index_t>());
    const int64_t bad = first_reported(ids.numel(), threads_for(out.numel()),
                                       [&](int64_t begin, int64_t end) { return loop(job, begin, end); });
    if (bad >= 0) throw_bad_id(id, bad, table.size(0));
  });
}

Tensor region_gather(const Tensor& region_feature, const Tensor& region, const optional<Tensor>& counts,
                     const optional<Tensor>& order, const optional<Tensor>& offsets) {
  check_table("region_feature", region_feature, region);
  check_plan_sizes(region, region_feature.size(0), order, offsets);
  if (counts) check_counts(*counts, region_feature);
  const Tensor out = at::empty({region.size(0), region_feature.size(1)}, region_feature.options());
  Tensor table = region_feature.contiguous();
  const at::ScalarType type = table.scalar_type();
  const bool half = type == at::kHalf || type == at::kBFloat16;
  const int64_t* count = counts ? counts->const_data_ptr<int64_t>() : nullptr;
  if (count && half) {  // divide once per region: rounding to a half type costs too much to do it once per point
    const Tensor divided = at::empty(table.sizes(), table.options());
    with_element(type, [&](auto* element) {
      using T = std::remove_pointer_t<decltype(element)>;
      best_loops().pool<T>().divide_rows(static_cast<const T*>(table.const_data_ptr()), count, table.size(1), 0,
                                         table.size(0), static_cast<T*>(divided.mutable_data_ptr()));
    });
    table = divided;
    count = nullptr;
  }
  gather_rows(table, region, count, nullptr, out, [&](const auto& loops) {
    return !count ? loops.copy : type == at::kDouble ? loops.divide_double : loops.divide_float;
  });
  return out;
}

Tensor region_extremum_grad(const Tensor& grad, const Tensor& point, const Tensor& region) {
  check_table("grad", grad, region);
  check_point(point, grad);
  const Tensor out = at::empty({region.size(0), grad.size(1)}, grad.options());
  const Tensor points = point.contiguous();
  const int width = grad.element_size() == 2 ? 0 : grad.element_size() == 4 ? 1 : 2;
  gather_rows(grad.contiguous(), region, nullptr, points.const_data_ptr<int32_t>(), out,
              [&](const auto& loops) { return loops.select[width]; });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(pc_ssl, CPU, m) {
  m.impl("region_plan", region_plan);
  m.impl("region_sum", region_sum);
  m.impl("region_extremum", region_extremum);
  m.impl("region_extremum_grad", region_extremum_grad);
  m.impl("region_gather", region_gather);
}

}  // namespace pc_ssl::cpu

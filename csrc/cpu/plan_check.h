// Check that a plan from the caller stays inside the tensors and matches the ids. No torch types.
#pragma once

#include <cstdint>
#include <string>

#include "region_pool.h"

namespace pc_ssl::cpu {

template <typename Id>
struct PlanToCheck {
  const int32_t* order;    // [N]
  const int64_t* offsets;  // [R + 1]
  const Id* region;        // [N]
  int64_t stride;          // between ids
  int64_t num_points;
  int64_t num_regions;

  int64_t id(int64_t k) const { return region[order[k] * stride]; }  // of sorted point k
};

inline std::string found_in_plan(const char* name, int64_t at, int64_t value, int64_t least, int64_t most) {
  return "the plan's " + std::string(name) + "[" + std::to_string(at) + "] is " + std::to_string(value) + ", expected " +
         std::to_string(least) + (least == most ? "" : " to " + std::to_string(most));
}

template <typename Id>
std::string id_of_plan(const PlanToCheck<Id>& plan, int64_t k, int64_t expected) {
  return "the plan is of other ids: its order[" + std::to_string(k) + "] is point " + std::to_string(plan.order[k]) +
         ", in region " + std::to_string(expected) + " of the plan, but region[" + std::to_string(plan.order[k]) + "] is " +
         std::to_string(plan.id(k)) + "; make the plan of this region with RegionPlan.build";
}

// An error message, or nothing. region_pool.h lists the checks.
template <typename Id>
std::string fault_of_plan(const PlanToCheck<Id>& plan) {
  const int64_t n = plan.num_points, r = plan.num_regions;
  if (plan.offsets[0] != 0) return found_in_plan("offsets", 0, plan.offsets[0], 0, 0);
  for (int64_t k = 1; k <= r; ++k)
    if (plan.offsets[k] < plan.offsets[k - 1] || plan.offsets[k] > n)
      return found_in_plan("offsets", k, plan.offsets[k], plan.offsets[k - 1], n);
  uint32_t outside = 0;  // the compiler makes vectors of this loop, which it could not leave early
  for (int64_t k = 0; k < n; ++k) outside |= static_cast<uint32_t>(plan.order[k]) >= static_cast<uint32_t>(n);
  for (int64_t k = 0; outside && k < n; ++k)
    if (plan.order[k] < 0 || plan.order[k] >= n) return found_in_plan("order", k, plan.order[k], 0, n - 1);
  for (int64_t k = 0; k < r; ++k) {
    const int64_t begin = plan.offsets[k], end = plan.offsets[k + 1];
    if (begin == end) continue;
    if (plan.id(begin) != k) return id_of_plan(plan, begin, k);
    if (plan.id(end - 1) != k) return id_of_plan(plan, end - 1, k);
  }
  return {};
}

}  // namespace pc_ssl::cpu

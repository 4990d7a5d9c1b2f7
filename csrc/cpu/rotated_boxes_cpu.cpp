// The contract of rotated_boxes.h on the CPU.
#include "rotated_boxes.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cmath>
#include <limits>
#include <unordered_map>
#include <vector>

#include "box_checks.h"
#include "cpu/choice.h"
#include "rotated_overlap.h"

namespace pc_ssl::cpu {
namespace {

using at::Tensor;
using std::optional;

constexpr int64_t kPairsWorthSharing = 16384;

template <typename T>
Box<T> whole_box_of_row(const T* row, bool in_3d) {
  Box<T> box = box_of_row(row, in_3d);
  box.cos = std::cos(row[6]);
  box.sin = std::sin(row[6]);
  box.radius = std::sqrt(box.radius);
  return box;
}

// Numbers of several fields per item, one field after the other, as the loops want them; the first field's padding is NaN.
template <typename T, int Fields>
class Columns {
 public:
  explicit Columns(int64_t expected = 0) { grow(expected); }

  void push(const T (&field)[Fields]) {
    if (size_ == capacity_) grow(2 * capacity_);
    for (int f = 0; f < Fields; ++f) data_[f * capacity_ + size_] = field[f];
    ++size_;
  }
  const T* field(int f) const { return data_.data() + f * capacity_; }
  int64_t capacity() const { return capacity_; }
  int64_t size() const { return size_; }

 private:
  void grow(int64_t expected) {
    const int64_t capacity = expected <= kBoxStep ? kBoxStep : (expected + kBoxStep - 1) / kBoxStep * kBoxStep;
    std::vector<T> data(Fields * capacity, std::numeric_limits<T>::quiet_NaN());
    for (int f = 0; f < Fields; ++f)
      for (int64_t i = 0; i < size_; ++i) data[f * capacity + i] = data_[f * capacity_ + i];
    data_.swap(data);
    capacity_ = capacity;
  }

  std::vector<T> data_;
  int64_t capacity_ = 0;
  int64_t size_ = 0;
};

template <typename T>
class BoxList {
 public:
  explicit BoxList(int64_t expected = 0) : columns_(expected) {}

  void push(const Box<T>& box) {
    columns_.push({box.x, box.y, box.half_l, box.half_w, box.cos, box.sin, box.radius, box.measure, box.low, box.high});
  }
  BoxColumns<T> view() const { return {columns_.field(0), columns_.capacity(), columns_.size()}; }

 private:
  Columns<T, kBoxFields> columns_;
};

Tensor rotated_iou(const Tensor& a, const Tensor& b, bool in_3d) {
  check_box_pair(a, b);
  const Tensor rows = a.contiguous(), others = b.contiguous();
  const int64_t n = rows.size(0), m = others.size(0);
  const Tensor out = at::empty({n, m}, a.options());
  AT_DISPATCH_FLOATING_TYPES(a.scalar_type(), "rotated_iou", [&] {
    BoxList<scalar_t> list(m);
    for (int64_t j = 0; j < m; ++j)
      list.push(whole_box_of_row(others.const_data_ptr<scalar_t>() + j * others.size(1), in_3d));
    const scalar_t* row = rows.const_data_ptr<scalar_t>();
    scalar_t* iou = out.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, n, 1 + kPairsWorthSharing / (m + 1), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        best_loops().boxes<scalar_t>().iou_row(whole_box_of_row(row + i * rows.size(1), in_3d), list.view(), iou + i * m);
    });
  });
  return out;
}

// Greedy choice among items that come best first: dropped(i, list) asks the kept ones of i's group, keep(i, list) adds i.
template <typename List, typename Dropped, typename Keep>
Tensor greedy(const Tensor& rows, const optional<Tensor>& group, optional<int64_t> max_kept, Dropped dropped, Keep keep) {
  const int64_t n = rows.size(0);
  const Tensor kept = at::zeros({n}, rows.options().dtype(at::kBool));
  const Tensor groups = group ? group->contiguous() : Tensor();
  const int64_t* group_of = group ? groups.const_data_ptr<int64_t>() : nullptr;
  bool* out = kept.mutable_data_ptr<bool>();
  std::unordered_map<int64_t, List> kept_of;
  int64_t left = max_kept.value_or(n);
  for (int64_t i = 0; i < n && left > 0; ++i) {
    List& list = kept_of[group_of ? group_of[i] : 0];
    if (dropped(i, list)) continue;
    keep(i, list);
    out[i] = true;
    --left;
  }
  return kept;
}

Tensor rotated_nms(const Tensor& boxes, const optional<Tensor>& group, double threshold, optional<int64_t> max_kept) {
  check_box_rows("boxes", boxes, kBoxColumns);
  check_group(group, boxes);
  const Tensor rows = boxes.contiguous();
  Tensor kept;
  AT_DISPATCH_FLOATING_TYPES(boxes.scalar_type(), "rotated_nms", [&] {
    const scalar_t* row = rows.const_data_ptr<scalar_t>();
    const auto any_above = best_loops().boxes<scalar_t>().any_iou_above;
    const auto box = [&](int64_t i) { return whole_box_of_row(row + i * rows.size(1), false); };
    kept = greedy<BoxList<scalar_t>>(
        rows, group, max_kept,
        [&](int64_t i, const auto& list) { return any_above(box(i), list.view(), static_cast<scalar_t>(threshold)); },
        [&](int64_t i, auto& list) { list.push(box(i)); });
  });
  return kept;
}

Tensor circle_nms(const Tensor& center, const Tensor& squared_distance, const optional<Tensor>& group,
                  optional<int64_t> max_kept) {
  check_box_rows("center", center, 2);
  check_per_row("squared_distance", squared_distance, center.scalar_type(), center);
  check_group(group, center);
  const Tensor rows = center.contiguous(), reaches = squared_distance.contiguous();
  Tensor kept;
  AT_DISPATCH_FLOATING_TYPES(center.scalar_type(), "circle_nms", [&] {
    const scalar_t* row = rows.const_data_ptr<scalar_t>();
    const scalar_t* reach = reaches.const_data_ptr<scalar_t>();
    const auto any_within = best_loops().boxes<scalar_t>().any_within;
    const int64_t step = rows.size(1);
    kept = greedy<Columns<scalar_t, 3>>(
        rows, group, max_kept,
        [&](int64_t i, const auto& list) {
          return any_within(row[i * step], row[i * step + 1], list.field(0), list.field(1), list.field(2), list.size());
        },
        [&](int64_t i, auto& list) { list.push({row[i * step], row[i * step + 1], reach[i]}); });
  });
  return kept;
}

}  // namespace

TORCH_LIBRARY_IMPL(pc_ssl, CPU, m) {
  m.impl("rotated_iou", rotated_iou);
  m.impl("rotated_nms", rotated_nms);
  m.impl("circle_nms", circle_nms);
}

}  // namespace pc_ssl::cpu

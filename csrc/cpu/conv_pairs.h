// Index pairs of a sparse convolution: which input voxel meets which output voxel under each offset of the kernel, and the
// check of pairs that came from outside. No torch types.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace pc_ssl::cpu {

using Sizes = std::array<int64_t, 3>;  // z, y, x

struct ConvGeometry {
  Sizes in_shape;
  Sizes out_shape;
  Sizes kernel;
  Sizes stride;
  Sizes padding;

  int64_t num_offsets() const { return kernel[0] * kernel[1] * kernel[2]; }
};

struct ConvPairs {
  std::vector<int32_t> in_row;
  std::vector<int32_t> out_row;
  std::vector<int64_t> offsets;  // [K + 1]
};

// Flat cell of a voxel (frame, z, y, x).
inline int64_t cell_of(const Sizes& shape, int64_t frame, int64_t z, int64_t y, int64_t x) {
  return ((frame * shape[0] + z) * shape[1] + y) * shape[2] + x;
}

// Cells that voxels meet under one offset of the kernel, by one addition per axis: entry `at` of an axis is the part of the
// cell's number that input coordinate `at` gives, or negative where it meets no output coordinate.
class CellsMet {
 public:
  explicit CellsMet(const ConvGeometry& g) : g_(g), frame_(g.out_shape[0] * g.out_shape[1] * g.out_shape[2]) {
    for (int axis = 0; axis < 3; ++axis) part_[axis].resize(g.in_shape[axis]);
  }

  // For one k the cell ascends with the input cell.
  void set_offset(int64_t k) {
    const Sizes offset{k / (g_.kernel[1] * g_.kernel[2]), k / g_.kernel[2] % g_.kernel[1], k % g_.kernel[2]};
    int64_t step = 1;
    for (int axis = 2; axis >= 0; --axis) {
      for (int64_t at = 0; at < g_.in_shape[axis]; ++at) {
        const int64_t scaled = at + g_.padding[axis] - offset[axis], out = scaled / g_.stride[axis];
        const bool meets = scaled >= 0 && scaled % g_.stride[axis] == 0 && out < g_.out_shape[axis];
        part_[axis][at] = meets ? out * step : kNone;
      }
      step *= g_.out_shape[axis];
    }
  }

  // Negative: none.
  int64_t of(const int32_t* voxel) const {
    const int64_t z = part_[0][voxel[1]], y = part_[1][voxel[2]], x = part_[2][voxel[3]];
    return (z | y | x) < 0 ? kNone : voxel[0] * frame_ + z + y + x;
  }

 private:
  static constexpr int64_t kNone = -1;
  ConvGeometry g_;
  int64_t frame_;
  std::array<std::vector<int64_t>, 3> part_;
};

// The voxel before which rows [V, 4] are not inside the shape, or not in strictly ascending order; -1: all are.
inline int64_t first_misplaced(const int32_t* index, int64_t size, const Sizes& shape) {
  int64_t before = -1;
  for (int64_t v = 0; v < size; ++v) {
    const int32_t* at = index + 4 * v;
    for (int axis = 0; axis < 3; ++axis)
      if (at[axis + 1] < 0 || at[axis + 1] >= shape[axis]) return v;
    const int64_t cell = at[0] < 0 ? -1 : cell_of(shape, at[0], at[1], at[2], at[3]);
    if (cell <= before) return v;
    before = cell;
  }
  return -1;
}

// Cells that at least one voxel meets, ascending.
inline std::vector<int64_t> cells_met(const ConvGeometry& g, const int32_t* index, int64_t size) {
  std::vector<int64_t> cells;
  CellsMet met(g);
  for (int64_t k = 0; k < g.num_offsets(); ++k) {
    met.set_offset(k);
    const size_t before = cells.size();
    for (int64_t v = 0; v < size; ++v) {
      const int64_t cell = met.of(index + 4 * v);
      if (cell >= 0) cells.push_back(cell);
    }
    std::inplace_merge(cells.begin(), cells.begin() + before, cells.end());
    cells.erase(std::unique(cells.begin(), cells.end()), cells.end());
  }
  return cells;
}

// Appends the pairs of the offset that `met` is set to: one pass over both sorted lists.
inline void append_pairs(const CellsMet& met, const int32_t* index, int64_t size, const std::vector<int64_t>& cells,
                         ConvPairs& pairs) {
  const int64_t num_out = static_cast<int64_t>(cells.size());
  int64_t row = 0, found = pairs.offsets.back();
  pairs.in_row.resize(found + size);
  pairs.out_row.resize(found + size);
  for (int64_t v = 0; v < size; ++v) {
    const int64_t cell = met.of(index + 4 * v);
    if (cell < 0) continue;
    while (row < num_out && cells[row] < cell) ++row;
    if (row == num_out) break;
    pairs.in_row[found] = static_cast<int32_t>(v);
    pairs.out_row[found] = static_cast<int32_t>(row);
    found += cells[row] == cell;
  }
  pairs.in_row.resize(found);
  pairs.out_row.resize(found);
  pairs.offsets.push_back(found);
}

// Pairs with the output voxels at `cells`, ascending, for the first `count` offsets of the kernel.
inline ConvPairs pairs_with(const ConvGeometry& g, const int32_t* index, int64_t size, const std::vector<int64_t>& cells,
                            int64_t count) {
  ConvPairs pairs;
  pairs.offsets.push_back(0);
  CellsMet met(g);
  for (int64_t k = 0; k < count; ++k) {
    met.set_offset(k);
    append_pairs(met, index, size, cells, pairs);
  }
  return pairs;
}

// Pairs of a submanifold convolution with an odd kernel: the offsets after the middle one mirror those before it.
inline ConvPairs submanifold_pairs(const ConvGeometry& g, const int32_t* index, int64_t size,
                                   const std::vector<int64_t>& cells) {
  const int64_t half = g.num_offsets() / 2;
  ConvPairs pairs = pairs_with(g, index, size, cells, half);
  const int64_t before = pairs.offsets.back();
  pairs.in_row.reserve(2 * before + size);
  pairs.out_row.reserve(2 * before + size);
  for (int64_t v = 0; v < size; ++v) {
    pairs.in_row.push_back(static_cast<int32_t>(v));
    pairs.out_row.push_back(static_cast<int32_t>(v));
  }
  pairs.offsets.push_back(before + size);
  for (int64_t k = half - 1; k >= 0; --k) {
    for (int64_t p = pairs.offsets[k]; p < pairs.offsets[k + 1]; ++p) {
      pairs.in_row.push_back(pairs.out_row[p]);
      pairs.out_row.push_back(pairs.in_row[p]);
    }
    pairs.offsets.push_back(static_cast<int64_t>(pairs.in_row.size()));
  }
  return pairs;
}

// What is wrong with pairs that came from outside; empty: nothing.
struct PairsToCheck {
  const int32_t* in_row;
  const int32_t* out_row;
  const int64_t* offsets;
  int64_t num_pairs;
  int64_t num_offsets;
  int64_t num_in;
  int64_t num_out;
};

inline std::string fault_of_rows(const char* name, const int32_t* row, int64_t begin, int64_t end, int64_t size) {
  bool ascending = true;
  for (int64_t p = begin + 1; p < end; ++p) ascending &= row[p - 1] < row[p];
  if (begin == end || (ascending && row[begin] >= 0 && row[end - 1] < size)) return "";
  return std::string(name) + " must ascend strictly within 0 to " + std::to_string(size - 1) + " between pairs " +
         std::to_string(begin) + " and " + std::to_string(end - 1) + ", which are of one offset";
}

inline std::string fault_of_pairs(const PairsToCheck& pairs) {
  int64_t before = 0;
  for (int64_t k = 0; k <= pairs.num_offsets; ++k) {
    const int64_t least = before, most = k == 0 ? 0 : pairs.num_pairs;
    if (pairs.offsets[k] < least || pairs.offsets[k] > most)
      return "offsets[" + std::to_string(k) + "] is " + std::to_string(pairs.offsets[k]) + ", expected " +
             std::to_string(least) + " to " + std::to_string(most);
    before = pairs.offsets[k];
  }
  for (int64_t k = 0; k < pairs.num_offsets; ++k) {
    const int64_t begin = pairs.offsets[k], end = pairs.offsets[k + 1];
    std::string fault = fault_of_rows("in_row", pairs.in_row, begin, end, pairs.num_in);
    if (fault.empty()) fault = fault_of_rows("out_row", pairs.out_row, begin, end, pairs.num_out);
    if (!fault.empty()) return fault;
  }
  return "";
}

}  // namespace pc_ssl::cpu

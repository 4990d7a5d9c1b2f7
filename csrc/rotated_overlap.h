// The geometry of rotated_boxes.h, written once: Number is float, double or, on the CPU, a vector of them, one box a lane.
// Nothing of the standard library is used here (see cpu/loops_impl.h), and nothing branches on a Number.
//
// Area shared by rectangles a and b, in the frame where b is |x| <= half_l, |y| <= half_w: walking once around a, the integral
// of y dx with x and y clamped to b. Every edge adds a continuous function of its ends, so corners on edges, parallel and
// equal edges need no special case, and the error stays a few roundings of the coordinates in that frame.
#pragma once

#ifdef __CUDACC__
#define PC_SSL_ANYWHERE __host__ __device__ __forceinline__
#else
#define PC_SSL_ANYWHERE inline __attribute__((always_inline))
#endif

namespace pc_ssl {

// A box with what all its pairs need. Seen from above, low and high are 0 and 1. One that overlaps nothing has a NaN for x.
template <typename Number>
struct Box {
  Number x, y;              // centre
  Number half_l, half_w;
  Number cos, sin;          // of the yaw
  Number radius;            // of the circle around it
  Number measure;           // area or volume
  Number low, high;         // ends in z
};

constexpr int kBoxFields = 10;

template <typename Number>
PC_SSL_ANYWHERE Number smaller(const Number& a, const Number& b) {
  return a < b ? a : b;
}

template <typename Number>
PC_SSL_ANYWHERE Number larger(const Number& a, const Number& b) {
  return a > b ? a : b;
}

template <typename Number>
PC_SSL_ANYWHERE Number clamped(const Number& value, const Number& limit) {
  return larger<Number>(smaller<Number>(value, limit), -limit);
}

// The box of a row; cos and sin of its yaw are the caller's to find, and the root of the squared radius, which is in radius.
template <typename T>
PC_SSL_ANYWHERE Box<T> box_of_row(const T* row, bool in_3d) {
  const T l = row[3], w = row[4], yaw = row[6], not_a_number = static_cast<T>(__builtin_nanf(""));
  const T z = in_3d ? row[2] : T(0.5f), h = in_3d ? row[5] : T(1);
  const T half_l = T(0.5f) * l, half_w = T(0.5f) * w, half_h = T(0.5f) * h;
  const T measure = l * w * h;
  const T all = row[0] + row[1] + z + l + w + h + yaw + measure;
  const bool solid = l > 0 && w > 0 && h > 0 && measure > 0 && all - all == 0;
  return {solid ? row[0] : not_a_number, row[1], half_l, half_w, T(1), T(0), half_l * half_l + half_w * half_w, measure,
          z - half_h, z + half_h};
}

// The integral of y dx along the edge from p to q, both clamped; slope is dy / dx of the edge, or 0 where it is vertical.
template <typename Number>
PC_SSL_ANYWHERE Number edge_integral(const Number& px, const Number& py, const Number& qx, const Number& qy,
                                     const Number& slope, const Number& half_l, const Number& half_w) {
  const Number ax = clamped<Number>(px, half_l), bx = clamped<Number>(qx, half_l);
  const Number ay = py + (ax - px) * slope, by = qy + (bx - qx) * slope;
  const Number a = clamped<Number>(ay, half_w), b = clamped<Number>(by, half_w);
  const Number rise = by - ay;
  // the share of the edge that is between -half_w and half_w: there the mean height is that of its ends, else the limit
  const Number share = rise != 0.0f ? (b - a) / rise : Number{};
  return (bx - ax) * 0.5f * ((1.0f - share) * (a + b) + share * (ay + by));
}

template <typename Number>
PC_SSL_ANYWHERE Number slope_of(const Number& dx, const Number& dy) {
  const Number size = dx < 0.0f ? -dx : dx;
  return size > 1e-30f ? dy / dx : Number{};
}

template <typename Number>
PC_SSL_ANYWHERE Number shared_area(const Box<Number>& a, const Box<Number>& b) {
  const Number dx = a.x - b.x, dy = a.y - b.y;
  const Number x = b.cos * dx + b.sin * dy, y = b.cos * dy - b.sin * dx;
  const Number cos = b.cos * a.cos + b.sin * a.sin, sin = b.cos * a.sin - b.sin * a.cos;
  const Number lx = cos * a.half_l, ly = sin * a.half_l, wx = -sin * a.half_w, wy = cos * a.half_w;
  const Number x0 = x + lx + wx, y0 = y + ly + wy, x1 = x - lx + wx, y1 = y - ly + wy;
  const Number x2 = x - lx - wx, y2 = y - ly - wy, x3 = x + lx - wx, y3 = y + ly - wy;
  const Number along = slope_of<Number>(lx, ly), across = slope_of<Number>(wx, wy);
  return -(edge_integral<Number>(x0, y0, x1, y1, along, b.half_l, b.half_w) +
           edge_integral<Number>(x1, y1, x2, y2, across, b.half_l, b.half_w) +
           edge_integral<Number>(x2, y2, x3, y3, along, b.half_l, b.half_w) +
           edge_integral<Number>(x3, y3, x0, y0, across, b.half_l, b.half_w));
}

// Whether the circles around two boxes meet; never for a box that overlaps nothing.
template <typename Number>
PC_SSL_ANYWHERE auto may_overlap(const Box<Number>& a, const Box<Number>& b) {
  const Number dx = a.x - b.x, dy = a.y - b.y, reach = a.radius + b.radius;
  return dx * dx + dy * dy <= reach * reach;
}

// Of boxes that may overlap.
template <typename Number>
PC_SSL_ANYWHERE Number iou_of(const Box<Number>& a, const Box<Number>& b) {
  const Number height = smaller<Number>(a.high, b.high) - larger<Number>(a.low, b.low);
  const Number shared = shared_area<Number>(a, b) * (height > 0.0f ? height : Number{});
  const Number ratio = shared / (a.measure + b.measure - shared);
  const Number positive = shared > 0.0f ? ratio : Number{};
  return positive < 1.0f ? positive : Number{} + 1.0f;
}

}  // namespace pc_ssl

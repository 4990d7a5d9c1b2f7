// Schemas of the compiled ops; region_pool.h, rotated_boxes.h and sparse_conv.h say what they mean, cpu/ and cuda/ compute them, and
// pc_ssl/ops/ adds fake kernels, autograd and autocast.
#include <Python.h>
#include <torch/library.h>

TORCH_LIBRARY(pc_ssl, m) {
  m.def("region_plan(Tensor region, SymInt num_regions) -> (Tensor order, Tensor offsets)");
  m.def(
      "region_sum(Tensor feature, Tensor region, SymInt num_regions, bool mean, Tensor? order, Tensor? offsets)"
      " -> (Tensor pooled, Tensor counts)");
  m.def(
      "region_extremum(Tensor feature, Tensor region, SymInt num_regions, bool largest, bool with_point, Tensor? order,"
      " Tensor? offsets) -> (Tensor pooled, Tensor point)");
  m.def("region_extremum_grad(Tensor grad, Tensor point, Tensor region) -> Tensor");
  m.def(
      "region_gather(Tensor region_feature, Tensor region, Tensor? counts, Tensor? order, Tensor? offsets) -> Tensor");
  m.def("rotated_iou(Tensor a, Tensor b, bool in_3d) -> Tensor");
  m.def("rotated_nms(Tensor boxes, Tensor? group, float threshold, SymInt? max_kept) -> Tensor kept");
  m.def(
      "sparse_conv_pairs(Tensor index, int[3] in_shape, int[3] out_shape, int[3] kernel, int[3] stride, int[3] padding,"
      " bool submanifold) -> (Tensor out_index, Tensor in_row, Tensor out_row, Tensor offsets)");
  m.def(
      "sparse_conv(Tensor feature, Tensor weight, Tensor in_row, Tensor out_row, Tensor offsets, SymInt num_out) -> Tensor");
  m.def(
      "sparse_conv_weight_grad(Tensor feature, Tensor grad, Tensor in_row, Tensor out_row, Tensor offsets) -> Tensor");
  m.def("circle_nms(Tensor center, Tensor squared_distance, Tensor? group, SymInt? max_kept) -> Tensor kept");
}

// `import pc_ssl._C` has nothing to offer but the registration above.
PyMODINIT_FUNC PyInit__C() {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}

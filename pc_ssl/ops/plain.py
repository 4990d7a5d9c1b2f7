"""The compiled ops in plain torch, registered instead if pc_ssl._C is missing. Slower, with the same results.

Schemas are those of csrc/ops.cpp; fake kernels, autograd and autocast come from the same modules as for the compiled
ones. Results agree within rounding, not to the bit: torch adds in its own order. `reference.py` is for reading and for
tests, one region at a time; this module computes all regions at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pc_ssl.ops.reference import rotated_iou_reference

SCHEMAS = (
    "region_plan(Tensor region, SymInt num_regions) -> (Tensor order, Tensor offsets)",
    "region_sum(Tensor feature, Tensor region, SymInt num_regions, bool mean, Tensor? order, Tensor? offsets)"
    " -> (Tensor pooled, Tensor counts)",
    "region_extremum(Tensor feature, Tensor region, SymInt num_regions, bool largest, bool with_point, Tensor? order,"
    " Tensor? offsets) -> (Tensor pooled, Tensor point)",
    "region_extremum_grad(Tensor grad, Tensor point, Tensor region) -> Tensor",
    "region_gather(Tensor region_feature, Tensor region, Tensor? counts, Tensor? order, Tensor? offsets) -> Tensor",
    "rotated_iou(Tensor a, Tensor b, bool in_3d) -> Tensor",
    "rotated_nms(Tensor boxes, Tensor? group, float threshold, SymInt? max_kept) -> Tensor kept",
    "circle_nms(Tensor center, Tensor squared_distance, Tensor? group, SymInt? max_kept) -> Tensor kept",
    "sparse_conv_pairs(Tensor index, int[3] in_shape, int[3] out_shape, int[3] kernel, int[3] stride, int[3] padding,"
    " bool submanifold) -> (Tensor out_index, Tensor in_row, Tensor out_row, Tensor offsets)",
    "sparse_conv(Tensor feature, Tensor weight, Tensor in_row, Tensor out_row, Tensor offsets, SymInt num_out)"
    " -> Tensor",
    "sparse_conv_weight_grad(Tensor feature, Tensor grad, Tensor in_row, Tensor out_row, Tensor offsets) -> Tensor",
)
PAIRS_AT_ONCE = 20_000  # of boxes: about 100 MB
_libraries: list[torch.library.Library] = []  # torch unregisters a library when it is garbage-collected


def register() -> None:
    """Define the ops of torch.ops.pc_ssl in this process; only if the compiled ones are missing."""
    library = torch.library.Library("pc_ssl", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
        name = schema[: schema.index("(")]
        for device in ("CPU", "CUDA"):
            library.impl(name, globals()[name], device)
    _libraries.append(library)


def region_plan(region: Tensor, num_regions: int) -> tuple[Tensor, Tensor]:
    _check_ids(region, num_regions)
    key = torch.where(region < 0, num_regions, region).long()
    counts = torch.bincount(key, minlength=num_regions + 1)[:num_regions]
    return key.argsort(stable=True).int(), torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def region_sum(
    feature: Tensor, region: Tensor, num_regions: int, mean: bool, order: Tensor | None, offsets: Tensor | None
) -> tuple[Tensor, Tensor]:
    rows, ids = _inside(feature, region, num_regions, order, offsets)
    wide = _wide(feature)[rows]
    pooled = wide.new_zeros(num_regions, feature.shape[1]).index_add_(0, ids, wide)
    counts = torch.bincount(ids, minlength=num_regions)
    if mean:
        pooled = pooled / counts.clamp(min=1).unsqueeze(1)
    return pooled.to(feature.dtype), counts


def region_extremum(
    feature: Tensor,
    region: Tensor,
    num_regions: int,
    largest: bool,
    with_point: bool,
    order: Tensor | None,
    offsets: Tensor | None,
) -> tuple[Tensor, Tensor]:
    rows, ids = _inside(feature, region, num_regions, order, offsets)
    value = feature[rows]
    index = ids.unsqueeze(1).expand(value.shape)
    pooled = feature.new_zeros(num_regions, feature.shape[1])
    pooled.scatter_reduce_(0, index, value, "amax" if largest else "amin", include_self=False)
    best = pooled[ids]
    is_best = (value == best) | (value.isnan() & best.isnan())
    row = torch.where(is_best, rows.int().unsqueeze(1), len(feature)).int()
    point = row.new_full(pooled.shape, len(feature)).scatter_reduce_(0, index, row, "amin")
    point.masked_fill_(point == len(feature), -1)
    return pooled, point if with_point else point[:0]


def region_extremum_grad(grad: Tensor, point: Tensor, region: Tensor) -> Tensor:
    rows, ids = _inside(None, region, len(grad), None, None)
    out = grad.new_zeros(len(region), grad.shape[1])
    out[rows] = torch.where(point[ids] == rows.unsqueeze(1), grad[ids], 0)
    return out


def region_gather(
    region_feature: Tensor, region: Tensor, counts: Tensor | None, order: Tensor | None, offsets: Tensor | None
) -> Tensor:
    rows, ids = _inside(None, region, len(region_feature), order, offsets)
    table = region_feature
    if counts is not None:
        table = (_wide(table) / counts.clamp(min=1).unsqueeze(1)).to(table.dtype)
    out = table.new_zeros(len(region), table.shape[1])
    out[rows] = table[ids]
    return out


def rotated_iou(a: Tensor, b: Tensor, in_3d: bool) -> Tensor:
    first, second = (_solid_boxes(boxes, in_3d) for boxes in (a, b))
    step = max(PAIRS_AT_ONCE // max(len(b), 1), 1)
    parts = [rotated_iou_reference(first[k : k + step], second, in_3d) for k in range(0, len(a), step)]
    iou = torch.cat(parts) if parts else first.new_zeros(0, len(b))
    return iou.nan_to_num(0).clamp(0, 1).to(a.dtype)


def rotated_nms(boxes: Tensor, group: Tensor | None, threshold: float, max_kept: int | None) -> Tensor:
    return _greedy(rotated_iou(boxes, boxes, False) > threshold, group, max_kept)


def circle_nms(center: Tensor, squared_distance: Tensor, group: Tensor | None, max_kept: int | None) -> Tensor:
    squared = (center[:, None, :2] - center[None, :, :2]).square().sum(-1)
    return _greedy(squared <= squared_distance.unsqueeze(1), group, max_kept)


def _greedy(drops: Tensor, group: Tensor | None, max_kept: int | None) -> Tensor:
    """drops [N, N]: box i, if kept, drops box j. Boxes come best first."""
    if group is not None:
        drops = drops & (group.unsqueeze(1) == group)
    host = drops.cpu()
    kept = torch.zeros(len(host), dtype=torch.bool)
    dropped = torch.zeros(len(host), dtype=torch.bool)
    left = len(host) if max_kept is None else max_kept
    for i in range(len(host)):
        if left <= 0:
            break
        if not dropped[i]:
            kept[i] = True
            dropped |= host[i]
            left -= 1
    return kept.to(drops.device)


def sparse_conv_pairs(
    index: Tensor,
    in_shape: list[int],
    out_shape: list[int],
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    submanifold: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    _check_voxels(index, in_shape)
    offsets = torch.cartesian_prod(*(torch.arange(size) for size in kernel)).reshape(-1, 3)
    scaled = index[:, 1:].long() + torch.tensor(padding) - offsets[:, None]
    place = scaled.div(torch.tensor(stride), rounding_mode="floor")
    meets = (scaled % torch.tensor(stride) == 0) & (place >= 0) & (place < torch.tensor(out_shape))
    cell = torch.where(meets.all(2), _cells(index[:, 0].long(), place, out_shape), -1)  # [K, V]
    cells = _cells(index[:, 0].long(), index[:, 1:].long(), in_shape) if submanifold else cell[cell >= 0].unique()
    row = torch.searchsorted(cells, cell).clamp(max=max(len(cells) - 1, 0))
    found = (cell >= 0) & (cells[row] == cell) if len(cells) else torch.zeros_like(cell, dtype=torch.bool)
    counts = found.sum(1)
    z, y, x = out_shape
    columns = [cells // (z * y * x), cells // (y * x) % z, cells // x % y, cells % x]
    return (
        torch.stack(columns, 1).int(),
        found.nonzero()[:, 1].int(),
        row[found].int(),
        torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
    )


def sparse_conv(
    feature: Tensor, weight: Tensor, in_row: Tensor, out_row: Tensor, offsets: Tensor, num_out: int
) -> Tensor:
    _check_pairs(in_row, out_row, offsets, len(feature), num_out)
    out = feature.new_zeros(num_out, weight.shape[2])
    for k, (begin, end) in enumerate(zip(offsets.tolist(), offsets[1:].tolist(), strict=False)):
        out.index_add_(0, out_row[begin:end], feature[in_row[begin:end]] @ weight[k])
    return out


def sparse_conv_weight_grad(feature: Tensor, grad: Tensor, in_row: Tensor, out_row: Tensor, offsets: Tensor) -> Tensor:
    _check_pairs(in_row, out_row, offsets, len(feature), len(grad))
    bounds = zip(offsets.tolist(), offsets[1:].tolist(), strict=False)
    products = [feature[in_row[begin:end]].T @ grad[out_row[begin:end]] for begin, end in bounds]
    return torch.stack(products) if products else feature.new_zeros(0, feature.shape[1], grad.shape[1])


def _cells(frame: Tensor, place: Tensor, shape: list[int]) -> Tensor:
    """Flat cells [..., V] of voxels at place [..., V, 3] (z, y, x) in frames [V]."""
    z, y, x = shape
    return ((frame * z + place[..., 0]) * y + place[..., 1]) * x + place[..., 2]


def _check_voxels(index: Tensor, shape: list[int]) -> None:
    if index.ndim != 2 or index.shape[1] != 4 or index.dtype != torch.int32:
        raise ValueError(f"index must be int32 [V, 4], got {index.dtype} {list(index.shape)}")
    place = index[:, 1:]
    inside = (index[:, 0] >= 0) & ((place >= 0) & (place < torch.tensor(shape))).all(1)
    cell = _cells(index[:, 0].long(), place.long(), shape)
    follows = torch.cat([inside.new_ones(min(len(cell), 1)), cell[1:] > cell[:-1]])
    if not (inside & follows).all():
        k = int((~(inside & follows)).int().argmax())
        raise ValueError(
            f"index[{k}] is outside the shape {list(shape)} or does not follow the voxel before it: voxels must ascend "
            "strictly by frame, z, y, x"
        )


def _check_pairs(in_row: Tensor, out_row: Tensor, offsets: Tensor, num_in: int, num_out: int) -> None:
    for name, tensor, dtype in (("in_row", in_row, torch.int32), ("out_row", out_row, torch.int32),
                                ("offsets", offsets, torch.int64)):  # fmt: skip
        if tensor.ndim != 1 or tensor.dtype != dtype:
            raise ValueError(f"{name} must be a vector of {dtype}, got {tensor.dtype} {list(tensor.shape)}")
    if len(in_row) != len(out_row) or len(offsets) == 0:
        raise ValueError(f"in_row has {len(in_row)} entries, out_row {len(out_row)}, offsets {len(offsets)}")
    if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any() or offsets[-1] > len(in_row):
        raise ValueError(f"sparse_conv: offsets must ascend from 0 to at most {len(in_row)}, got {offsets.tolist()}")
    for name, row, size in (("in_row", in_row, num_in), ("out_row", out_row, num_out)):
        for begin, end in zip(offsets.tolist(), offsets[1:].tolist(), strict=False):
            part = row[begin:end]
            if len(part) and not ((part[1:] > part[:-1]).all() and part[0] >= 0 and part[-1] < size):
                raise ValueError(
                    f"sparse_conv: {name} must ascend strictly within 0 to {size - 1} between pairs {begin} and "
                    f"{end - 1}, which are of one offset"
                )


def _solid_boxes(boxes: Tensor, in_3d: bool) -> Tensor:
    """[N, 7] float64; a box with a number that is not finite becomes one of size 0, which overlaps nothing."""
    if boxes.ndim != 2 or boxes.shape[1] < 7 or not boxes.is_floating_point():
        raise ValueError(f"boxes must be floating [N, 7 or more], got {boxes.dtype} {list(boxes.shape)}")
    rows = boxes[:, :7].double()
    counted = rows if in_3d else rows[:, [0, 1, 3, 4, 6]]
    return torch.where(counted.isfinite().all(1, keepdim=True), rows, 0)


def _wide(feature: Tensor) -> Tensor:
    return feature if feature.dtype == torch.float64 else feature.float()


def _inside(
    feature: Tensor | None, region: Tensor, num_regions: int, order: Tensor | None, offsets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Rows of the points that belong to a region, and their ids, as int64. Of a plan only the sizes are used."""
    _check_ids(region, num_regions)
    if feature is not None and (feature.ndim != 2 or len(feature) != len(region)):
        raise ValueError(f"feature has {len(feature)} rows but region {len(region)} ids")
    for name, tensor, size in (("order", order, len(region)), ("offsets", offsets, num_regions + 1)):
        if tensor is not None and tensor.shape != (size,):
            raise ValueError(f"the plan's {name} must be [{size}], got {list(tensor.shape)}")
    rows = (region >= 0).nonzero().squeeze(1)
    return rows, region[rows].long()


def _check_ids(region: Tensor, num_regions: int) -> None:
    if region.ndim != 1 or region.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"region must be int32 or int64 [N], got {region.dtype} {list(region.shape)}")
    if num_regions < 0:
        raise ValueError(f"num_regions must not be negative, got {num_regions}")
    bad = (region < -1) | (region >= num_regions)
    if bad.any():
        k = int(bad.int().argmax())
        allowed = f" or 0 to {num_regions - 1}" if num_regions else ""
        raise ValueError(
            f"region[{k}] is {int(region[k])}, expected -1 (no region){allowed}, as num_regions is {num_regions}"
        )

"""The ops in plain torch: reference implementations for reading and for tests, not for speed."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def region_pool_reference(feature: Tensor, region: Tensor, num_regions: int, reduce: str = "mean") -> Tensor:
    """The twin of `pc_ssl.ops.region_pool`, one region at a time.

    Args:
        feature: [N, C] floating point.
        region: [N] int32 or int64; points with the id -1 are left out.
        num_regions: R.
        reduce: "mean", "sum", "max" or "min".

    Returns:
        [R, C] of the dtype of `feature`; half types are added in float32. An empty region gives 0.
    """
    wide = feature.double() if feature.dtype == torch.float64 else feature.float()
    rows = [_reduce(wide[region == r], reduce) for r in range(num_regions)]
    pooled = torch.stack(rows) if rows else wide.new_zeros(0, feature.shape[1])
    return pooled.to(feature.dtype)


def region_gather_reference(region_feature: Tensor, region: Tensor) -> Tensor:
    """The twin of `pc_ssl.ops.region_gather`: [R, C] -> [N, C], 0 where the id is -1."""
    padded = torch.cat([region_feature, region_feature.new_zeros(1, region_feature.shape[1])])
    row = torch.where(region < 0, len(region_feature), region)
    return padded[row.long()]


def region_softmax_reference(score: Tensor, region: Tensor, num_regions: int) -> Tensor:
    """The twin of `pc_ssl.ops.region_softmax`: softmax of [N, C] over the points of each region."""
    rows = torch.arange(len(score))
    inside = [rows[region == r] for r in range(num_regions)]
    weights = torch.cat([score[row].softmax(dim=0) for row in inside] + [score[region < 0] * 0])
    back = torch.argsort(torch.cat([*inside, rows[region < 0]]))
    return weights[back]


def _reduce(points: Tensor, reduce: str) -> Tensor:
    """[n, C] -> [C]. Ties of max and min go to the lowest point, and their gradient with them."""
    if len(points) == 0:
        return points.sum(dim=0)
    if reduce in ("max", "min"):
        extremum = points.amax(dim=0) if reduce == "max" else points.amin(dim=0)
        first = ((points == extremum) | points.isnan()).int().argmax(dim=0, keepdim=True)
        return points.gather(0, first).squeeze(0)
    return points.mean(dim=0) if reduce == "mean" else points.sum(dim=0)


def rotated_iou_reference(a: Tensor, b: Tensor, in_3d: bool) -> Tensor:
    """The twin of `rotated_iou_bev` and `rotated_iou_3d`: all pairs at once, in the dtype of the boxes.

    The shared polygon is the hull of the corners of either box that lie in the other and of the points where their
    sides cross; its area comes from the corners sorted by angle.

    Args:
        a: [N, 7 or more]: x y z l w h yaw.
        b: [M, 7 or more].
        in_3d: volumes, else areas seen from above.

    Returns:
        [N, M].
    """
    first, second = a[:, None, :7].expand(-1, len(b), -1), b[None, :, :7].expand(len(a), -1, -1)
    own, other = _corners(first), _corners(second)
    crossing, crosses = _crossings(own, other)
    vertex = torch.cat([own, other, crossing], dim=2)
    counts = torch.cat([_inside(own, second), _inside(other, first), crosses], dim=2)
    shared = _area_of_hull(vertex, counts)
    size_a, size_b = (box[..., 3] * box[..., 4] for box in (first, second))
    solid = (first[..., 3:5] > 0).all(-1) & (second[..., 3:5] > 0).all(-1)
    if in_3d:
        top = torch.minimum(first[..., 2] + first[..., 5] / 2, second[..., 2] + second[..., 5] / 2)
        bottom = torch.maximum(first[..., 2] - first[..., 5] / 2, second[..., 2] - second[..., 5] / 2)
        shared = shared * (top - bottom).clamp(min=0)
        size_a, size_b = size_a * first[..., 5], size_b * second[..., 5]
        solid &= (first[..., 5] > 0) & (second[..., 5] > 0)
    return torch.where(solid, shared / (size_a + size_b - shared), 0)


def nms_reference(
    drops: Tensor, scores: Tensor, classes: Tensor | None = None, max_kept: int | None = None
) -> list[int]:
    """The twin of `rotated_nms` and `circle_nms`: one box after the other.

    Args:
        drops: [N, N] bool: box i, if kept, drops box j.
        scores, classes, max_kept: as `rotated_nms`.

    Returns:
        Kept indices by falling score.
    """
    kept: list[int] = []
    for j in sorted(range(len(scores)), key=lambda i: (-scores[i].item(), i)):
        rivals = [i for i in kept if classes is None or classes[i] == classes[j]]
        if not any(drops[i, j] for i in rivals):
            kept.append(j)
    return kept[:max_kept]


def conv_pairs_reference(
    index: Tensor,
    out_shape: tuple[int, int, int],
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    padding: tuple[int, int, int],
) -> list[list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    """Input and output voxels that meet under each offset of a kernel, one voxel at a time.

    Args:
        index: [V, 4]: frame, z, y, x of the input voxels.
        out_shape, kernel, stride, padding: along z, y, x; input = stride * output - padding + offset.

    Returns:
        For each offset (x fastest, then y, then z) pairs of voxels (frame, z, y, x), in the order of `index`.
    """
    found = []
    for offset in itertools.product(*(range(size) for size in kernel)):
        pairs = []
        for frame, *place in index.tolist():
            scaled = [at + p - k for at, p, k in zip(place, padding, offset, strict=True)]
            out = [value // s for value, s in zip(scaled, stride, strict=True)]
            whole = all(value % s == 0 for value, s in zip(scaled, stride, strict=True))
            if whole and all(0 <= value < size for value, size in zip(out, out_shape, strict=True)):
                pairs.append(((frame, *place), (frame, *out)))
        found.append(pairs)
    return found


def sparse_conv_reference(
    feature: Tensor, weight: Tensor, in_row: Tensor, out_row: Tensor, offsets: Tensor, num_out: int
) -> Tensor:
    """The twin of `pc_ssl.ops.sparse_conv`: one pair at a time; [num_out, C_out]."""
    rows = [feature.new_zeros(weight.shape[2]) for _ in range(num_out)]
    for k in range(len(weight)):
        for p in range(int(offsets[k]), int(offsets[k + 1])):
            rows[int(out_row[p])] = rows[int(out_row[p])] + feature[int(in_row[p])] @ weight[k]
    return torch.stack(rows) if rows else feature.new_zeros(0, weight.shape[2])


def _corners(box: Tensor) -> Tensor:
    """[N, M, 7] -> [N, M, 4, 2], counter-clockwise."""
    sign = box.new_tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    x, y = (sign * box[..., None, 3:5] / 2).unbind(-1)
    cos, sin = box[..., 6:7].cos(), box[..., 6:7].sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1) + box[..., None, :2]


def _inside(point: Tensor, box: Tensor) -> Tensor:
    """Points [N, M, P, 2] in boxes [N, M, 7], their border included."""
    x, y = (point - box[..., None, :2]).unbind(-1)
    cos, sin = box[..., 6:7].cos(), box[..., 6:7].sin()
    half_l, half_w = box[..., 3:4] / 2, box[..., 4:5] / 2
    slack = 32 * torch.finfo(box.dtype).eps * (half_l + half_w + box[..., :2].abs().amax(-1, keepdim=True))
    return ((cos * x + sin * y).abs() <= half_l + slack) & ((cos * y - sin * x).abs() <= half_w + slack)


def _crossings(own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Where sides of quadrilaterals [N, M, 4, 2] cross: points [N, M, 16, 2], and which are any."""
    p, along = own[..., :, None, :], (own.roll(-1, 2) - own)[..., :, None, :]
    q, across = other[..., None, :, :], (other.roll(-1, 2) - other)[..., None, :, :]
    turn, gap = _cross(along, across), q - p
    parallel = turn.abs() <= 1e-12
    safe = turn.masked_fill(parallel, 1)
    t, u = _cross(gap, across) / safe, _cross(gap, along) / safe
    meets = ~parallel & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
    return (p + t.unsqueeze(-1) * along).flatten(2, 3), meets.flatten(2, 3)


def _area_of_hull(vertex: Tensor, counts: Tensor) -> Tensor:
    """Area of the convex polygon with the vertices [N, M, P, 2] that count [N, M, P], in any order, some twice."""
    weight = counts.unsqueeze(-1)
    number = weight.sum(2, keepdim=True).clamp(min=1)
    around = torch.where(weight, vertex - (vertex * weight).sum(2, keepdim=True) / number, 0)
    angle = torch.atan2(around[..., 1], around[..., 0]).masked_fill(~counts, torch.inf)
    order = angle.argsort(dim=2)
    around = around.gather(2, order.unsqueeze(-1).expand_as(around))
    # after the last vertex follow points at the centre, which close the polygon only if the first follows the last
    last = (counts.sum(2) - 1).clamp(min=0)
    rank = torch.arange(counts.shape[2], device=counts.device)
    following = torch.where(rank == last.unsqueeze(-1), 0, rank + 1).clamp(max=counts.shape[2] - 1)
    after = around.gather(2, following.unsqueeze(-1).expand_as(around))
    return _cross(around, after).masked_fill(rank > last.unsqueeze(-1), 0).sum(2).abs() / 2


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]

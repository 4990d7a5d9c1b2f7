"""Region pooling in plain torch: the meaning of the op, for reading and for tests; speed is not its aim."""

from __future__ import annotations

import torch
from torch import Tensor


def region_pool_reference(feature: Tensor, region: Tensor, num_regions: int, reduce: str = "mean") -> Tensor:
    """The twin of `pc_ssl.ops.region_pool`, one region at a time.

    Args:
        feature: [N, C] floating point.
        region: [N] int32 or int64; ids below 0 are left out.
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
    """The twin of `pc_ssl.ops.region_gather`: [R, C] -> [N, C], 0 where the id is below 0."""
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

"""Distillation losses: a student's features are matched to a teacher's at the same points. Float32 (float64 stays)."""

from __future__ import annotations

import torch
from torch import Tensor

from pc_ssl.losses.objectives import INFO_NCE, Objective
from pc_ssl.losses.reduction import connected_zero


def region_aware_distillation(
    student: Tensor,
    teacher: Tensor,
    region: Tensor,
    temperature: float,
    weight: Tensor | None = None,
    objective: Objective = INFO_NCE,
) -> Tensor:
    """RAD (CALICO Eq. 3): every region has the same weight, however many of its points were sampled.

    -1/|S| sum_S 1/N_S sum_{i in S} log[ exp(c_i . l_i / t) / sum_k exp(c_i . l_k / t) ], over the regions S that hold
    sampled points, N_S of them; k runs over all sampled points, those outside regions included. The weight 1/N_S is the
    paper's; the rest of the formula is reconstructed.

    Args:
        student: [S, D] c, unit length.
        teacher: [S, D] l at the same points, unit length.
        region: [S] int64 region of each point, unique over the batch; -1 means none: such a point serves only as a
            negative.
        temperature: t.
        weight: [S] to use instead of `region_weight(region)`.
        objective: replaces InfoNCE, the equation above.

    Returns:
        Scalar; a zero that is connected to both inputs when no point is inside a region.
    """
    weight = region_weight(region) if weight is None else weight
    anchors = weight.nonzero()[:, 0]
    if len(anchors) == 0:
        dtype = torch.promote_types(student.dtype, torch.float32)
        return connected_zero(student.to(dtype), teacher.to(dtype))
    return objective(student[anchors], teacher, temperature=temperature, positive=anchors, weight=weight[anchors])


def region_weight(region: Tensor) -> Tensor:
    """[S] float32: 1 / N_S for the N_S points of each region, 0 for points outside regions (-1)."""
    inside = region >= 0
    if not bool(inside.any()):
        return torch.zeros(len(region), device=region.device)
    size = region[inside].bincount()
    return torch.where(inside, 1.0 / size[region.clamp(min=0)], 0.0)

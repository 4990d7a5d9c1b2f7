"""Mean distances between the rows of two tensors, in float32 (float64 stays)."""

from __future__ import annotations

import torch
from torch import Tensor

from pc_ssl.losses.reduction import connected_zero


def mean_squared_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the rows [n, D] of |student - teacher|^2; a zero connected to `student` when n is 0."""
    dtype = torch.promote_types(student.dtype, torch.float32)
    if len(student) == 0:
        return connected_zero(student.to(dtype))
    return (student.to(dtype) - teacher.to(dtype)).square().sum(dim=1).mean()


def mean_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the rows [n, D] of |student - teacher|; a zero connected to `student` when n is 0.

    Puy et al., "Three Pillars improving Vision Foundation Model Distillation for Lidar", CVPR 2024, Eq. 1. Where the
    two are equal the gradient is zero.
    """
    dtype = torch.promote_types(student.dtype, torch.float32)
    if len(student) == 0:
        return connected_zero(student.to(dtype))
    return torch.linalg.vector_norm(student.to(dtype) - teacher.to(dtype), dim=1).mean()

"""Reduction of one term per anchor to a scalar."""

from __future__ import annotations

import torch
from torch import Tensor


def weighted_mean(term: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over term [N], N > 0, with the weights [N] >= 0; a connected zero when they are all zero."""
    if weight is None:
        return term.mean()
    weight = weight.to(term.dtype)
    return (term * weight).sum() / weight.sum().clamp(min=torch.finfo(term.dtype).tiny)


def connected_zero(*inputs: Tensor | float | None) -> Tensor:
    """0 as a function of the inputs that are tensors, so that every parameter behind them gets a gradient of zeros."""
    return torch.stack([value.sum() for value in inputs if isinstance(value, Tensor)]).sum() * 0.0

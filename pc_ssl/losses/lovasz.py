"""Lovasz-Softmax: a surrogate for the mean intersection over union.

Berman, Rannen Triki, Blaschko: "The Lovasz-Softmax loss: A tractable surrogate for the optimization of the
intersection-over-union measure in neural networks", CVPR 2018, Eq. 8-11.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ONE = 0x3F800000  # the bits of 1.0 in float32


def lovasz_softmax(probability: Tensor, target: Tensor) -> Tensor:
    """Mean over the classes that occur in `target` of the Lovasz extension of the Jaccard loss.

    For class c with errors m_i = |[target_i = c] - probability_ic| sorted downwards, the loss is
    sum_i m_i * (J_i - J_(i-1)), where J_i is the Jaccard loss of the class if exactly the i points of largest error
    were wrong.

    Args:
        probability: [N, C] within 0..1, rows sum to 1; computed in float32.
        target: [N] int64 in 0..C-1; the caller removes points to be ignored.

    Returns:
        Scalar; a zero that is connected to `probability` when N is 0.
    """
    if len(target) == 0:
        return probability.sum() * 0.0
    present = torch.bincount(target, minlength=probability.shape[1]).nonzero()[:, 0]
    foreground = target == present[:, None]  # [P, N]: a class is a row, so that sorting reads memory in order
    error = (foreground.float() - probability.float().T[present]).abs()
    return (error * _jaccard_steps(error.detach(), foreground)).sum() / len(present)


@torch.no_grad()
def _jaccard_steps(error: Tensor, foreground: Tensor) -> Tensor:
    """J_i - J_(i-1) of each point, for each class; both arguments are [P, N].

    The points are sorted as whole numbers: the bits of the error, which ascend as errors from 0 to 1 do, and the row.
    """
    rows = torch.arange(error.shape[1], device=error.device)
    order = _sorted(((ONE - error.view(torch.int32).long()) << 32) | rows) & 0xFFFFFFFF
    member = foreground.gather(1, order)
    total = member.sum(dim=1, keepdim=True)
    found = member.cumsum(dim=1)
    union = total + (rows + 1) - found
    jaccard = 1 - (total - found) / union
    steps = torch.cat([jaccard[:, :1], jaccard.diff(dim=1)], dim=1)
    return torch.empty_like(error).scatter_(1, order, steps)


def _sorted(keys: Tensor) -> Tensor:
    """Each row [P, N] ascending; numpy sorts whole numbers several times as fast as torch on a CPU."""
    if keys.device.type == "cpu":
        return torch.from_numpy(np.sort(keys.numpy(), axis=1))
    return keys.sort(dim=1).values

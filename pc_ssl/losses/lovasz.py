"""Lovasz-Softmax: a surrogate for the mean intersection over union.

Berman, Rannen Triki, Blaschko: "The Lovasz-Softmax loss: A tractable surrogate for the optimization of the
intersection-over-union measure in neural networks", CVPR 2018, Eq. 8-11.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lovasz_softmax(probability: Tensor, target: Tensor) -> Tensor:
    """Mean over the classes that occur in `target` of the Lovasz extension of the Jaccard loss.

    For class c with errors m_i = |[target_i = c] - probability_ic| sorted downwards, the loss is
    sum_i m_i * (J_i - J_(i-1)), where J_i is the Jaccard loss of the class if exactly the i points of largest error
    were wrong.

    Args:
        probability: [N, C], rows sum to 1; computed in float32.
        target: [N] int64 in 0..C-1; the caller removes points to be ignored.

    Returns:
        Scalar; a zero that is connected to `probability` when N is 0.
    """
    if len(target) == 0:
        return probability.sum() * 0.0
    present = target.unique()
    foreground = (target[:, None] == present).float()
    error, order = (foreground - probability[:, present].float()).abs().sort(dim=0, descending=True)
    return (error * _jaccard_steps(foreground.gather(0, order))).sum(dim=0).mean()


def _jaccard_steps(foreground: Tensor) -> Tensor:
    """J_i - J_(i-1) for each class; foreground [N, P] holds 1 for points of the class, sorted by error."""
    total = foreground.sum(dim=0)
    intersection = total - foreground.cumsum(dim=0)
    union = total + (1 - foreground).cumsum(dim=0)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:1], jaccard.diff(dim=0)])

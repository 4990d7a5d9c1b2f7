"""Focal losses, in float32 (float64 stays).

Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, and its penalty-reduced form of Law and Deng,
"CornerNet: Detecting Objects as Paired Keypoints", ECCV 2018, Eq. 1, which trains the heat maps of CenterPoint.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


def sigmoid_focal(logit: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """-alpha_t (1 - p_t)^gamma log p_t of each element (Lin et al., Eq. 5).

    Args:
        logit: any shape.
        target: the same shape, 0 or 1.
        alpha: weight of targets 1, 1 - alpha that of targets 0; with a negative alpha both have weight 1.
        gamma: focusing exponent.

    Returns:
        The shape of `logit`, not reduced.
    """
    dtype = torch.promote_types(logit.dtype, torch.float32)
    logit, target = logit.to(dtype), target.to(dtype)
    cross_entropy = binary_cross_entropy_with_logits(logit, target, reduction="none")
    probability = logit.sigmoid()
    wrong = probability * (1 - target) + (1 - probability) * target
    loss = wrong**gamma * cross_entropy
    return loss if alpha < 0 else (alpha * target + (1 - alpha) * (1 - target)) * loss


def gaussian_focal(logit: Tensor, target: Tensor, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Sum over a heat map, divided by the number of centres, or by 1 if there is none (Law and Deng, Eq. 1).

    -(1 - p)^alpha log p at centres, -(1 - y)^beta p^alpha log(1 - p) elsewhere.

    Args:
        logit: any shape; p is its sigmoid.
        target: the same shape, y: 1 at centres, in 0..1 around them.
        alpha: focusing exponent.
        beta: how much the penalty is reduced near centres.

    Returns:
        Scalar.
    """
    dtype = torch.promote_types(logit.dtype, torch.float32)
    logit, target = logit.to(dtype), target.to(dtype)
    probability, centre = logit.sigmoid(), target == 1
    at_centre = (1 - probability) ** alpha * logsigmoid(logit)
    elsewhere = (1 - target) ** beta * probability**alpha * logsigmoid(-logit)
    return -torch.where(centre, at_centre, elsewhere).sum() / centre.sum().clamp(min=1)

"""Alignment and uniformity on the unit sphere, as losses.

Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere",
ICML 2020, Sec. 4.1. Between two sensors: Fahim, Murphy, Fyshe, "It's Not a Modality Gap: Characterizing and Addressing
the Contrastive Gap", 2024, add alignment, the uniformity of each modality and that across modalities to InfoNCE, which
leaves the modalities in different parts of the sphere. Reconstructed: the mean over pairs in the uniformity across
modalities, which is Wang and Isola's.

Computed in float32 (float64 stays); the distances of all pairs are never held at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pc_ssl.losses.distances import mean_squared_distance
from pc_ssl.losses.reduction import connected_zero
from pc_ssl.losses.similarity import Pairs, similarity_logsumexp


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean over the rows of |x_i - y_i|^2 (alpha = 2); rows i [N, D] of unit length are views of one point. Scalar."""
    return mean_squared_distance(first, second)


def uniformity(embedding: Tensor, t: float = 2.0) -> Tensor:
    """log of the mean over all pairs i != j of exp(-t |x_i - x_j|^2): lower means more evenly spread.

    Args:
        embedding: [N, D] x of unit length.
        t: 2 in the paper.

    Returns:
        Scalar, at most 0; a zero that is connected to the input when N is below 2.
    """
    return cross_uniformity(embedding, embedding, t)


def cross_uniformity(first: Tensor, second: Tensor, t: float = 2.0) -> Tensor:
    """log of the mean over all pairs i != j of exp(-t |x_i - y_j|^2): 0 if all rows coincide; lower if rows are apart.

    Args:
        first: [N, D] x of unit length.
        second: [N, D] y of unit length; row i is the counterpart of row i of `first`; the two do not form a pair.
        t: 2 in the paper.

    Returns:
        Scalar, at most 0; a zero that is connected to the inputs when N is below 2.

    Raises:
        ValueError: shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"first {list(first.shape)} and second {list(second.shape)} must have one shape")
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        first, second = first.to(dtype), second.to(dtype)
        if len(first) < 2:
            return connected_zero(first, second)
        # -t |x - y|^2 = (2 t x, 1) . (y, -t |y|^2) - t |x|^2
        anchor = torch.cat([2 * t * first, torch.ones_like(first[:, :1])], dim=1)
        candidate = torch.cat([second, -t * second.square().sum(dim=1, keepdim=True)], dim=1)
        others = similarity_logsumexp(anchor, candidate, Pairs(torch.arange(len(first), device=first.device)))
        total = (others - t * first.square().sum(dim=1)).logsumexp(dim=0)
        return total - math.log(len(first) * (len(first) - 1))

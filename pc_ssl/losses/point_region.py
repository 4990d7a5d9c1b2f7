"""Point-region contrast: the two losses of PRC.

Sun et al., "CALICO: Self-Supervised Camera-LiDAR Contrastive Pre-training for BEV Perception", ICLR 2024, Sec. 2.2.
What the paper is known to say: the positives of PLRC are the pairs across views whose points share a region, its
negatives the points of other regions and those outside regions; RAPC contrasts each point with itself in the other view
(Eq. 1); their sum is weighted by alpha (Eq. 2). Reconstructed: the normalisation of PLRC over positives, and which
points are the negatives of RAPC (`Negatives`).

Both compare L2-normalised embeddings of S points in a first view with the same S points in a second view, in float32
(float64 stays), one block of anchors at a time: the blocks are computed again in the backward pass, so that memory
grows with S, not with S * S.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

# Similarities that are held at once: 2 MiB in float32, which stay in a core's cache; a GPU wants large blocks.
BLOCK_ELEMENTS = 2**19
BLOCK_ELEMENTS_CUDA = 2**26
LEFT_OUT = -1e30  # similarity of a point that is no negative: exp() gives 0, and the gradient stays finite


class Negatives(StrEnum):
    """Which points of the second view a point of the first is told apart from in RAPC.

    ALL_POINTS: all but itself: plain InfoNCE over the drawn points.
    OTHER_REGIONS: those of other regions and those outside regions: "region-aware" in that a point is not pushed away
        from its own region. A point outside regions is told apart from all.
    """

    ALL_POINTS = "all_points"
    OTHER_REGIONS = "other_regions"


def point_level_region_contrast(first: Tensor, second: Tensor, region: Tensor, temperature: float) -> Tensor:
    """PLRC (CALICO Eq. 1): each point is drawn to all points of its region in the other view.

    -1/N sum_i 1/|P_i| sum_{j in P_i} log[ e_ij / (e_ij + sum_{k: r_k != r_i} e_ik) ], with e_ij = exp(p_i . q_j / t),
    P_i = {j: r_j = r_i}, over the N anchors i that lie inside a region.

    Args:
        first: [S, D] embeddings p of unit length.
        second: [S, D] embeddings q of the same points in the other view.
        region: [S] int64 region r of each point, unique over the batch; -1 means none: such a point is no anchor, and a
            negative of every anchor.
        temperature: t.

    Returns:
        Scalar; a zero that is connected to both inputs when no point lies inside a region.
    """
    anchors = (region >= 0).nonzero()[:, 0]
    if len(anchors) == 0:
        return (first.sum() + second.sum()) * 0.0
    region_size = region[anchors].bincount()

    def block(anchor: Tensor, candidate: Tensor, rows: Tensor) -> Tensor:
        similarity = (anchor / temperature) @ candidate.T
        same = region[rows, None] == region
        negatives = similarity.masked_fill(same, LEFT_OUT).logsumexp(dim=1)
        pair = same.flatten().nonzero()[:, 0]  # all (i, j in P_i)
        i = pair // len(candidate)
        term = softplus(negatives[i] - similarity.flatten()[pair])
        return (term / region_size[region[rows]][i]).sum()

    return _sum_over_blocks(block, first, second, anchors) / len(anchors)


def region_aware_point_contrast(
    first: Tensor, second: Tensor, region: Tensor, temperature: float, negatives: Negatives
) -> Tensor:
    """RAPC (CALICO Eq. 1): each point is drawn to itself in the other view.

    -1/S sum_i log[ e_ii / (e_ii + sum_{k in K_i} e_ik) ], with e_ij = exp(p_i . q_j / t), and K_i as `negatives` says.

    Args:
        first: [S, D] embeddings p of unit length.
        second: [S, D] embeddings q of the same points in the other view.
        region: [S] int64 region of each point, unique over the batch; -1 means none.
        temperature: t.
        negatives: reconstructed; see `Negatives`.

    Returns:
        Scalar; a zero that is connected to both inputs when S is 0.
    """
    if len(first) == 0:
        return (first.sum() + second.sum()) * 0.0

    def block(anchor: Tensor, candidate: Tensor, rows: Tensor) -> Tensor:
        similarity = (anchor / temperature) @ candidate.T
        own = similarity.gather(1, rows[:, None])[:, 0]
        if negatives is Negatives.OTHER_REGIONS:
            itself = rows[:, None] == torch.arange(len(candidate), device=rows.device)
            same = (region[rows, None] == region) & (region[rows, None] >= 0)
            similarity = similarity.masked_fill(same & ~itself, LEFT_OUT)
        return (similarity.logsumexp(dim=1) - own).sum()

    return _sum_over_blocks(block, first, second, torch.arange(len(first), device=first.device)) / len(first)


def chance_level(num_candidates: int) -> float:
    """What InfoNCE over so many candidates amounts to when the embeddings say nothing: ln of their number."""
    return math.log(max(num_candidates, 1))


def _sum_over_blocks(
    block: Callable[[Tensor, Tensor, Tensor], Tensor], first: Tensor, second: Tensor, anchors: Tensor
) -> Tensor:
    """Sum of `block(first[rows], second, rows)` over blocks of the rows `anchors`, in float32 or float64."""
    dtype = torch.promote_types(first.dtype, torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        first, second = first.to(dtype), second.to(dtype)
        elements = BLOCK_ELEMENTS_CUDA if first.is_cuda else BLOCK_ELEMENTS
        blocks = anchors.split(max(1, elements // max(len(second), 1)))
        if len(blocks) == 1:
            return block(first[anchors], second, anchors)
        sums = [checkpoint(block, first[rows], second, rows, use_reentrant=False) for rows in blocks]
        return torch.stack(sums).sum()

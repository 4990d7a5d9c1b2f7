"""Point-region contrast: the two losses of PRC.

Sun et al., "CALICO: Self-Supervised Camera-LiDAR Contrastive Pre-training for BEV Perception", ICLR 2024, Sec. 2.2.
Published: the positives of PLRC are the pairs across views whose points share a region, its
negatives the points of other regions and those outside regions; RAPC contrasts each point with itself in the other view
(Eq. 1); their sum is weighted by alpha (Eq. 2). Reconstructed: the normalisation of PLRC over positives, and which
points are the negatives of RAPC (`Negatives`).

Both compare L2-normalised embeddings of S points in a first view with the same S points in a second view, in float32
(float64 stays), by blocks of similarities (`losses/similarity.py`): memory grows with S, not with S * S.
"""

from __future__ import annotations

import math
from enum import StrEnum

import torch
from torch import Tensor

from pc_ssl.losses.objectives import INFO_NCE, Objective
from pc_ssl.losses.reduction import connected_zero
from pc_ssl.losses.similarity import Pairs, pairwise_softplus, similarity_logsumexp


class Negatives(StrEnum):
    """Which points of the second view are the negatives of a point of the first view in RAPC.

    ALL_POINTS: all but the point itself: plain InfoNCE over the sampled points.
    OTHER_REGIONS: those of other regions and those outside regions: "region-aware" in that a point is not pushed away
        from its own region. For a point outside regions all other points are negatives.
    """

    ALL_POINTS = "all_points"
    OTHER_REGIONS = "other_regions"


def point_level_region_contrast(first: Tensor, second: Tensor, region: Tensor, temperature: float) -> Tensor:
    """PLRC (CALICO Eq. 1): each point is attracted to all points of its region in the other view.

    -1/N sum_i 1/|P_i| sum_{j in P_i} log[ e_ij / (e_ij + sum_{k: r_k != r_i} e_ik) ], with e_ij = exp(p_i . q_j / t),
    P_i = {j: r_j = r_i}, over the N anchors i that lie inside a region.

    Args:
        first: [S, D] embeddings p of unit length.
        second: [S, D] embeddings q of the same points in the other view.
        region: [S] int64 region r of each point, unique over the batch; -1 means none: such a point is not an anchor,
            but a negative of every anchor.
        temperature: t.

    Returns:
        Scalar; a zero that is connected to both inputs when no point is inside a region.
    """
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        first, second = first.to(dtype), second.to(dtype)
        anchors = (region >= 0).nonzero()[:, 0]
        if len(anchors) == 0:
            return connected_zero(first, second)
        own = region[anchors]
        scaled = first[anchors] / temperature
        negatives = similarity_logsumexp(scaled, second, Pairs(None, own, region))
        terms = pairwise_softplus(scaled, second, negatives, Pairs(None, own, region, within_group=True))
        return (terms / own.bincount()[own]).mean()


def region_aware_point_contrast(
    first: Tensor,
    second: Tensor,
    region: Tensor,
    temperature: float,
    negatives: Negatives,
    objective: Objective = INFO_NCE,
) -> Tensor:
    """RAPC (CALICO Eq. 1): each point is attracted to itself in the other view.

    -1/S sum_i log[ e_ii / (e_ii + sum_{k in K_i} e_ik) ], with e_ij = exp(p_i . q_j / t), and K_i the points that
    `negatives` selects.

    Args:
        first: [S, D] embeddings p of unit length.
        second: [S, D] embeddings q of the same points in the other view.
        region: [S] int64 region of each point, unique over the batch; -1 means none.
        temperature: t.
        negatives: reconstructed; see `Negatives`.
        objective: replaces InfoNCE, the equation above.

    Returns:
        Scalar; a zero that is connected to both inputs when S is 0.
    """
    group = region if negatives is Negatives.OTHER_REGIONS else None
    return objective(first, second, temperature=temperature, group=group, region=region)


def chance_level(num_candidates: int) -> float:
    """InfoNCE of uninformative embeddings over `num_candidates` candidates: ln(num_candidates), in nats."""
    return math.log(max(num_candidates, 1))

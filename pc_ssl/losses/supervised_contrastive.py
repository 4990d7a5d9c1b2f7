"""Supervised contrastive loss: an anchor has several positives, all candidates of its group.

Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, Eq. 2 and 3, with groups (segments, regions, classes) in
the place of labels. Computed in float32 (float64 stays); the similarities are never held at once.
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

from pc_ssl.losses.reduction import connected_zero, weighted_mean
from pc_ssl.losses.similarity import Pairs, similarity_logsumexp
from pc_ssl.ops import region_gather, region_pool


class PositiveMean(StrEnum):
    """Whether the mean over an anchor's positives is taken outside or inside the logarithm.

    OUTSIDE_LOG: mean of logarithms, Eq. 2 (L_out): every positive is attracted. The paper's choice.
    INSIDE_LOG: logarithm of the mean, Eq. 3 (L_in): the nearest positives dominate.
    """

    OUTSIDE_LOG = "outside_log"
    INSIDE_LOG = "inside_log"


def supervised_contrastive(
    anchor: Tensor,
    candidate: Tensor,
    anchor_group: Tensor,
    candidate_group: Tensor,
    *,
    temperature: float | Tensor,
    mean: PositiveMean = PositiveMean.OUTSIDE_LOG,
    itself: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Weighted mean over the anchors i that have positives P_i of l_i, with e_ij = exp(a_i . c_j / t).

    Eq. 2: l_i = -1/|P_i| sum_{p in P_i} log [ e_ip / sum_{j in A_i} e_ij ]
    Eq. 3: l_i = -log [ 1/|P_i| sum_{p in P_i} e_ip / sum_{j in A_i} e_ij ]

    P_i holds the candidates of the anchor's group, A_i all candidates; the anchor itself belongs to neither.

    Args:
        anchor: [N, D] a, usually of unit length.
        candidate: [M, D] c, usually of unit length.
        anchor_group: [N] int64; -1 means none: no positives.
        candidate_group: [M] int64; -1 means none: a negative of all.
        temperature: t; a tensor may be learned.
        mean: Eq. 2 or Eq. 3.
        itself: [N] int64, row of `candidate` that is the anchor itself; -1: none. None: the candidates are of another
            view or sensor, and no anchor is among them.
        weight: [N] >= 0 weight of each anchor in the mean. None: equal weights.

    Returns:
        Scalar; a zero that is connected to all inputs when no anchor has a positive.

    Raises:
        ValueError: shapes do not match.
    """
    if weight is not None and weight.shape != (len(anchor),):
        raise ValueError(f"weight must be [{len(anchor)}], got {list(weight.shape)}")
    dtype = torch.promote_types(torch.promote_types(anchor.dtype, candidate.dtype), torch.float32)
    with torch.autocast(anchor.device.type, enabled=False):
        anchor, candidate = anchor.to(dtype), candidate.to(dtype)
        scaled = anchor / temperature
        total = similarity_logsumexp(scaled, candidate, Pairs(excluded=itself))
        groups = Pairs(itself, anchor_group, candidate_group, within_group=True)
        groups.check(len(anchor), len(candidate))
        own, other, num_groups = _renumbered(anchor_group, candidate_group)
        size = torch.bincount(other[other >= 0], minlength=num_groups)
        count = torch.where(own >= 0, size[own], 0)
        if itself is not None:
            among = (itself >= 0) & (own >= 0) & (other[itself] == own)
            count = count - among.long()
        positives = count > 0
        if not bool(positives.any()):
            return connected_zero(anchor, candidate, temperature)
        if mean is PositiveMean.INSIDE_LOG:
            near = similarity_logsumexp(scaled, candidate, groups) - count.to(dtype).log()
        else:
            together = region_gather(region_pool(candidate, other, num_groups, "sum"), own)
            if itself is not None:
                together = together - torch.where(among[:, None], candidate[itself], 0)
            near = (scaled * together).sum(dim=1) / count.clamp(min=1)
        counts = positives.to(dtype)
        return weighted_mean(torch.where(positives, total - near, 0), counts if weight is None else counts * weight)


def _renumbered(anchor_group: Tensor, candidate_group: Tensor) -> tuple[Tensor, Tensor, int]:
    """The groups as ids in 0..G-1 (-1 stays), and G >= 1."""
    groups = torch.cat([anchor_group, candidate_group])
    ids, number = groups.unique(return_inverse=True)
    number = torch.where(groups < 0, -1, number)
    return number[: len(anchor_group)], number[len(anchor_group) :], max(len(ids), 1)

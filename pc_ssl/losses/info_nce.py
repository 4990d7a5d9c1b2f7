"""InfoNCE and its variants: each anchor identifies its positive among the candidates.

van den Oord, Li, Vinyals: "Representation Learning with Contrastive Predictive Coding", 2018, Eq. 4. Computed in
float32 (float64 stays); the similarities of all anchors to all candidates are never held at once
(`losses/similarity.py`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pc_ssl.losses.reduction import connected_zero, weighted_mean
from pc_ssl.losses.similarity import Pairs, similarity_logsumexp


def info_nce(
    anchor: Tensor,
    candidate: Tensor,
    *,
    temperature: float | Tensor,
    positive: Tensor | None = None,
    weight: Tensor | None = None,
    anchor_group: Tensor | None = None,
    candidate_group: Tensor | None = None,
    candidate_weight: Tensor | None = None,
    own_negative: Tensor | None = None,
    decoupled: bool = False,
) -> Tensor:
    """Weighted mean over the anchors i of -log [ e_ip / (e_ip + sum_{j in K_i} w_j e_ij) ], e_ij = exp(a_i . c_j / t).

    p is the positive of i and K_i its negatives: all other candidates, without those of the anchor's own group, if
    groups are given.

    Args:
        anchor: [N, D] a, usually of unit length.
        candidate: [M, D] c, usually of unit length. Candidates beyond the N-th, e.g. from a queue, are further
            negatives.
        temperature: t; a tensor may be learned.
        positive: [N] int64, row of `candidate` of each anchor's positive; -1 leaves the anchor out. None: candidate i
            is the positive of anchor i.
        weight: [N] >= 0 weight of each anchor in the mean. None: equal weights.
        anchor_group: [N] int64; a candidate of the same group is not a negative of the anchor (its positive stays). -1
            means none: all other candidates are negatives. Requires `candidate_group`.
        candidate_group: [M] int64 group of each candidate; -1: none.
        candidate_weight: [M] >= 0 weight w of each candidate as a negative; treated as a constant, without gradient.
        own_negative: [N, K, D] further negatives of each anchor alone (`hard_negative_mixing`), with w = 1.
        decoupled: leave e_ip out of the denominator: DCL (Yeh et al., "Decoupled Contrastive Learning", ECCV 2022,
            Eq. 6). The loss can then be negative, and an anchor without negatives is left out.

    Returns:
        Scalar; a zero that is connected to all inputs when no anchor has positive weight.

    Raises:
        ValueError: shapes do not match, or `positive` is missing and N > M.
    """
    if positive is None and len(candidate) < len(anchor):
        raise ValueError(f"{len(anchor)} anchors have no positives among {len(candidate)} candidates: give positive")
    for name, value in (("positive", positive), ("weight", weight)):
        if value is not None and value.shape != (len(anchor),):
            raise ValueError(f"{name} must be [{len(anchor)}], got {list(value.shape)}")
    dtype = torch.promote_types(torch.promote_types(anchor.dtype, candidate.dtype), torch.float32)
    with torch.autocast(anchor.device.type, enabled=False):
        anchor, candidate = anchor.to(dtype), candidate.to(dtype)
        own_negative = None if own_negative is None else own_negative.to(dtype)
        inputs = (anchor, candidate, own_negative, temperature)
        if positive is not None and bool((positive < 0).any()):
            rows = (positive >= 0).nonzero()[:, 0]
            anchor, positive = anchor[rows], positive[rows]
            weight, anchor_group, own_negative = (
                None if value is None else value[rows] for value in (weight, anchor_group, own_negative)
            )
        if len(anchor) == 0:
            return connected_zero(*inputs)
        anchor = anchor / temperature
        own = (anchor * (candidate[: len(anchor)] if positive is None else candidate[positive])).sum(dim=1)
        everything = not decoupled and anchor_group is None and candidate_group is None and candidate_weight is None
        if everything:
            total = similarity_logsumexp(anchor, candidate)
        else:
            itself = torch.arange(len(anchor), device=anchor.device) if positive is None else positive
            pairs = Pairs(itself, anchor_group, candidate_group, candidate_weight=candidate_weight)
            total = similarity_logsumexp(anchor, candidate, pairs)
        if own_negative is not None:
            similarity = torch.einsum("nd,nkd->nk", anchor, own_negative)
            total = torch.logaddexp(total, similarity.logsumexp(dim=1))
        if decoupled:
            term = torch.where(total == -math.inf, 0, total - own)
            counts = (total > -math.inf).to(dtype)
            weight = counts if weight is None else weight * counts
        else:
            term = (total if everything else torch.logaddexp(total, own)) - own
        return weighted_mean(term, weight)

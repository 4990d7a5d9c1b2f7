"""Foreground against background by correlated points: the second term of FAC.

Liu et al., "FAC: 3D Representation Learning via Foreground Aware Feature Contrast", CVPR 2023. Published, in the
abstract: a Siamese correspondence network adaptively learns correlations within and across the two views, and
foreground is distinguished from background. Reconstructed: both formulas here, how many positives there are and how
they are weighted. `foreground_contrast` correlates points by the similarity of their embeddings;
`learned_foreground_contrast` by queries and keys, which `models/correlation.py` learns. Computed in float32 (float64
stays).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from pc_ssl.losses.nearest import most_similar
from pc_ssl.losses.reduction import connected_zero, weighted_mean
from pc_ssl.losses.similarity import Pairs, similarity_logsumexp


class Correspondence(StrEnum):
    """Which foreground points are an anchor's positives.

    ACROSS_AND_WITHIN: the most correlated points of the other view and, in a separate term, the most correlated other
        points of the anchor's view. Within-view positives do not compensate for dissimilar cross-view positives.
    ACROSS: the most correlated points of the other view.
    SAME_POINT: the anchor's point in the other view alone; no positives from other points.
    """

    ACROSS_AND_WITHIN = "across_and_within"
    ACROSS = "across"
    SAME_POINT = "same_point"


@dataclass(frozen=True)
class Correlation:
    """Queries and keys of S points in one view: point i is correlated with point j by query_i . key_j.

    Args:
        query: [S, E]; what the scale divides.
        key: [S, E].

    Raises:
        ValueError: the shapes differ.
    """

    query: Tensor
    key: Tensor

    def __post_init__(self) -> None:
        if self.query.dim() != 2 or self.query.shape != self.key.shape:
            raise ValueError(
                f"Correlation: expected query and key of one shape [S, E], got {list(self.query.shape)} and "
                f"{list(self.key.shape)}"
            )


def foreground_contrast(
    first: Tensor,
    second: Tensor,
    foreground: Tensor,
    temperature: float,
    *,
    correspondence: Correspondence = Correspondence.ACROSS_AND_WITHIN,
    correlated: int = 4,
    weighted: bool = True,
) -> Tensor:
    """L_fore, the mean over the foreground points i of both views, as anchors, of

    -log [ sum_{p in P_i} w_ip e_ip / (sum_{p in P_i} w_ip e_ip + sum_{k in B} e_ik) ], e_ij = exp(z_i . z_j / t),

    with the positives P_i that `correspondence` selects, and B the background points of both views. A set of positives
    whose weights are all zero is left out; an anchor with two sets has two terms.

    Args:
        first: [S, D] embeddings z of unit length, of the shared projection.
        second: [S, D] embeddings of the same points in the other view.
        foreground: [S] bool.
        temperature: t.
        correspondence: reconstructed.
        correlated: number of positives of an anchor in each view; all foreground points if there are fewer.
        weighted: w_ip = max(z_i . z_p, 0), without gradient: weakly correlated points get little weight.
            False: w_ip = 1.

    Returns:
        Scalar; a zero that is connected to both inputs when no anchor has a positive.

    Raises:
        ValueError: `correlated` is below 1.
    """
    if correlated < 1:
        raise ValueError(f"correlated must be 1 or more, got {correlated}")
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        views = first.to(dtype), second.to(dtype)
        background = torch.cat([view[~foreground] for view in views])
        terms, counts = [], []
        for anchor, other in ((views[0], views[1]), (views[1], views[0])):
            anchor, other = anchor[foreground], other[foreground]
            far = similarity_logsumexp(anchor / temperature, background)
            for positive in _positives(anchor, other, correspondence, correlated):  # [n, K, D]
                similarity = torch.einsum("nd,nkd->nk", anchor, positive)
                weight = similarity.detach().clamp(min=0) if weighted else torch.ones_like(similarity)
                counts.append((weight > 0).any(dim=1).to(dtype))
                weight = torch.where(counts[-1][:, None] > 0, weight, 1)  # any value: the term has weight 0
                near = (similarity / temperature + weight.log()).logsumexp(dim=1)
                terms.append(torch.logaddexp(near, far) - near)
        term = torch.cat(terms)
        if len(term) == 0:
            return connected_zero(*views)
        return weighted_mean(term, torch.cat(counts)) + connected_zero(*views)


def learned_foreground_contrast(
    first: Tensor,
    second: Tensor,
    correlation: tuple[Correlation, Correlation],
    foreground: Tensor,
    temperature: float,
    *,
    correspondence: Correspondence = Correspondence.ACROSS_AND_WITHIN,
) -> Tensor:
    """L_fore with learned weights, the mean over the foreground points i of both views, as anchors, of

    -log [ sum_{p in C_i} w_ip e_ip / (sum_{p in C_i} w_ip e_ip + sum_{k in B} e_ik) ], e_ij = exp(z_i . z_j / t),
    w_ip = exp(q_i . k_p) / sum_{j in C_i} exp(q_i . k_j).

    The candidates C_i are the foreground points of the other view and, in a separate term, the other foreground points
    of the anchor's view; B are the background points of both views. The weights have a gradient: queries and keys learn
    which candidates belong to the anchor, and no fixed number of them is selected.

    All of it is reconstructed. Nothing in the formula keeps the weights from moving towards the candidates that are
    already the most similar to the anchor.

    q_i . k_p + z_i . z_p / t is an inner product of concatenated vectors, so the sums are computed in blocks, and
    memory grows with S, not with S * S.

    Args:
        first: [S, D] embeddings z of unit length, of the shared projection.
        second: [S, D] embeddings of the same points in the other view.
        correlation: q and k of the first and of the second view, S points each.
        foreground: [S] bool.
        temperature: t.
        correspondence: candidates; not SAME_POINT, which leaves nothing to weight.

    Returns:
        Scalar; a zero that is connected to all inputs when there is no foreground point.

    Raises:
        ValueError: `correspondence` is SAME_POINT, or lengths differ.
    """
    if correspondence is Correspondence.SAME_POINT:
        raise ValueError("correspondence 'same_point' has one candidate for each anchor: there are no weights to learn")
    if any(len(own.query) != len(first) for own in correlation):
        raise ValueError(f"expected queries and keys of {len(first)} points, got {[len(c.query) for c in correlation]}")
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        views = first.to(dtype), second.to(dtype)
        queries = [own.query.to(dtype) for own in correlation]
        keys = [own.key.to(dtype) for own in correlation]
        background = torch.cat([view[~foreground] for view in views])
        zero = connected_zero(*views, *queries, *keys)
        itself = torch.arange(int(foreground.sum()), device=first.device)
        terms = []
        for own, other in ((0, 1), (1, 0)):
            anchor, query = views[own][foreground] / temperature, queries[own][foreground]
            far = similarity_logsumexp(anchor, background)
            sets = [(other, Pairs())]
            if correspondence is Correspondence.ACROSS_AND_WITHIN and len(itself) > 1:
                sets.append((own, Pairs(excluded=itself)))
            for view, pairs in sets:
                candidate, key = views[view][foreground], keys[view][foreground]
                both = similarity_logsumexp(torch.cat([query, anchor], 1), torch.cat([key, candidate], 1), pairs)
                near = both - similarity_logsumexp(query, key, pairs)  # log sum_p w_ip e_ip
                terms.append(torch.logaddexp(near, far) - near)
        return torch.cat(terms).mean() + zero if len(itself) else zero


def _positives(anchor: Tensor, other: Tensor, correspondence: Correspondence, correlated: int) -> list[Tensor]:
    """Sets of positives, [n, K, D] each, of the anchors [n, D]; row i of `other` [n, D] is the same point."""
    if correspondence is Correspondence.SAME_POINT:
        return [other[:, None]]
    across = other[most_similar(anchor, other, min(correlated, len(other)))]
    if correspondence is Correspondence.ACROSS or len(anchor) < 2:
        return [across]
    itself = torch.arange(len(anchor), device=anchor.device)
    return [across, anchor[most_similar(anchor, anchor, min(correlated, len(anchor) - 1), left_out=itself)]]

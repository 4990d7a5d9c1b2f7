"""Foreground against background by learned correspondence: the second term of FAC.

Liu et al., "FAC: 3D Representation Learning via Foreground Aware Feature Contrast", CVPR 2023. Published: a Siamese
correspondence network learns correlations within and across the two views, by which foreground features that belong
together are found, and foreground is contrasted with background. Reconstructed: the formula, how many positives there
are and how they are weighted (`Correspondence`, `correlated`). Computed in float32 (float64 stays).
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

from pc_ssl.losses.nearest import most_similar
from pc_ssl.losses.reduction import connected_zero, weighted_mean
from pc_ssl.losses.similarity import similarity_logsumexp


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


def _positives(anchor: Tensor, other: Tensor, correspondence: Correspondence, correlated: int) -> list[Tensor]:
    """Sets of positives, [n, K, D] each, of the anchors [n, D]; row i of `other` [n, D] is the same point."""
    if correspondence is Correspondence.SAME_POINT:
        return [other[:, None]]
    across = other[most_similar(anchor, other, min(correlated, len(other)))]
    if correspondence is Correspondence.ACROSS or len(anchor) < 2:
        return [across]
    itself = torch.arange(len(anchor), device=anchor.device)
    return [across, anchor[most_similar(anchor, anchor, min(correlated, len(anchor) - 1), left_out=itself)]]

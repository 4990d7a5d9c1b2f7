"""Diagnostics of embeddings, logged with the loss: collapse, and the negatives of a contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_ROWS = 1024  # rows at most on which effective rank and uniformity are computed
MAX_ANCHORS = 256  # rows at most whose negatives are weighed


@torch.no_grad()
def collapse_monitors(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Monitors of embeddings of the same points in two views.

    Args:
        first: [S, D] of unit length.
        second: [S, D] of unit length; row i is the same point as row i of `first`.

    Returns:
        Scalars in float32; all zero when S is below 2, NaN where an embedding is not finite. Never raises: the
            training loop checks for values that are not finite and reports them.
        "feature_std": mean over the D channels of the standard deviation, times sqrt(D): 1 for embeddings spread over
            the sphere, 0 for embeddings collapsed to a point.
        "effective_rank": exp of the entropy of the normalised singular values of the centred embeddings, 1..D (Roy and
            Vetterli, "The effective rank", EUSIPCO 2007, Sec. 2).
        "alignment": mean squared distance of the two views of a point; 0 is perfect (Wang and Isola, "Understanding
            Contrastive Representation Learning through Alignment and Uniformity", ICML 2020, Sec. 4.1.1, alpha = 2).
        "uniformity": log of the mean of exp(-2 d^2) over pairs of different points; lower means more evenly spread
            (same, Sec. 4.1.2, t = 2).
    """
    names = ("feature_std", "effective_rank", "alignment", "uniformity")
    if len(first) < 2:
        return {name: torch.zeros((), device=first.device) for name in names}
    first, second = first.float(), second.float()
    some = first[:: -(-len(first) // MAX_ROWS)]
    try:
        singular = torch.linalg.svdvals(some - some.mean(dim=0))
    except torch.linalg.LinAlgError:  # not finite, or a decomposition that did not converge
        singular = first.new_full((1,), torch.nan)
    share = singular / singular.sum().clamp(min=torch.finfo(singular.dtype).tiny)
    return {
        "feature_std": first.std(dim=0).mean() * first.shape[1] ** 0.5,
        "effective_rank": torch.special.entr(share).sum().exp(),
        "alignment": (first - second).square().sum(dim=1).mean(),
        "uniformity": torch.pdist(some).square().mul(-2).exp().mean().log(),
    }


@torch.no_grad()
def negative_monitors(
    anchor: Tensor, candidate: Tensor, temperature: float, positive: Tensor | None = None
) -> dict[str, Tensor]:
    """How many of an anchor's negatives carry the push of a contrastive loss.

    The gradient of InfoNCE pushes an anchor from negative j with the weight w_j = exp(s_j / t) / sum_k exp(s_k / t)
    over its negatives (Wang and Liu, "Understanding the Behaviour of Contrastive Loss", CVPR 2021, Eq. 7). All
    candidates except the anchor's positive count as its negatives.

    Args:
        anchor: [N, D] of unit length.
        candidate: [M, D] of unit length.
        temperature: t of the loss.
        positive: [N] int64, row of `candidate` of each anchor's positive; None: candidate i is that of anchor i.

    Returns:
        Means over at most MAX_ANCHORS anchors at even distances, scalars in float32; all zero without an anchor or with
            fewer than two candidates, NaN where an embedding is not finite.
        "effective_negatives": exp of the entropy of w: 1 if a single negative carries the push, M - 1 if all carry as
            much.
        "negative_share": this divided by M - 1.
    """
    if len(anchor) == 0 or len(candidate) < 2:
        return {name: torch.zeros((), device=anchor.device) for name in ("effective_negatives", "negative_share")}
    some = torch.arange(0, len(anchor), -(-len(anchor) // MAX_ANCHORS), device=anchor.device)
    own = some if positive is None else positive[some]
    scores = anchor[some].float() @ candidate.float().T / temperature
    weight = scores.scatter(1, own[:, None], -torch.inf).softmax(dim=1)
    effective = torch.special.entr(weight).sum(dim=1).exp().mean()
    return {"effective_negatives": effective, "negative_share": effective / (len(candidate) - 1)}

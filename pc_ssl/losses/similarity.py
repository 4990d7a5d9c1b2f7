"""Log-sum-exp over the similarities of all anchors to all candidates, computed in blocks.

Shared by the contrastive losses. The forward pass goes over blocks of similarities that stay in the cache and keeps one
number for each anchor; the backward pass computes each block again and adds its share to the gradients, which are known
in closed form: d lse_i / d s_ij = exp(s_ij - lse_i). Memory grows with N + M, not with N * M.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

# Similarities that are held at once: 2 MiB in float32, which stay in a core's cache; a GPU wants large blocks.
BLOCK_ELEMENTS = 2**19
BLOCK_ELEMENTS_CUDA = 2**26
WITHIN_GROUP = 16  # times smaller for pairs of equal groups, which are near the diagonal: fewer similarities are wasted


@dataclass(frozen=True)
class Pairs:
    """Which candidates enter the sum of which anchor, and with what weight.

    Args:
        excluded: [N] int64: one candidate that is excluded for each anchor; -1 means none.
        anchor_group: [N] int64 group of each anchor; -1 means none. Together with `candidate_group`.
        candidate_group: [M] int64 group of each candidate; -1 means none: equal to no other.
        within_group: True: only pairs of equal groups enter; False: only the others.
        candidate_weight: [M] factor >= 0 of each candidate's exponential; treated as a constant, without gradient.
    """

    excluded: Tensor | None = None
    anchor_group: Tensor | None = None
    candidate_group: Tensor | None = None
    within_group: bool = False
    candidate_weight: Tensor | None = None

    def check(self, anchors: int, candidates: int) -> None:
        """Raises ValueError if a shape does not match N anchors and M candidates, or only one side has groups."""
        if (self.anchor_group is None) != (self.candidate_group is None):
            raise ValueError("anchor_group and candidate_group are given together or not at all")
        for name, length in (
            ("excluded", anchors), ("anchor_group", anchors),
            ("candidate_group", candidates), ("candidate_weight", candidates),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value.shape != (length,):
                raise ValueError(f"{name} must be [{length}], got {list(value.shape)}")

    def reordered(self, order: Tensor, candidate_order: Tensor) -> Pairs:
        """The same pairs when row k of the anchors is order[k], and of the candidates candidate_order[k]."""
        excluded = self.excluded
        if excluded is not None:
            excluded = torch.where(excluded < 0, -1, candidate_order.argsort()[excluded])[order]
        own, other = self.anchor_group, self.candidate_group
        return Pairs(
            excluded,
            None if own is None else own[order],
            None if other is None else other[candidate_order],
            self.within_group,
            None if self.candidate_weight is None else self.candidate_weight[candidate_order],
        )


def similarity_logsumexp(anchor: Tensor, candidate: Tensor, pairs: Pairs | None = None) -> Tensor:
    """lse_i = log sum_j w_j exp(a_i . c_j) over the candidates j of anchor i.

    Args:
        anchor: [N, D] a; what the temperature divides. Computed in float32 (float64 stays), also under autocast.
        candidate: [M, D] c.
        pairs: candidates of each anchor; None: all, with w = 1.

    Returns:
        [N]; -inf for an anchor without candidates, and its gradient is zero. Differentiable once
        in `anchor` and `candidate`.

    Raises:
        ValueError: shapes do not match.
    """
    pairs = Pairs() if pairs is None else pairs
    if anchor.dim() != 2 or candidate.dim() != 2 or anchor.shape[1] != candidate.shape[1]:
        raise ValueError(
            f"expected anchor [N, D] and candidate [M, D], got {list(anchor.shape)} and {list(candidate.shape)}"
        )
    pairs.check(len(anchor), len(candidate))
    dtype = torch.promote_types(torch.promote_types(anchor.dtype, candidate.dtype), torch.float32)
    with torch.autocast(anchor.device.type, enabled=False):
        return _by_group(_LogSumExp.apply, anchor.to(dtype), candidate.to(dtype), pairs)


def pairwise_softplus(anchor: Tensor, candidate: Tensor, threshold: Tensor, pairs: Pairs) -> Tensor:
    """sum_j softplus(threshold_i - a_i . c_j) over the candidates j of the group of anchor i.

    Args:
        anchor: [N, D] a, float32 or float64, as all others.
        candidate: [M, D] c.
        threshold: [N]; -inf: the terms of the anchor are 0.
        pairs: with groups and `within_group`, nothing else.

    Returns:
        [N]; differentiable once in `anchor`, `candidate` and `threshold`.
    """
    pairs.check(len(anchor), len(candidate))
    return _by_group(_PairwiseSoftplus.apply, anchor, candidate, pairs, threshold)


def _by_group(
    function: Callable[..., Tensor], anchor: Tensor, candidate: Tensor, pairs: Pairs, *of_anchors: Tensor
) -> Tensor:
    """`function` of anchors and candidates sorted by group: pairs of equal groups are then in few blocks."""
    if pairs.anchor_group is None or pairs.candidate_group is None:
        return function(anchor, candidate, pairs, *of_anchors)
    order, candidate_order = pairs.anchor_group.argsort(stable=True), pairs.candidate_group.argsort(stable=True)
    result = function(
        anchor.index_select(0, order),
        candidate.index_select(0, candidate_order),
        pairs.reordered(order, candidate_order),
        *(value[order] for value in of_anchors),
    )
    return result[order.argsort()]


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchor: Tensor, candidate: Tensor, pairs: Pairs) -> Tensor:
        blocks = _Blocks(anchor, candidate, pairs)
        largest = anchor.new_full((len(anchor),), -math.inf)
        total = anchor.new_zeros(len(anchor))
        for rows, _, similarity in blocks:
            before = largest[rows]
            now = torch.maximum(before, similarity.amax(dim=1))
            shift = torch.where(now == -math.inf, 0, now)  # -inf - -inf is NaN
            similarity.sub_(shift[:, None]).exp_()
            total[rows] = total[rows] * (before - shift).exp() + similarity.sum(dim=1)
            largest[rows] = now
        result = largest + total.log()
        ctx.save_for_backward(anchor, candidate, result)
        ctx.pairs = pairs
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        anchor, candidate, result = ctx.saved_tensors
        of_anchor, of_candidate = torch.zeros_like(anchor), torch.zeros_like(candidate)
        shift = torch.where(result == -math.inf, math.inf, result)  # exp(s - inf) is 0: no candidate, no gradient
        grad = torch.where(result == -math.inf, 0, grad)
        with torch.autocast(anchor.device.type, enabled=False):
            scaled = anchor * grad[:, None]
            for rows, columns, similarity in _Blocks(anchor, candidate, ctx.pairs):
                share = similarity.sub_(shift[rows, None]).exp_()
                of_anchor[rows].addmm_(share, candidate[columns])
                of_candidate[columns].addmm_(share.T, scaled[rows])
            return of_anchor.mul_(grad[:, None]), of_candidate, None


class _PairwiseSoftplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchor: Tensor, candidate: Tensor, pairs: Pairs, threshold: Tensor) -> Tensor:
        result = anchor.new_zeros(len(anchor))
        for rows, _, similarity in _Blocks(anchor, candidate, pairs, fill=math.inf):
            result[rows] += softplus(torch.sub(threshold[rows, None], similarity, out=similarity)).sum(dim=1)
        ctx.save_for_backward(anchor, candidate, threshold)
        ctx.pairs = pairs
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, Tensor]:
        anchor, candidate, threshold = ctx.saved_tensors
        of_anchor, of_candidate = torch.zeros_like(anchor), torch.zeros_like(candidate)
        of_threshold = torch.zeros_like(threshold)
        with torch.autocast(anchor.device.type, enabled=False):
            scaled = anchor * grad[:, None]
            for rows, columns, similarity in _Blocks(anchor, candidate, ctx.pairs, fill=math.inf):
                share = torch.sub(threshold[rows, None], similarity, out=similarity).sigmoid_()
                of_threshold[rows] += share.sum(dim=1)
                of_anchor[rows].addmm_(share, candidate[columns], alpha=-1)
                of_candidate[columns].addmm_(share.T, scaled[rows], alpha=-1)
            return of_anchor.mul_(grad[:, None]), of_candidate, None, of_threshold.mul_(grad)


class _Blocks:
    """Blocks of similarities [rows, columns], with `fill` where a pair is excluded; all share one buffer."""

    def __init__(self, anchor: Tensor, candidate: Tensor, pairs: Pairs, fill: float = -math.inf) -> None:
        self.anchor, self.candidate, self.pairs, self.fill = anchor, candidate, pairs, fill
        self.log_weight = None if pairs.candidate_weight is None else pairs.candidate_weight.to(anchor.dtype).log()

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor]]:
        elements = BLOCK_ELEMENTS_CUDA if self.anchor.is_cuda else BLOCK_ELEMENTS
        if self.pairs.within_group:
            elements = max(1, elements // WITHIN_GROUP)
        width = max(1, min(len(self.candidate), 2 * math.isqrt(elements // 2)))
        height = max(1, min(len(self.anchor), elements // width))
        buffer = self.anchor.new_empty(height * width)
        all_rows, all_columns = _slices(len(self.anchor), height), _slices(len(self.candidate), width)
        own, other = _extent(self.pairs.anchor_group, all_rows), _extent(self.pairs.candidate_group, all_columns)
        for rows, (least, most) in zip(all_rows, own, strict=True):
            for columns, (low, high) in zip(all_columns, other, strict=True):
                meet = least <= high and low <= most
                if meet or not self.pairs.within_group:
                    yield rows, columns, self._block(rows, columns, buffer, meet)

    def _block(self, rows: slice, columns: slice, buffer: Tensor, meet: bool) -> Tensor:
        anchor, candidate = self.anchor[rows], self.candidate[columns]
        block = buffer[: len(anchor) * len(candidate)].view(len(anchor), len(candidate))
        torch.mm(anchor, candidate.T, out=block)
        pairs = self.pairs
        if self.log_weight is not None:
            block += self.log_weight[columns]
        if meet and pairs.anchor_group is not None and pairs.candidate_group is not None:
            group = pairs.anchor_group[rows, None]
            same = (group == pairs.candidate_group[columns]).logical_and_(group >= 0)
            block.masked_fill_(same.logical_not_() if pairs.within_group else same, self.fill)
        if pairs.excluded is not None:
            at = pairs.excluded[rows] - columns.start
            inside = ((at >= 0) & (at < len(candidate))).nonzero()[:, 0]
            block[inside, at[inside]] = self.fill
        return block


def _slices(length: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _extent(group: Tensor | None, slices: list[slice]) -> list[tuple[int, int]]:
    """Least and greatest id >= 0 of each slice of the sorted `group`; if there are none (0, -1), an empty range."""
    if group is None:
        return [(0, -1)] * len(slices)
    edges = torch.tensor([[part.start, part.stop - 1] for part in slices], dtype=torch.int64, device=group.device)
    return [(max(least, 0), most) for least, most in group[edges.view(-1, 2)].tolist()]

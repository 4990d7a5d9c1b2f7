"""The candidates most similar to each anchor, computed in blocks of similarities."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pc_ssl.losses import similarity


@torch.no_grad()
def most_similar(anchor: Tensor, candidate: Tensor, count: int, left_out: Tensor | None = None) -> Tensor:
    """The `count` candidates with the largest inner product with each anchor, in descending order.

    Args:
        anchor: [N, D].
        candidate: [M, D] of the same dtype.
        count: k, at most M, or M - 1 where candidates are left out.
        left_out: [N] int64 row of `candidate` that is excluded for each anchor; -1: none.

    Returns:
        [N, k] int64 rows of `candidate`.
    """
    elements = similarity.BLOCK_ELEMENTS_CUDA if anchor.is_cuda else similarity.BLOCK_ELEMENTS
    blocks = [anchor.new_empty(0, count, dtype=torch.int64)]
    for rows in torch.arange(len(anchor), device=anchor.device).split(max(1, elements // max(len(candidate), 1))):
        block = anchor[rows] @ candidate.T
        if left_out is not None:
            has = (left_out[rows] >= 0).nonzero()[:, 0]
            block[has, left_out[rows[has]]] = -math.inf
        blocks.append(block.topk(count, dim=1).indices)
    return torch.cat(blocks)

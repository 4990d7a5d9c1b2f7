"""MoCHi: synthetic hard negatives, mixed from the hardest negatives available.

Kalantidis et al., "Hard Negative Mixing for Contrastive Learning", NeurIPS 2020, "Mixing the hardest negatives" and
"Mixing for even harder negatives". Reconstructed: that no gradient flows through the mixed negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses.nearest import most_similar


@torch.no_grad()
def hard_negative_mixing(
    anchor: Tensor,
    negative: Tensor,
    *,
    hardest: int,
    mixed: int,
    mixed_with_anchor: int,
    generator: torch.Generator | None,
    positive: Tensor | None = None,
) -> Tensor:
    """Mixed negatives of each anchor q, for `info_nce(own_negative=...)`.

    h = normalised a n_k + (1 - a) n_l and h' = normalised b q + (1 - b) n_k, where n_k and n_l (k != l) are drawn from
    the `hardest` negatives most similar to q, a from (0, 1) and b from (0, 0.5).

    Args:
        anchor: [N, D] q of unit length.
        negative: [M, D] n of unit length, as from a queue.
        hardest: negatives to mix from (N in the paper).
        mixed: number of h for each anchor (s).
        mixed_with_anchor: number of h' for each anchor (s').
        generator: draws pairs and coefficients; on the device of `anchor`. None: torch's global one.
        positive: [N] int64, row of `negative` that is the anchor's positive and is not mixed; -1: none.

    Returns:
        [N, s + s', D] of unit length, in float32 (float64 stays), without gradient: h, then h'.

    Raises:
        ValueError: fewer negatives than `hardest`, or fewer than two to mix.
    """
    available = len(negative) - (positive is not None)
    if not 2 <= hardest <= available:
        raise ValueError(f"hardest must be between 2 and the {available} negatives, got {hardest}")
    dtype = torch.promote_types(torch.promote_types(anchor.dtype, negative.dtype), torch.float32)
    with torch.autocast(anchor.device.type, enabled=False):
        anchor, negative = anchor.to(dtype), negative.to(dtype)
        nearest = most_similar(anchor, negative, hardest, positive)

        def draw(count: int, high: int) -> Tensor:
            return torch.randint(high, (len(anchor), count), generator=generator, device=anchor.device)

        def uniform(count: int) -> Tensor:
            shape = (len(anchor), count, 1)
            return torch.rand(shape, generator=generator, device=anchor.device, dtype=dtype)

        first = draw(mixed, hardest)
        second = (first + 1 + draw(mixed, hardest - 1)) % hardest  # another one
        share = uniform(mixed)
        harder = share * negative[nearest.gather(1, first)] + (1 - share) * negative[nearest.gather(1, second)]
        share = uniform(mixed_with_anchor) / 2
        other = negative[nearest.gather(1, draw(mixed_with_anchor, hardest))]
        return normalize(torch.cat([harder, share * anchor[:, None] + (1 - share) * other], dim=1), dim=2)

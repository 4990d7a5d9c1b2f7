"""Consecutive numbers of regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def numbered(region: NDArray[np.integer], min_points: int = 1, largest: int | None = None) -> NDArray[np.int32]:
    """Number regions 0..R - 1 by their first points.

    Args:
        region: [N] any ids; below 0: none.
        min_points: smaller regions are dropped.
        largest: number of regions to keep, those with the most points (the first of equal ones); None: all.

    Returns:
        [N] int32, -1 for none.
    """
    ids, first, inverse, count = np.unique(region, return_index=True, return_inverse=True, return_counts=True)
    kept = (ids >= 0) & (count >= min_points)
    if largest is not None:
        by_size = np.lexsort((first, -count))
        kept[by_size[kept[by_size]][largest:]] = False
    order = np.argsort(np.where(kept, first, len(region)), kind="stable")
    number = np.full(len(ids), -1, np.int32)
    number[order[: kept.sum()]] = np.arange(kept.sum(), dtype=np.int32)
    return number[inverse]

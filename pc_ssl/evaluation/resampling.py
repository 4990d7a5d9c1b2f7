"""Scores of resamples of a split's scenes, for intervals by the bootstrap over scenes.

A resample is given by how often each scene is in it: times [B, S] int64 of B resamples of S scenes, such as the counts
of `rng.multinomial`. All counts are added before any ratio is taken, as over a whole split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Scores = NDArray[np.float64]


def check_times(times: Times, scenes: Sequence[str]) -> None:
    """Check the shape and the values of `times`.

    Raises:
        ValueError: it is not [B, S] of integers that are not negative.
    """
    if times.ndim != 2 or times.shape[1] != len(scenes) or times.dtype.kind not in "iu" or (times < 0).any():
        raise ValueError(
            f"times must be integers [B, {len(scenes)}], 0 or more, for {len(scenes)} scenes; got {times.dtype} "
            f"{list(times.shape)}"
        )


def ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Scores:
    """part / whole; NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def mean_of_known(values: Scores) -> Scores:
    """Mean over the last axis without NaN; NaN where every value is NaN."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

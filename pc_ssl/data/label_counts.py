"""Numbers of labelled points of each class in each frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pc_ssl.data.cache import Cache
from pc_ssl.progress import track


def label_counts(cache: Cache, rows: Sequence[int]) -> NDArray[np.int64]:
    """[N, C] points of each class of `cache.class_names` but the first, "ignore", in the frames `rows` of the cache.

    Of each frame only its labels are read; a frame without labels counts as zeros.

    Raises:
        UserError: a frame's file is missing or damaged.
    """
    number = len(cache.class_names)
    counts = np.zeros((len(rows), max(number - 1, 0)), np.int64)
    for k, row in enumerate(track(rows, total=len(rows), what="labels", unit="frame")):
        frame = cache[row]
        if "label" in frame:
            counts[k] = np.bincount(frame["label"].numpy(), minlength=number)[1:number]
    return counts

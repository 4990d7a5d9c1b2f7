"""Class-balanced sampling of frames (CBGS).

Zhu et al., "Class-balanced Grouping and Sampling for Point Cloud 3D Object Detection", 2019 (arXiv 1908.09492), Sec.
3.1: frames are repeated so that each class is drawn equally often. A frame is sampled for one class, with all its
other classes, so that the classes become more balanced, not equally frequent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pc_ssl.data.cache import Cache
from pc_ssl.data.sampler import BALANCE
from pc_ssl.progress import track


def classes_of_boxes(cache: Cache, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
    """The class [M] of each box of the frames `indices`, indices into the cache's box classes; other tensors are not
    read.

    Raises:
        UserError: a frame cannot be read, or has no classes of boxes.
    """
    return [cache[index]["box_class"].numpy() for index in track(indices, total=len(indices), what="classes")]


def class_balanced_rows(classes: Sequence[Iterable[int]], num_classes: int, seed: int) -> list[int]:
    """Rows of a data set, repeated so that each class is drawn equally often; a pure function.

    With n_c frames that contain class c, n_1 + n_2 + ... draws are shared equally among the classes that occur. The
    draws of a class cycle through its frames: counts of frames differ by at most one, and the additional draws are
    random (the reference code draws with replacement). Frames without any of the classes are left out, as there.

    Args:
        classes: of the boxes of each row, in any order and number.
        num_classes: C; boxes of class C and beyond are ignored.
        seed: of the random choice.

    Returns:
        Rows, ascending.
    """
    shown = [set(map(int, of_row)) for of_row in classes]
    rows_of = [[row for row, of_row in enumerate(shown) if number in of_row] for number in range(num_classes)]
    rows_of = [rows for rows in rows_of if rows]
    if not rows_of:
        return []
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(BALANCE,)))
    draws = round(sum(map(len, rows_of)) / len(rows_of))
    drawn: list[int] = []
    for rows in rows_of:
        rounds, rest = divmod(draws, len(rows))
        drawn += rows * rounds + rng.choice(rows, rest, replace=False).tolist()
    return sorted(drawn)

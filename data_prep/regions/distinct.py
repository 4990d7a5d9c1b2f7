"""Coincident points, which clustering processes only once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Distinct(NamedTuple):
    """The distinct positions of a cloud [N, 3], in the order of their first points.

    first [U]: the first point at each position; of_point [N]: the position of each point; points [U]: number of points.
    """

    first: NDArray[np.int64]
    of_point: NDArray[np.int64]
    points: NDArray[np.int64]


def distinct(xyz: NDArray[np.floating]) -> Distinct:
    """Find points of equal coordinates, in n log n."""
    if not len(xyz):
        return Distinct(*(np.empty(0, np.int64) for _ in range(3)))
    order = np.lexsort(xyz.T)
    ordered = xyz[order]
    start = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    if len(start) == len(xyz):
        every = np.arange(len(xyz))
        return Distinct(every, every, np.ones(len(xyz), np.int64))
    count = np.diff(np.append(start, len(xyz)))
    first = order[start]  # the sort is stable
    by_first = np.argsort(first)
    place = np.empty(len(first), np.int64)
    place[by_first] = np.arange(len(first))
    of_point = np.empty(len(xyz), np.int64)
    of_point[order] = np.repeat(place, count)
    return Distinct(first[by_first], of_point, count[by_first])

"""Images and points whose files are named by the times of their own recording, matched by the nearest time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Seconds since 1970 with a fraction, or as whole milliseconds, microseconds or nanoseconds: the years 2001 to 2286.
UNITS = {13: 1e-3, 16: 1e-6, 19: 1e-9}  # digits -> seconds
SECONDS = re.compile(r"\d{10}\.\d+")


def seconds_of(stem: str) -> float | None:
    """The time that a file's name stands for, in seconds since 1970; None: it is not a time stamp."""
    if SECONDS.fullmatch(stem):
        return float(stem)
    return int(stem) * UNITS[len(stem)] if stem.isascii() and stem.isdecimal() and len(stem) in UNITS else None


def matched_by_time(points: Sequence[Path], images: Sequence[Path], tolerance_s: float) -> dict[str, Path]:
    """Name of a file of points -> the image nearest in time, for those with one within the tolerance.

    Args:
        points: files of points.
        images: of one camera.
        tolerance_s: seconds between the two.

    Returns:
        nothing where a name of either is not a time stamp. Each image is matched once at most, to the points nearest
        to it.
    """
    point_times, image_times = _times(points), _times(images)
    if point_times is None or image_times is None or not len(images) or not len(points):
        return {}
    nearest = _nearest(image_times, point_times)
    apart = np.abs(point_times - image_times[nearest])
    matched: dict[str, Path] = {}
    taken: set[int] = set()
    for row in np.argsort(apart, kind="stable"):
        image = int(nearest[row])
        if apart[row] <= tolerance_s and image not in taken:
            taken.add(image)
            matched[points[row].stem] = images[image]
    return matched


def _times(files: Sequence[Path]) -> NDArray[np.float64] | None:
    times = [seconds_of(file.stem) for file in files]
    return None if None in times else np.array(times, np.float64)


def _nearest(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """[M] the index in `times` [N] that is nearest to each of `wanted` [M]."""
    order = np.argsort(times)
    after = np.searchsorted(times[order], wanted).clip(0, len(times) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(times[order[before]] - wanted) <= np.abs(times[order[after]] - wanted)
    return order[np.where(nearer, before, after)]

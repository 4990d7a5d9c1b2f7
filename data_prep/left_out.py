"""Selection of valid points of a recording. Left-out points are counted and reported at the end of preparation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pc_ssl.errors import UserError

NOT_FINITE = "points without finite coordinates"
NO_RETURN = "points at (0, 0, 0), which are not returns"
MOST = 0.9  # largest share of points without finite coordinates in a valid file; organised clouds have up to 60 %


def is_finite(path: Path, xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
    """[N] bool of points [N, 3]: x, y and z are finite.

    Raises:
        UserError: more than `MOST` of them are not.
    """
    finite = np.isfinite(xyz).all(axis=1)
    lost = len(xyz) - int(finite.sum())
    if lost > MOST * len(xyz):
        first = int((~finite).argmax())
        raise UserError(
            f"{path}: x, y, z of {lost} of {len(xyz)} points are not finite (point {first}: {xyz[first].tolist()}), "
            f"expected at most {MOST:.0%}; are these the file's columns?"
        )
    return finite


def is_measured(path: Path, xyz: NDArray[np.floating]) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """[N] bool: points [N, 3] that are returns; and the number of others by reason.

    Sensors that write one point per shot write missing returns as NaN or as the sensor's origin.

    Raises:
        UserError: no point is a return, or more than `MOST` of the coordinates are not finite.
    """
    if not len(xyz):
        raise UserError(f"{path}: holds no points")
    finite, at_origin = is_finite(path, xyz), (xyz == 0).all(axis=1)
    measured = finite & ~at_origin
    if not measured.any():
        raise UserError(f"{path}: all {int(at_origin.sum())} points are at (0, 0, 0); are these the file's columns?")
    return measured, left_out(xyz)


def left_out(xyz: NDArray[np.floating]) -> dict[str, int]:
    """Number of points [N, 3] that are not returns, by reason; reasons without points are left out."""
    counts = {NOT_FINITE: (~np.isfinite(xyz).all(axis=1)).sum(), NO_RETURN: (xyz == 0).all(axis=1).sum()}
    return {reason: int(count) for reason, count in counts.items() if count}

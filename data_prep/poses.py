"""Poses and camera matrices in text files, validated, with rotations made orthonormal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

ROUNDED = 0.01  # tolerance of a rotation's orthonormality, for matrices written with few digits
LONGEST_TEXT = 64_000_000  # bytes; 300,000 poses


def read_numbers(path: Path) -> list[list[float]]:
    """The numbers of each non-empty line.

    Raises:
        UserError: the file is missing, or does not hold lines of numbers.
    """
    content = read_bytes(path)
    if len(content) > LONGEST_TEXT:
        raise UserError(f"{path}: has {len(content)} bytes, expected lines of numbers")
    rows = []
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            rows.append([float(word) for word in line.split()])
        except ValueError:
            raise UserError(f"{path}: line {number} is {line[:40]!r}, expected numbers") from None
    return [row for row in rows if row]


def read_matrix(path: Path) -> NDArray[np.float64]:
    """A file of one matrix, [4, 4] or [3, 3].

    Raises:
        UserError: the file is missing, or does not hold such a matrix.
    """
    rows = read_numbers(path)
    if len(rows) not in (3, 4) or any(len(row) != len(rows) for row in rows):
        raise UserError(f"{path}: holds {len(rows)} lines of numbers, expected a matrix of 4 x 4 or 3 x 3")
    return np.array(rows)


def rigid(path: Path, what: str, values: Sequence[float] | NDArray) -> NDArray[np.float64]:
    """A rigid transform [4, 4] from its 12 or 16 numbers, row by row.

    Raises:
        UserError: the number of values is wrong, or they are not a rigid transform.
    """
    flat = np.asarray(values, np.float64).ravel()
    if len(flat) not in (12, 16) or not np.isfinite(flat).all() or np.abs(flat).max() > 1e9:
        raise UserError(f"{path}: {what} is not a transform of 12 or 16 finite numbers")
    pose = np.eye(4)
    pose[:3] = flat[:12].reshape(3, 4)
    last = flat[12:] if len(flat) == 16 else pose[3]
    left, scale, right = np.linalg.svd(pose[:3, :3])
    rotation = left @ right
    if np.abs(scale - 1).max() > ROUNDED or np.linalg.det(rotation) < 0 or not np.allclose(last, pose[3], atol=1e-6):
        raise UserError(f"{path}: {what} is not a rigid transform")
    pose[:3, :3] = rotation
    return pose


def pinhole(path: Path, what: str, matrix: NDArray) -> NDArray[np.float64]:
    """The intrinsics [3, 3] of a camera without distortion, from a matrix [3 or more, 3 or more].

    Raises:
        UserError: it is not such a matrix.
    """
    intrinsic = np.asarray(matrix, np.float64)[:3, :3]
    focal = np.diag(intrinsic)[:2]
    if not np.isfinite(intrinsic).all() or np.abs(intrinsic).max() > 1e6 or not (focal > 0).all():
        raise UserError(f"{path}: {what} is not a camera matrix of finite numbers with focal lengths above 0")
    if not np.allclose(intrinsic[2], [0, 0, 1], atol=1e-6) or abs(intrinsic[1, 0]) > 1e-6:
        raise UserError(f"{path}: {what} is not a camera matrix, expected the last row 0 0 1")
    return intrinsic

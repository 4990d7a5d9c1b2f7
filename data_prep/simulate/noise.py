"""Deterministic noise for compiled code: hashes of integers and smooth noise over the plane."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, inline="always")
def hash01(a: int, b: int, c: int) -> np.float32:
    """A number in [0, 1) from three integers (mixing steps of MurmurHash3's finaliser)."""
    h = np.uint32(
        np.uint32(a) * np.uint32(0x9E3779B1)
        ^ np.uint32(b) * np.uint32(0x85EBCA77)
        ^ np.uint32(c) * np.uint32(0xC2B2AE3D)
    )
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ (h >> np.uint32(13)))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.float32(np.uint32(h >> np.uint32(8))) * np.float32(5.9604645e-08)


@numba.njit(cache=True)
def smooth(x: float, y: float, key: int) -> np.float32:
    """Smooth noise in [0, 1) at (x, y); its grain is one unit."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = np.int64(fx), np.int64(fy)
    u, v = np.float32(x - fx), np.float32(y - fy)
    u, v = u * u * (np.float32(3) - np.float32(2) * u), v * v * (np.float32(3) - np.float32(2) * v)
    low = hash01(i, j, key) * (np.float32(1) - u) + hash01(i + 1, j, key) * u
    high = hash01(i, j + 1, key) * (np.float32(1) - u) + hash01(i + 1, j + 1, key) * u
    return low * (np.float32(1) - v) + high * v


@numba.njit(cache=True, inline="always")
def in_window(along: float, up: float, window: NDArray) -> bool:
    """Whether a point of a facade is glass; `window` is a row of `materials.window_table`."""
    pitch = window[0]
    if pitch <= 0.0:
        return False
    u = along / pitch
    u -= np.floor(u)
    v = up / window[2]
    v -= np.floor(v)
    return u < window[1] and v > window[3] and v < window[4]

"""Conversion of sRGB pixels to blurred CIELAB, the colour space of SLIC's distance."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Linear sRGB to XYZ relative to the white point D65 (IEC 61966-2-1; rows divided by 0.95047, 1 and 1.08883).
XYZ_FROM_RGB = np.array(
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ]
)
STEPS = 4096  # entries of the interpolated tables of the two power laws: exact to 0.01 in Lab
TRUNCATE = 4.0  # half width of a Gaussian kernel in standard deviations


def lab_of(image: NDArray[np.uint8], blur: float, shrink: int) -> NDArray[np.float32]:
    """Shrink by an integer factor, blur, and convert.

    Args:
        image: [H, W, 3] sRGB.
        blur: pixels of `image`; standard deviation of the blur and the shrinking together.
        shrink: a pixel of the result is the mean of shrink x shrink pixels (fewer at the lower and right border).

    Returns:
        [3, ceil(H / shrink), ceil(W / shrink)] float32: L in 0..100, a, b.
    """
    rgb = _shrunken(image, shrink)
    variance = blur**2 - (shrink**2 - 1) / 12  # of the mean over shrink pixels
    sigma = float(np.sqrt(max(variance, 0.0))) / shrink
    reach = int(TRUNCATE * sigma + 0.5)
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
    weight = (weight / weight.sum()).astype(np.float32)
    blurred = _blur_rows(rgb, weight, _mirrored(rgb.shape[2], reach))
    blurred = _blur_columns(blurred, weight, _mirrored(rgb.shape[1], reach))
    value = np.linspace(0, 1, STEPS + 1)
    return _lab(blurred, _linear(value).astype(np.float32), _lightness(value).astype(np.float32))


def _linear(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _lightness(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE 1976: f(t), cubic root with a linear segment near 0."""
    return np.where(light > (6 / 29) ** 3, np.cbrt(light), light * (29 / 6) ** 2 / 3 + 4 / 29)


def _mirrored(size: int, reach: int) -> NDArray[np.int64]:
    """[size + 2 reach] indices of a row padded by `reach` at each end, mirrored with the border pixel repeated."""
    index = np.arange(-reach, size + reach) % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


@njit(cache=True, nogil=True)
def _shrunken(image: NDArray, shrink: int) -> NDArray:
    """[3, h, w] float32 in [0, 255]."""
    height, width = image.shape[:2]
    rows, columns = (height + shrink - 1) // shrink, (width + shrink - 1) // shrink
    total = np.zeros((3, rows, columns), np.float32)
    for y in range(height):
        for x in range(width):
            for channel in range(3):
                total[channel, y // shrink, x // shrink] += image[y, x, channel]
    for row in range(rows):
        tall = min(shrink, height - row * shrink)
        for column in range(columns):
            share = np.float32(1 / (tall * min(shrink, width - column * shrink)))
            for channel in range(3):
                total[channel, row, column] *= share
    return total


@njit(cache=True, nogil=True)
def _blur_rows(planes: NDArray, weight: NDArray, source: NDArray) -> NDArray:
    """Along x; source [W + taps - 1]: the column at each position of a row with mirrored padding."""
    blurred = np.zeros_like(planes)
    width = planes.shape[2]
    padded = np.empty(len(source), np.float32)
    for plane in range(3):
        for y in range(planes.shape[1]):
            for x in range(len(source)):
                padded[x] = planes[plane, y, source[x]]
            row = blurred[plane, y]
            for tap in range(len(weight)):
                for x in range(width):
                    row[x] += weight[tap] * padded[x + tap]
    return blurred


@njit(cache=True, nogil=True)
def _blur_columns(planes: NDArray, weight: NDArray, source: NDArray) -> NDArray:
    """Along y; source [H + taps - 1] as for rows."""
    blurred = np.zeros_like(planes)
    for plane in range(3):
        for y in range(planes.shape[1]):
            row = blurred[plane, y]
            for tap in range(len(weight)):
                other = planes[plane, source[y + tap]]
                for x in range(planes.shape[2]):
                    row[x] += weight[tap] * other[x]
    return blurred


@njit(cache=True, nogil=True)
def _read(table: NDArray, value: float) -> float:
    """The table at `value` in [0, 1], interpolated linearly."""
    place = np.float32(value) * np.float32(STEPS)
    index = min(max(int(place), 0), STEPS - 1)
    return table[index] + (place - np.float32(index)) * (table[index + 1] - table[index])


@njit(cache=True, nogil=True)
def _lab(rgb: NDArray, linear: NDArray, lightness: NDArray) -> NDArray:
    matrix = XYZ_FROM_RGB.astype(np.float32)
    scale = np.float32(1 / 255)
    lab = np.empty_like(rgb)
    for y in range(rgb.shape[1]):
        for x in range(rgb.shape[2]):
            red = _read(linear, rgb[0, y, x] * scale)
            green = _read(linear, rgb[1, y, x] * scale)
            blue = _read(linear, rgb[2, y, x] * scale)
            fx = _read(lightness, matrix[0, 0] * red + matrix[0, 1] * green + matrix[0, 2] * blue)
            fy = _read(lightness, matrix[1, 0] * red + matrix[1, 1] * green + matrix[1, 2] * blue)
            fz = _read(lightness, matrix[2, 0] * red + matrix[2, 1] * green + matrix[2, 2] * blue)
            lab[0, y, x] = np.float32(116) * fy - np.float32(16)
            lab[1, y, x] = np.float32(500) * (fx - fy)
            lab[2, y, x] = np.float32(200) * (fy - fz)
    return lab

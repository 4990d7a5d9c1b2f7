"""Colour of camera rays: material, texture, sunlight, skylight and haze of the surface that they hit, or the sky."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.materials import Material
from data_prep.simulate.noise import hash01, in_window, smooth
from data_prep.simulate.street.paint import CELL

_ASPHALT, _CONCRETE, _PAVING = int(Material.ASPHALT), int(Material.CONCRETE), int(Material.PAVING)
_GRASS, _SOIL, _FOLIAGE = int(Material.GRASS), int(Material.SOIL), int(Material.FOLIAGE)
_BRICK, _ROOF, _GLASS, _LAMP = int(Material.BRICK), int(Material.ROOF), int(Material.GLASS), int(Material.LAMP)
GRAIN = 0.006  # standard deviation of the sensor's noise, of full scale, before gamma

F = np.float32


@numba.njit(cache=True, inline="always")
def _covered(paint: NDArray, origin: NDArray, x: float, y: float, channel: int) -> np.float32:
    """Bilinear coverage 0..1 of the road's paint at (x, y)."""
    u, v = (x - origin[0]) / F(CELL), (y - origin[1]) / F(CELL)
    i, j = int(u), int(v)
    if u < 0 or v < 0 or i + 1 >= paint.shape[1] or j + 1 >= paint.shape[0]:
        return F(0.0)
    a, b = u - F(i), v - F(j)
    low = F(paint[j, i, channel]) * (F(1) - a) + F(paint[j, i + 1, channel]) * a
    high = F(paint[j + 1, i, channel]) * (F(1) - a) + F(paint[j + 1, i + 1, channel]) * a
    return (low * (F(1) - b) + high * b) / F(255)


@numba.njit(cache=True, inline="always")
def _texture(kind: int, x: float, y: float, z: float, nx: float, ny: float, nz: float, far: float) -> np.float32:
    """Factor on a material's colour at a point; fine patterns fade out where they are smaller than a pixel."""
    fine = F(1) if far < F(14) else (F(14) / far)
    if kind == _ASPHALT:
        return (
            F(0.84)
            + F(0.2) * smooth(x * F(0.35), y * F(0.35), 1)
            + F(0.12) * fine * hash01(int(x * 22), int(y * 22), 2)
        )
    if kind in (_PAVING, _CONCRETE):
        u, v = x * F(1.6), y * F(1.6)
        if abs(nz) < F(0.5):
            u, v = (x * ny - y * nx) * F(0.9), z * F(0.9)
        du, dv = u - np.floor(u), v - np.floor(v)
        joint = F(0.82) if (du < F(0.05) or dv < F(0.05)) else F(1)
        tile = F(0.93) + F(0.14) * hash01(int(np.floor(u)), int(np.floor(v)), 3)
        return (F(1) - fine) + fine * joint * tile
    if kind in (_GRASS, _SOIL):
        return (
            F(0.7)
            + F(0.35) * smooth(x * F(0.5), y * F(0.5), 4)
            + F(0.3) * fine * smooth(x * F(7), y * F(7), 5)
            - F(0.02)
        )
    if kind == _BRICK:
        course = np.floor(z / F(0.16))
        u = (x * ny - y * nx) / F(0.42) + F(0.5) * (course - F(2) * np.floor(course * F(0.5)))
        return F(1) - fine * F(0.3) * (
            F(1) if u - np.floor(u) < F(0.08) else F(0.6) * hash01(int(np.floor(u)), int(course), 6)
        )
    if kind == _ROOF:
        band = (x + y + z) * F(2.2)
        return F(0.9) + F(0.14) * (band - np.floor(band))
    return F(1)


@numba.njit(cache=True, inline="always")
def _sky(
    dx: float,
    dy: float,
    dz: float,
    horizon: NDArray,
    zenith: NDArray,
    clouds: float,
    towards: NDArray,
    sun: NDArray,
    channel: int,
) -> np.float32:
    """Colour of the sky in a direction."""
    up: Any = max(dz, F(0))
    rise = up ** F(0.45)
    color = horizon[channel] * (F(1) - rise) + zenith[channel] * rise
    if up > F(0.02) and clouds > F(0):
        u, v = dx / (up + F(0.12)), dy / (up + F(0.12))
        puff = (
            F(0.55) * smooth(u * F(1.1), v * F(1.1), 7)
            + F(0.3) * smooth(u * F(2.7), v * F(2.7), 8)
            + F(0.15) * smooth(u * F(6.1), v * F(6.1), 9)
        )
        cover: float = min(max((puff - F(0.72) + F(0.5) * clouds) * F(4.5), F(0)), F(1)) * F(0.9)
        color = color * (F(1) - cover) + cover * (F(0.72) + F(0.25) * puff)
    glow: float = max(dx * towards[0] + dy * towards[1] + dz * towards[2], F(0))
    return color + F(0.6) * sun[channel] * glow ** F(180)


@numba.njit(cache=True)
def shade(
    ray: NDArray,
    distance: NDArray,
    triangle: NDArray,
    normal: NDArray,
    lit: NDArray,
    material: NDArray,
    color: NDArray,
    optics: NDArray,
    windows: NDArray,
    paint: NDArray,
    origin: NDArray,
    towards: NDArray,
    sun: NDArray,
    sky: NDArray,
    horizon: NDArray,
    zenith: NDArray,
    clouds: float,
    haze: float,
    exposure: float,
    key: int,
) -> NDArray[np.uint8]:
    """Pixels [N, 3] uint8 from rays [N, 6], their hits, the tables of triangles and materials, and the light."""
    count = len(distance)
    out = np.empty((count, 3), np.uint8)
    for i in range(count):
        dx, dy, dz = ray[i, 3], ray[i, 4], ray[i, 5]
        t = triangle[i]
        grain = F(GRAIN) * (hash01(i, key, 11) + hash01(i, key, 12) + hash01(i, key, 13) - F(1.5)) * F(2)
        if t < 0:
            for c in range(3):
                value = _sky(dx, dy, dz, horizon, zenith, clouds, towards, sun, c) * exposure
                out[i, c] = np.uint8(min(F(255) * np.sqrt(max(value + grain, F(0))), F(255)))
            continue
        far = distance[i]
        nx, ny, nz = normal[i, 0], normal[i, 1], normal[i, 2]
        x, y, z = ray[i, 0] + far * dx, ray[i, 1] + far * dy, ray[i, 2] + far * dz
        kind = material[t]
        gloss = optics[kind, 4]
        red, green, blue = F(color[t, 0]), F(color[t, 1]), F(color[t, 2])
        white, yellow = F(0), F(0)
        if kind == _ASPHALT:
            white, yellow = _covered(paint, origin, x, y, 0), _covered(paint, origin, x, y, 1)
            worn = F(0.55) + F(0.45) * smooth(x * F(3), y * F(3), 14)
            white, yellow = white * worn, yellow * worn
        elif windows[kind, 0] > 0 and abs(nz) < F(0.3) and in_window(-ny * x + nx * y, z, windows[kind]):
            room = hash01(int(np.floor((-ny * x + nx * y) / windows[kind, 0])), int(np.floor(z / windows[kind, 2])), 15)
            red, green, blue = F(40) + F(50) * room, F(48) + F(50) * room, F(56) + F(48) * room
            gloss = optics[_GLASS, 4]
        factor = _texture(kind, x, y, z, nx, ny, nz, far)
        cosine = nx * towards[0] + ny * towards[1] + nz * towards[2]
        direct = max(cosine, F(0)) if lit[i] else F(0)
        if kind == _FOLIAGE:
            direct = max(direct, F(0.35) if lit[i] else F(0.06))
        opening = F(0.5) + F(0.5) * nz
        slant = max(-(dx * nx + dy * ny + dz * nz), F(0))
        mirror = F(0)
        if gloss > F(0):
            mirror = gloss + (F(1) - gloss) * (F(1) - slant) ** 5 * F(0.6)
        veil = F(1) - np.exp(-far / haze)
        rx, ry, rz = dx + F(2) * slant * nx, dy + F(2) * slant * ny, dz + F(2) * slant * nz
        for c in range(3):
            base = red if c == 0 else (green if c == 1 else blue)
            albedo = (base / F(255)) ** 2 * factor
            if white > F(0) or yellow > F(0):
                albedo = albedo * (F(1) - max(white, yellow)) + white * F(0.72)
                albedo += yellow * (F(0.62) if c == 0 else (F(0.42) if c == 1 else F(0.06)))
            light = sun[c] * direct + sky[c] * opening + F(0.13) * (F(1) - opening)
            value = albedo * light * F(1.25)
            if kind == _LAMP:
                value += F(0.12) * albedo
            if mirror > F(0):
                if rz > F(0):
                    seen = _sky(rx, ry, rz, horizon, zenith, F(0), towards, sun, c) * (
                        F(1) if lit[i] or rz > F(0.4) else F(0.6)
                    )
                else:
                    seen = F(0.12)
                value = value * (F(1) - mirror) + mirror * seen
            value = value * (F(1) - veil) + horizon[c] * veil
            value = value * exposure + grain
            out[i, c] = np.uint8(min(F(255) * np.sqrt(max(value, F(0))), F(255)))
    return out

"""Trees, hedges and bushes, whose leaves transmit part of the light and of the pulses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, ball, join, quads, tube

GREENS: tuple[Color, ...] = ((62, 92, 38), (84, 108, 44), (48, 78, 42), (106, 118, 52), (74, 96, 58), (124, 104, 46))
BARKS: tuple[Color, ...] = ((92, 76, 60), (112, 98, 82), (74, 64, 54))


def tree(rng: np.random.Generator, height: float | None = None) -> Mesh:
    """A broad, columnar or conical tree."""
    height = height or rng.uniform(5.0, 11.0)
    kind = rng.choice(["broad", "column", "conifer", "palm"], p=[0.66, 0.14, 0.14, 0.06])
    bark = BARKS[int(rng.integers(len(BARKS)))]
    green = np.array(GREENS[int(rng.integers(len(GREENS)))])
    clear = height * rng.uniform(0.22, 0.38)
    thick = rng.uniform(0.1, 0.22) * height / 8.0 + 0.04
    lean = rng.normal(0, 0.03, 2) * height
    fork = np.array([0.5 * lean[0], 0.5 * lean[1], clear + 0.15 * height])
    parts = [tube((0, 0, -0.2), fork, (1.25 * thick, 0.8 * thick), Material.BARK, bark, sides=7, capped=False)]
    if kind == "palm":
        top = np.array([lean[0], lean[1], 0.86 * height])
        parts = [tube((0, 0, -0.2), top, (thick, 0.75 * thick), Material.BARK, bark, sides=7, capped=False)]
        return join([*parts, _fronds(rng, top, 0.22 * height + 1.0, green)])
    if kind == "conifer":
        level = np.linspace(clear * 0.6, 0.97 * height, 7)
        center = np.column_stack([np.zeros((7, 2)), level])
        radius = np.column_stack(
            [np.repeat((0.24 * height * (1 - level / height) + 0.25)[:, None], 2, 1), np.full(7, 0.09 * height)]
        )
        parts.append(tube(fork, (0, 0, 0.95 * height), (0.8 * thick, 0.02), Material.BARK, bark, sides=5, capped=False))
    else:
        count = int(rng.integers(4, 8))
        spread = height * (rng.uniform(0.2, 0.32) if kind == "broad" else 0.08)
        angle = rng.uniform(0, 2 * np.pi, count)
        reach = spread * np.sqrt(rng.uniform(0.1, 1.0, count))
        level = rng.uniform(clear + 0.18 * height, 0.84 * height, count)
        center = np.column_stack([lean[0] + reach * np.cos(angle), lean[1] + reach * np.sin(angle), level])
        size = height * rng.uniform(0.13, 0.2, (count, 1)) * (1.0 if kind == "broad" else 0.75)
        radius = size * np.column_stack(
            [np.ones(count), np.ones(count), np.full(count, 0.8 if kind == "broad" else 1.5)]
        )
        for k in range(min(count, 4)):
            parts.append(tube(fork, center[k], (0.55 * thick, 0.03), Material.BARK, bark, sides=4, capped=False))
    parts.append(
        leaves(rng, center, radius, green, per_blob=44 if kind != "conifer" else 26, size=0.055 * height + 0.12)
    )
    return join(parts)


def leaves(
    rng: np.random.Generator, center: NDArray, radius: NDArray, green: NDArray, per_blob: int, size: float
) -> Mesh:
    """Clusters of leaves as small tilted cards in the shells of ellipsoids, centre [B, 3] and half-axes [B, 3]."""
    count = len(center) * per_blob
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    blob = np.repeat(np.arange(len(center)), per_blob)
    middle = center[blob] + direction * radius[blob] * rng.uniform(0.45, 1.0, (count, 1)) ** 0.5
    normal = direction + rng.normal(0, 0.45, (count, 3))
    return _cards(rng, middle, normal, size * rng.uniform(0.7, 1.3, count), green)


def _cards(rng: np.random.Generator, middle: NDArray, normal: NDArray, size: NDArray, green: NDArray) -> Mesh:
    count = len(middle)
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.cross(normal, rng.normal(size=(count, 3)))
    side *= (size / np.maximum(np.linalg.norm(side, axis=1), 1e-9))[:, None]
    up = np.cross(normal, side)
    corner = np.stack([middle - side, middle - 0.7 * up, middle + side, middle + 0.7 * up], 1)
    color = np.clip(green * rng.uniform(0.72, 1.28, (count, 1)) + rng.normal(0, 5, (count, 3)), 5, 250)
    return quads(corner, Material.FOLIAGE, color.astype(np.uint8))


def _fronds(rng: np.random.Generator, top: NDArray, reach: float, green: NDArray) -> Mesh:
    corner = []
    for angle in np.arange(9) * (2 * np.pi / 9) + rng.uniform(0, 0.5):
        out, across = np.array([np.cos(angle), np.sin(angle), 0.0]), np.array([-np.sin(angle), np.cos(angle), 0.0])
        line = [
            top,
            top + 0.45 * reach * out + [0, 0, 0.25 * reach],
            top + 0.85 * reach * out,
            top + reach * out - [0, 0, 0.35 * reach],
        ]
        width = [0.08, 0.22, 0.18, 0.04]
        for k in range(3):
            corner.append(
                [
                    line[k] - width[k] * across,
                    line[k + 1] - width[k + 1] * across,
                    line[k + 1] + width[k + 1] * across,
                    line[k] + width[k] * across,
                ]
            )
    color = np.clip(green * rng.uniform(0.8, 1.2, (len(corner), 1)), 5, 250).astype(np.uint8)
    return quads(np.array(corner), Material.FOLIAGE, color)


def hedge(rng: np.random.Generator, length: float) -> Mesh:
    """A clipped hedge along x, centred."""
    height, depth = rng.uniform(0.7, 1.7), rng.uniform(0.5, 0.9)
    green = np.array(GREENS[int(rng.integers(len(GREENS)))])
    count = max(int(length * (1.4 + 2.2 * height) * 3.0), 8)
    face = rng.integers(0, 3, count)  # both long faces and the top
    middle = np.column_stack(
        [
            rng.uniform(-0.5, 0.5, count) * length,
            np.where(face == 2, rng.uniform(-0.5, 0.5, count) * depth, np.where(face == 0, 0.5, -0.5) * depth),
            np.where(face == 2, height, rng.uniform(0.1, 1.0, count) * height),
        ]
    )
    normal = np.stack([np.zeros(count), np.array([1.0, -1.0, 0.0])[face], np.array([0.1, 0.1, 1.0])[face]], 1)
    cards = _cards(rng, middle, normal + rng.normal(0, 0.35, (count, 3)), rng.uniform(0.18, 0.32, count), green)
    core = quads(_core(0.48 * length, 0.3 * depth, 0.85 * height), Material.FOLIAGE, tuple((green * 0.55).astype(int)))
    return join([cards, core])


def _core(x: float, y: float, z: float) -> NDArray:
    """The dark core of a hedge: four walls and a lid, [5, 4, 3]."""
    base = np.array([[-x, -y], [x, -y], [x, y], [-x, y]])
    walls = [[[*base[k], 0.0], [*base[(k + 1) % 4], 0.0], [*base[(k + 1) % 4], z], [*base[k], z]] for k in range(4)]
    return np.array([*walls, [[*corner, z] for corner in base]])


def bush(rng: np.random.Generator) -> Mesh:
    """A round or tall shrub."""
    count = int(rng.integers(1, 4))
    size = rng.uniform(0.4, 0.9)
    center = np.column_stack([rng.normal(0, 0.35, (count, 2)), np.full(count, 0.7 * size)])
    radius = np.full((count, 3), size) * rng.uniform(0.8, 1.2, (count, 3))
    green = np.array(GREENS[int(rng.integers(len(GREENS)))])
    core = [
        ball(c, 0.7 * r, Material.FOLIAGE, tuple((green * 0.6).astype(int)), rings=3, sides=6)
        for c, r in zip(center, radius, strict=True)
    ]
    return join([leaves(rng, center, radius, green, per_blob=40, size=0.2), *core])

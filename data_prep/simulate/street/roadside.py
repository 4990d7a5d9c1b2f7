"""Movable objects at the roadside: cones, barriers, bins and debris."""

from __future__ import annotations

import numpy as np

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, both_sides, box, extrude, join, tube
from data_prep.simulate.street.cars import DARK

ORANGE: Color = (224, 84, 26)
WHITE: Color = (228, 226, 220)
RED: Color = (196, 30, 30)
STEEL: Color = (160, 162, 164)


def traffic_cone(rng: np.random.Generator) -> Mesh:
    """A cone with a foot and bands, or a slim delineator post."""
    height = rng.uniform(0.5, 0.95)
    slim = rng.random() < 0.3
    low, top = (0.09, 0.06) if slim else (rng.uniform(0.13, 0.17), 0.03)
    edges = np.array([0.04, 0.45, 0.62, 0.78, 1.0]) * height
    radius = low + (top - low) * (edges - edges[0]) / (edges[-1] - edges[0])
    kinds = (
        (Material.PLASTIC, ORANGE),
        (Material.RETRO, WHITE),
        (Material.PLASTIC, ORANGE),
        (Material.PLASTIC, ORANGE),
    )
    foot = rng.uniform(0.32, 0.42)
    parts = [box((foot, foot, 0.05), (0, 0, 0.025), Material.RUBBER, (52, 48, 46))]
    for k, (material, color) in enumerate(kinds):
        parts.append(tube((0, 0, edges[k]), (0, 0, edges[k + 1]), (radius[k], radius[k + 1]), material, color, sides=8))
    return join(parts)


def barrier(rng: np.random.Generator, kind: str) -> Mesh:
    """One element of a barrier, about 2 m along y: "concrete", "water" (filled plastic), "board" or "fence"."""
    if kind in ("concrete", "water"):
        length, height = rng.uniform(1.7, 2.1), rng.uniform(0.8, 1.05)
        color: Color = (168, 166, 160) if kind == "concrete" else (ORANGE if rng.random() < 0.5 else WHITE)
        outline = np.array(
            [
                [-0.28, 0.0],
                [0.28, 0.0],
                [0.26, 0.12],
                [0.12, 0.4],
                [0.08, height],
                [-0.08, height],
                [-0.12, 0.4],
                [-0.26, 0.12],
            ]
        )
        material = Material.CONCRETE if kind == "concrete" else Material.PLASTIC
        return extrude(outline, -0.5 * length, 0.5 * length, material, color, axis="y")
    if kind == "board":
        return _board(rng.uniform(0.85, 1.05), rng.uniform(0.26, 0.32))
    return _fence(rng.uniform(0.95, 1.05), rng.uniform(0.98, 1.16), int(rng.integers(12, 18)))


def _board(height: float, stripe: float) -> Mesh:
    """Two striped boards on posts; the stripes are `stripe` metres wide."""
    parts = [
        both_sides(box((0.6, 0.08, 0.06), (0, 0.8, 0.03), Material.RUBBER, DARK)),
        both_sides(box((0.06, 0.06, height), (0, 0.8, 0.5 * height), Material.METAL, (170, 170, 168))),
    ]
    for z in (0.45 * height, 0.87 * height):
        for k in range(6):
            color, material = (RED, Material.PLASTIC) if k % 2 else (WHITE, Material.RETRO)
            parts.append(box((0.03, stripe, 0.2), (0, (k - 2.5) * stripe, z), material, color))
    return join(parts)


def _fence(half: float, height: float, bars: int) -> Mesh:
    """A crowd barrier of steel tubes, 2 `half` metres wide."""
    parts = [both_sides(box((0.7, 0.05, 0.05), (0, 0.86 * half, 0.03), Material.METAL, STEEL))]
    for z in (0.2, height):
        parts.append(tube((0, -half, z), (0, half, z), 0.022, Material.METAL, STEEL, sides=5))
    for y in np.linspace(-half, half, bars):
        parts.append(tube((0, y, 0.2), (0, y, height), 0.012, Material.METAL, STEEL, sides=4, capped=False))
    return join(parts)


def bin_(rng: np.random.Generator) -> Mesh:
    """A wheeled refuse bin."""
    color: Color = ((44, 92, 54), (50, 52, 56), (40, 66, 128), (150, 120, 40))[int(rng.integers(4))]
    width, height = rng.uniform(0.55, 0.9), rng.uniform(1.0, 1.2)
    return join(
        [
            box((0.6, width, height - 0.1), (0, 0, 0.5 * height), Material.PLASTIC, color, top_scale=(1.15, 1.12)),
            box((0.72, 1.14 * width, 0.08), (0.0, 0, height), Material.PLASTIC, color),
            both_sides(tube((-0.25, 0.3 * width, 0.1), (-0.25, 0.45 * width, 0.1), 0.1, Material.RUBBER, DARK)),
        ]
    )


def debris(rng: np.random.Generator) -> Mesh:
    """A heap of boxes and bags."""
    parts = []
    for _ in range(int(rng.integers(2, 5))):
        size = (rng.uniform(0.25, 0.5), rng.uniform(0.25, 0.5), rng.uniform(0.15, 0.35))
        center = (rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), 0.5 * size[2])
        color: Color = ((150, 116, 80), (40, 40, 44), (190, 188, 180))[int(rng.integers(3))]
        parts.append(box(size, center, Material.WOOD, color, top_scale=(0.8, 0.7)).turned(0.0))
    return join(parts)

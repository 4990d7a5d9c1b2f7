"""Tables, coffee tables and desks."""

from __future__ import annotations

import numpy as np

from data_prep.simulate.indoor.piece import METALS, WOODS, Piece, Shelf, pick, slab, uniform
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, join, tube


def table(rng: np.random.Generator) -> Piece:
    """A dining or meeting table: four legs, trestles, or round on a pedestal."""
    height = uniform(rng, 0.70, 0.77)
    if rng.random() < 0.3:
        return _round_table(rng, "table", uniform(rng, 0.42, 0.65), height)
    return _rectangular(rng, "table", uniform(rng, 0.75, 1.0), uniform(rng, 1.0, 2.2), height)


def coffee_table(rng: np.random.Generator) -> Piece:
    height = uniform(rng, 0.36, 0.48)
    if rng.random() < 0.35:
        return _round_table(rng, "coffee table", uniform(rng, 0.3, 0.5), height)
    return _rectangular(rng, "coffee table", uniform(rng, 0.45, 0.7), uniform(rng, 0.8, 1.3), height)


def desk(rng: np.random.Generator) -> Piece:
    """A writing desk: drawers on one or both sides or bare legs, a modesty panel, sometimes an L."""
    depth, width, height = uniform(rng, 0.6, 0.8), uniform(rng, 1.1, 1.8), uniform(rng, 0.70, 0.76)
    wood, leg = pick(rng, WOODS), pick(rng, METALS + WOODS)
    x, y = 0.5 * depth, 0.5 * width
    parts = [slab(-x, x, -y, y, height - 0.03, height, Material.WOOD, wood)]
    drawers = int(rng.integers(0, 3))  # how many sides have a block of drawers
    for side in (-1, 1)[:drawers]:
        y0, y1 = sorted((side * y, side * (y - uniform(rng, 0.34, 0.45))))
        parts.append(slab(-x + 0.05, x - 0.05, y0, y1, 0.04, height - 0.03, Material.WOOD, wood))
        parts += [
            slab(x - 0.05, x - 0.03, y0 + 0.01, y1 - 0.01, z, z + 0.16, Material.WOOD, wood)
            for z in np.arange(0.08, height - 0.2, 0.18)
        ]
    parts += [
        _leg(sx * (x - 0.04), side * (y - 0.04), height - 0.03, leg) for side in (-1, 1)[drawers:] for sx in (-1, 1)
    ]
    if rng.random() < 0.6:
        parts.append(
            slab(
                -x + 0.04, -x + 0.06, -y + 0.03, y - 0.03, uniform(rng, 0.05, 0.35), height - 0.03, Material.WOOD, wood
            )
        )
    if rng.random() < 0.2:
        reach = uniform(rng, 0.4, 0.8)
        parts.append(slab(x, x + reach, y - 0.55, y, height - 0.03, height, Material.WOOD, wood))
        parts += [_leg(x + reach - 0.04, at, height - 0.03, leg) for at in (y - 0.05, y - 0.5)]
    return Piece("desk", join(parts), (Shelf(-x + 0.05, x - 0.1, -y + 0.08, y - 0.08, height),))


def _rectangular(rng: np.random.Generator, category: str, depth: float, width: float, height: float) -> Piece:
    wood, thick = pick(rng, WOODS), uniform(rng, 0.02, 0.05)
    x, y = 0.5 * depth, 0.5 * width
    parts = [slab(-x, x, -y, y, height - thick, height, Material.WOOD, wood)]
    kind = rng.integers(3)
    if kind == 0:  # legs at the corners, joined by an apron
        radius = uniform(rng, 0.02, 0.04)
        parts += [
            tube(
                (sx * (x - 0.06), sy * (y - 0.06), 0),
                (sx * (x - 0.06), sy * (y - 0.06), height - thick),
                (0.7 * radius, radius),
                Material.WOOD,
                wood,
            )
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
        parts.append(
            slab(-x + 0.06, x - 0.06, -y + 0.05, -y + 0.08, height - thick - 0.08, height - thick, Material.WOOD, wood)
        )
        parts.append(
            slab(-x + 0.06, x - 0.06, y - 0.08, y - 0.05, height - thick - 0.08, height - thick, Material.WOOD, wood)
        )
    elif kind == 1:  # metal frames at the ends
        metal = pick(rng, METALS)
        for side in (-1, 1):
            parts += [_leg(sx * (x - 0.05), side * (y - 0.08), height - thick, metal) for sx in (-1, 1)]
            parts.append(
                slab(
                    -x + 0.05,
                    x - 0.05,
                    side * (y - 0.08) - 0.02,
                    side * (y - 0.08) + 0.02,
                    0.02,
                    0.05,
                    Material.METAL,
                    metal,
                )
            )
    else:  # panels at the ends and a board between them
        parts += [
            slab(
                -x + 0.03,
                x - 0.03,
                side * (y - 0.1) - 0.02,
                side * (y - 0.1) + 0.02,
                0,
                height - thick,
                Material.WOOD,
                wood,
            )
            for side in (-1, 1)
        ]
        level = uniform(rng, 0.12, 0.5) * height
        parts.append(slab(-0.6 * x, 0.6 * x, -y + 0.1, y - 0.1, level, level + 0.025, Material.WOOD, wood))
    return Piece(category, join(parts), (Shelf(-x + 0.06, x - 0.06, -y + 0.06, y - 0.06, height),))


def _round_table(rng: np.random.Generator, category: str, radius: float, height: float) -> Piece:
    wood, metal = pick(rng, WOODS), pick(rng, METALS)
    parts = [tube((0, 0, height - 0.035), (0, 0, height), radius, Material.WOOD, wood, sides=28)]
    if rng.random() < 0.5:
        parts.append(tube((0, 0, 0.03), (0, 0, height - 0.035), 0.04, Material.METAL, metal))
        parts.append(tube((0, 0, 0), (0, 0, 0.03), 0.55 * radius, Material.METAL, metal, sides=20))
    else:
        for angle in np.arange(3) * (2 * np.pi / 3):
            x, y = 0.8 * radius * np.cos(angle), 0.8 * radius * np.sin(angle)
            parts.append(tube((x, y, 0), (0.6 * x, 0.6 * y, height - 0.035), 0.022, Material.WOOD, wood))
    side = 0.6 * radius
    return Piece(category, join(parts), (Shelf(-side, side, -side, side, height),))


def _leg(x: float, y: float, height: float, color: Color) -> Mesh:
    return slab(x - 0.022, x + 0.022, y - 0.022, y + 0.022, 0, height, Material.METAL, color)

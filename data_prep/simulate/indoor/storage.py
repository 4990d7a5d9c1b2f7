"""Cabinets, shelves, refrigerators, kitchen counters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from data_prep.simulate.indoor.piece import (
    CERAMICS,
    METALS,
    VIVID,
    WOODS,
    Piece,
    Shelf,
    darker,
    pick,
    slab,
    uniform,
)
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, ball, join, tube


def cabinet(rng: np.random.Generator) -> Piece:
    """A low cabinet with doors, drawers or both."""
    depth, width, height = uniform(rng, 0.38, 0.52), uniform(rng, 0.6, 1.6), uniform(rng, 0.7, 1.15)
    return _cupboard(rng, "cabinet", depth, width, height, drawers=int(rng.integers(0, 3)))


def wardrobe(rng: np.random.Generator) -> Piece:
    depth, width, height = uniform(rng, 0.52, 0.64), uniform(rng, 0.8, 2.0), uniform(rng, 1.8, 2.2)
    return _cupboard(rng, "wardrobe", depth, width, height, drawers=int(rng.integers(0, 2)))


def dresser(rng: np.random.Generator) -> Piece:
    depth, width, height = uniform(rng, 0.42, 0.52), uniform(rng, 0.7, 1.5), uniform(rng, 0.75, 1.1)
    return _cupboard(rng, "dresser", depth, width, height, drawers=int(rng.integers(3, 6)))


def nightstand(rng: np.random.Generator) -> Piece:
    depth, width, height = uniform(rng, 0.36, 0.45), uniform(rng, 0.4, 0.55), uniform(rng, 0.45, 0.65)
    return _cupboard(rng, "nightstand", depth, width, height, drawers=int(rng.integers(1, 4)))


def wall_cabinet(rng: np.random.Generator, width: float) -> Piece:
    """A kitchen's upper cabinet, hung at 1.4 m."""
    depth, height = uniform(rng, 0.30, 0.36), uniform(rng, 0.6, 0.85)
    cupboard = _cupboard(rng, "kitchen cabinet", depth, width, height, drawers=0)
    return Piece("kitchen cabinet", cupboard.mesh.shifted(z=uniform(rng, 1.38, 1.5)))


def base_cabinet(rng: np.random.Generator, depth: float, width: float, height: float) -> Piece:
    """A kitchen's lower cabinet, without the counter on it."""
    cupboard = _cupboard(rng, "kitchen cabinet", depth, width, height, drawers=int(rng.integers(0, 2)))
    return Piece("kitchen cabinet", cupboard.mesh)


def counter(rng: np.random.Generator, depth: float, width: float, height: float) -> Piece:
    """The slab on kitchen base cabinets, with a splash back."""
    color = pick(rng, ((90, 85, 80), (200, 195, 185), (60, 60, 62), (170, 130, 90)))
    thick = uniform(rng, 0.03, 0.05)
    x, y = 0.5 * depth, 0.5 * width
    parts = [
        slab(-x, x + 0.03, -y, y, height, height + thick, Material.CONCRETE, color),
        slab(-x, -x + 0.02, -y, y, height + thick, height + thick + uniform(rng, 0.05, 0.12), Material.CONCRETE, color),
    ]
    return Piece("counter", join(parts), (Shelf(-x + 0.05, x - 0.05, -y + 0.05, y - 0.05, height + thick),))


def bookshelf(rng: np.random.Generator) -> Piece:
    """An open case with boards and rows of books; ScanNet annotates both as one."""
    depth, width, height = uniform(rng, 0.26, 0.38), uniform(rng, 0.6, 1.8), uniform(rng, 1.0, 2.1)
    wood, thick = pick(rng, WOODS), uniform(rng, 0.018, 0.03)
    x, y = 0.5 * depth, 0.5 * width
    columns = max(1, round(width / uniform(rng, 0.6, 0.95)))
    levels = np.linspace(0.05, height - thick, max(3, round(height / uniform(rng, 0.30, 0.42))))
    parts = [
        slab(-x, x, at - 0.5 * thick, at + 0.5 * thick, 0, height, Material.WOOD, wood)
        for at in np.linspace(-y, y, columns + 1)
    ]
    parts += [slab(-x, x, -y, y, z, z + thick, Material.WOOD, wood) for z in levels]
    if rng.random() < 0.7:
        parts.append(slab(-x, -x + 0.01, -y, y, 0, height, Material.WOOD, darker(wood, 0.8)))
    for low, high in pairwise(levels.tolist()):
        for column in range(columns):
            left = -y + column * width / columns + thick
            parts += _books(rng, x, left, left + width / columns - 2 * thick, low + thick, high - low - thick)
    return Piece("bookshelf", join(parts), (Shelf(-x + 0.05, x - 0.05, -y + 0.05, y - 0.05, height),))


def wall_shelf(rng: np.random.Generator) -> Piece:
    """One or two boards on the wall at eye height."""
    depth, width, wood = uniform(rng, 0.18, 0.28), uniform(rng, 0.5, 1.2), pick(rng, WOODS)
    x, y, z = 0.5 * depth, 0.5 * width, uniform(rng, 1.2, 1.5)
    parts = [slab(-x, x, -y, y, z, z + 0.025, Material.WOOD, wood)]
    parts += _books(rng, x, -y + 0.05, -y + 0.6 * width, z + 0.025, 0.3)
    if rng.random() < 0.4:
        parts.append(slab(-x, x, -y, y, z + 0.35, z + 0.375, Material.WOOD, wood))
    return Piece("shelf", join(parts))


def refrigerator(rng: np.random.Generator) -> Piece:
    """Freezer above or below, two doors, or side by side."""
    depth, width, height = uniform(rng, 0.62, 0.75), uniform(rng, 0.58, 0.92), uniform(rng, 1.45, 1.85)
    color = pick(rng, ((235, 235, 232), (175, 178, 180), (40, 40, 42), (240, 238, 228)))
    x, y, seam = 0.5 * depth, 0.5 * width, 0.006
    body = slab(-x, x - 0.06, -y, y, 0.03, height, Material.METAL, darker(color, 0.92))
    if width > 0.85:
        panels = [(-y, -seam, 0.05, height), (seam, y, 0.05, height)]
    else:
        split = height * (uniform(rng, 0.28, 0.36) if rng.random() < 0.5 else uniform(rng, 0.62, 0.7))
        panels = [(-y, y, 0.05, split - seam), (-y, y, split + seam, height)]
    doors = [slab(x - 0.055, x, y0, y1, z0, z1, Material.METAL, color) for y0, y1, z0, z1 in panels]
    handles = []
    for y0, y1, z0, z1 in panels:
        at = (y1 - 0.05) if y1 < y - 0.01 or rng.random() < 0.5 else (y0 + 0.05)
        handles.append(
            tube(
                (x + 0.03, at, z0 + 0.25 * (z1 - z0)),
                (x + 0.03, at, z0 + 0.8 * (z1 - z0)),
                0.014,
                Material.METAL,
                METALS[0],
            )
        )
    return Piece("refrigerator", join([body, *doors, *handles]), (Shelf(-x + 0.1, x - 0.1, -y + 0.1, y - 0.1, height),))


def radiator(rng: np.random.Generator) -> Piece:
    width, height, color = uniform(rng, 0.5, 1.3), uniform(rng, 0.5, 0.7), pick(rng, CERAMICS)
    columns = np.arange(-0.5 * width, 0.5 * width, 0.06)
    parts = [slab(-0.05, 0.05, y, y + 0.035, 0.12, 0.12 + height, Material.METAL, color) for y in columns]
    parts.append(slab(-0.03, 0.03, -0.5 * width, 0.5 * width, 0.15, 0.2, Material.METAL, color))
    return Piece("radiator", join(parts))


def _cupboard(
    rng: np.random.Generator, category: str, depth: float, width: float, height: float, drawers: int
) -> Piece:
    """A case with `drawers` rows of drawers above a row of doors (only drawers for three rows or more)."""
    color = pick(rng, WOODS + CERAMICS)
    front, handle = color if rng.random() < 0.6 else pick(rng, WOODS + CERAMICS), pick(rng, METALS)
    x, y, plinth, gap = 0.5 * depth, 0.5 * width, uniform(rng, 0.04, 0.1), 0.006
    parts = [
        slab(-x, x - 0.025, -y, y, plinth, height, Material.WOOD, color),
        slab(-x, x - 0.06, -y + 0.02, y - 0.02, 0, plinth, Material.WOOD, darker(color, 0.5)),
        slab(-x, x + 0.01, -y - 0.01, y + 0.01, height, height + 0.025, Material.WOOD, color),
    ]
    columns = max(1, round(width / uniform(rng, 0.42, 0.6)))
    edges = np.linspace(-y, y, columns + 1)
    row = (height - plinth) / drawers if drawers >= 3 else 0.19
    for y0, y1 in zip(edges[:-1] + gap, edges[1:] - gap, strict=True):
        top = height
        for _ in range(drawers):
            parts.append(slab(x - 0.02, x, y0, y1, top - row + gap, top - gap, Material.WOOD, front))
            parts.append(_knob(x, 0.5 * (y0 + y1), top - 0.5 * row, handle))
            top -= row
        if drawers < 3:
            parts.append(slab(x - 0.02, x, y0, y1, plinth + gap, top - gap, Material.WOOD, front))
            parts.append(
                tube(
                    (x + 0.02, y1 - 0.05, plinth + 0.5 * (top - plinth)),
                    (x + 0.02, y1 - 0.05, top - 0.08),
                    0.008,
                    Material.METAL,
                    handle,
                    sides=6,
                )
            )
    return Piece(category, join(parts), (Shelf(-x + 0.04, x - 0.04, -y + 0.04, y - 0.04, height + 0.025),))


def _knob(x: float, y: float, z: float, color: Color) -> Mesh:
    return ball((x + 0.012, y, z), (0.018, 0.03, 0.012), Material.METAL, color)


def _books(rng: np.random.Generator, x: float, y0: float, y1: float, z: float, room: float) -> list[Mesh]:
    """A row of books from y0, which rarely fills the board."""
    parts: list[Mesh] = []
    end = y0 + (y1 - y0) * uniform(rng, 0.2, 1.0)
    while y0 < end - 0.03:
        thick, tall = uniform(rng, 0.015, 0.05), min(room - 0.02, uniform(rng, 0.17, 0.32))
        if tall < 0.1:
            break
        front = x - uniform(rng, 0.02, 0.09)
        parts.append(slab(-x + 0.015, front, y0, y0 + thick, z, z + tall, Material.CLOTH, pick(rng, VIVID + WOODS)))
        y0 += thick + 0.002
    return parts

"""A room's shell: floor, ceiling, walls with openings, doors and windows.

Wall frame: the origin on the floor under the middle of the wall, x into the room, y along the wall, z up. It is the
object frame of pieces with their back to the wall, at x = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.indoor.piece import CERAMICS, METALS, VIVID, WOODS, Piece, pick, slab, uniform
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, ball, box, join, quads
from pc_ssl.geometry import rotation_about_z, transform_from

REVEAL = 0.12  # metres from the wall's face to the door leaf or the window pane


@dataclass(frozen=True)
class Opening:
    """A rectangle y0..y1, z0..z1 cut out of a wall; metres, wall frame."""

    y0: float
    y1: float
    z0: float
    z1: float


@dataclass(frozen=True)
class Wall:
    """One side of the room: room_from_wall [4, 4], its length in metres, and its openings."""

    room_from_wall: NDArray[np.float64]
    length: float
    openings: tuple[Opening, ...] = ()


def four_walls(length: float, width: float) -> list[Wall]:
    """The sides of the rectangle 0..length x 0..width, counter-clockwise from the one at y = 0."""
    sides = (
        (0.5 * length, 0.0, 0.5 * np.pi, length),
        (length, 0.5 * width, np.pi, width),
        (0.5 * length, width, -0.5 * np.pi, length),
        (0.0, 0.5 * width, 0.0, width),
    )
    return [Wall(transform_from(rotation_about_z(yaw), [x, y, 0.0]), span) for x, y, yaw, span in sides]


def wall_piece(wall: Wall, height: float, color: Color, skirting: Color) -> Piece:
    """The wall in the room's frame: its face around the openings, their reveals, and a skirting board."""
    half = 0.5 * wall.length
    parts = [_pierced_face(half, height, wall.openings, color)]
    parts += [_reveal(opening, color) for opening in wall.openings]
    stops = [-half, *sorted(y for o in wall.openings if o.z0 == 0.0 for y in (o.y0, o.y1)), half]
    parts += [
        slab(0, 0.015, y0, y1, 0, 0.09, Material.WOOD, skirting)
        for y0, y1 in zip(stops[::2], stops[1::2], strict=True)
        if y1 > y0
    ]
    return Piece("wall", join(parts).moved(wall.room_from_wall))


def corner_block(x0: float, x1: float, y0: float, y1: float, height: float, color: Color) -> Piece:
    """A chimney or shaft in a corner, which makes the room L-shaped."""
    return Piece("wall", slab(x0, x1, y0, y1, 0, height, Material.PLASTER, color))


def floor(rng: np.random.Generator, length: float, width: float, tiled: bool) -> Piece:
    """Boards, tiles or carpet, with small variations between boards or tiles."""
    if tiled:
        size, base, material = (0.33, 0.33), pick(rng, (*CERAMICS, (150, 140, 125), (110, 112, 115))), Material.PAVING
    elif rng.random() < 0.3:
        size, base, material = (
            (length, width),
            pick(rng, ((120, 110, 100), (90, 95, 110), (150, 135, 110))),
            Material.CLOTH,
        )
    else:
        size, base, material = (1.4, 0.15), pick(rng, WOODS), Material.WOOD
    columns, rows = max(1, round(length / size[0])), max(1, round(width / size[1]))
    x, y = np.linspace(0, length, columns + 1), np.linspace(0, width, rows + 1)
    x0, y0 = (grid.ravel() for grid in np.meshgrid(x[:-1], y[:-1], indexing="ij"))
    x1, y1 = (grid.ravel() for grid in np.meshgrid(x[1:], y[1:], indexing="ij"))
    flat = np.zeros_like(x0)
    corner = np.stack([np.stack(c, -1) for c in ((x0, y0, flat), (x1, y0, flat), (x1, y1, flat), (x0, y1, flat))], 1)
    shade = rng.normal(1.0, 0.05, (len(corner), 1))
    return Piece("floor", quads(corner, material, np.clip(np.array(base) * shade, 5, 250).astype(np.uint8)))


def ceiling(length: float, width: float, height: float) -> Piece:
    corner = [[0, 0, height], [0, width, height], [length, width, height], [length, 0, height]]
    return Piece("ceiling", quads(np.array([corner]), Material.PLASTER, (228, 228, 224)))


def door(rng: np.random.Generator, opening: Opening) -> Piece:
    """Leaf with panels, frame and handle, shut or ajar; wall frame."""
    wood, frame = pick(rng, WOODS + CERAMICS), pick(rng, WOODS + CERAMICS)
    y0, y1, top = opening.y0, opening.y1, opening.z1
    width, depth = y1 - y0, -REVEAL + 0.06
    panels = [slab(-0.02, 0.02, 0, width, 0.01, top, Material.WOOD, wood)]
    rows = int(rng.integers(0, 4))
    for k in range(rows):
        z0, z1 = (0.15 + (top - 0.3) * (k + share) / rows for share in (0.08, 0.92))
        panels.append(slab(0.02, 0.028, 0.12, width - 0.12, z0, z1, Material.WOOD, wood))
    panels.append(ball((0.055, width - 0.08, 1.02), (0.03, 0.05, 0.02), Material.METAL, METALS[0]))
    ajar = uniform(rng, 0.2, 1.0) if rng.random() < 0.3 else 0.0
    leaf = join(panels).turned(-ajar).shifted(depth, y0, 0)
    casing = [
        slab(-REVEAL, 0.02, y0 - 0.07, y0, 0, top + 0.07, Material.WOOD, frame),
        slab(-REVEAL, 0.02, y1, y1 + 0.07, 0, top + 0.07, Material.WOOD, frame),
        slab(-REVEAL, 0.02, y0, y1, top, top + 0.07, Material.WOOD, frame),
        slab(-REVEAL - 0.05, 0.0, y0, y1, -0.02, 0.005, Material.WOOD, frame),
    ]
    return Piece("door", join([leaf, *casing]))


def window(rng: np.random.Generator, opening: Opening) -> Piece:
    """Frame, sashes, glass and sill; wall frame."""
    frame = pick(rng, CERAMICS + WOODS[:2])
    sky = pick(rng, ((190, 210, 235), (215, 222, 228), (165, 185, 150)))
    y0, y1, z0, z1 = opening.y0, opening.y1, opening.z0, opening.z1
    x, bar = -REVEAL + 0.03, uniform(rng, 0.03, 0.06)

    def strip(a: float, b: float, low: float, high: float) -> Mesh:
        return slab(x - 0.03, x + 0.03, a, b, low, high, Material.PLASTIC, frame)

    parts = [
        strip(y0, y1, z0, z0 + bar),
        strip(y0, y1, z1 - bar, z1),
        strip(y0, y0 + bar, z0, z1),
        strip(y1 - bar, y1, z0, z1),
    ]
    sashes = max(1, round((y1 - y0) / uniform(rng, 0.6, 0.9)))
    parts += [strip(at - 0.5 * bar, at + 0.5 * bar, z0, z1) for at in np.linspace(y0, y1, sashes + 1)[1:-1]]
    if rng.random() < 0.4:
        level = z0 + uniform(rng, 0.4, 0.7) * (z1 - z0)
        parts.append(strip(y0, y1, level - 0.5 * bar, level + 0.5 * bar))
    parts.append(box((0.005, y1 - y0, z1 - z0), (x, 0.5 * (y0 + y1), 0.5 * (z0 + z1)), Material.GLASS, sky))
    parts.append(slab(-REVEAL, 0.05, y0 - 0.03, y1 + 0.03, z0 - 0.03, z0, Material.WOOD, frame))
    return Piece("window", join(parts))


def paint(rng: np.random.Generator, choices: Sequence[Color], accent_share: float) -> list[Color]:
    """Colours of four walls: one for all, or another for an accent wall."""
    base = pick(rng, choices)
    colors = [base] * 4
    if rng.random() < accent_share:
        colors[int(rng.integers(4))] = pick(rng, tuple(choices) + VIVID)
    return colors


def _pierced_face(half: float, height: float, openings: Sequence[Opening], color: Color) -> Mesh:
    """The rectangle of the wall, cut at the edges of the openings into cells, without the cells inside them."""
    ys = sorted({-half, half, *(y for o in openings for y in (o.y0, o.y1))})
    zs = sorted({0.0, height, *(z for o in openings for z in (o.z0, o.z1))})
    cells = []
    for y0, y1 in pairwise(ys):
        for z0, z1 in pairwise(zs):
            if not any(o.y0 <= y0 and y1 <= o.y1 and o.z0 <= z0 and z1 <= o.z1 for o in openings):
                cells.append([[0, y0, z0], [0, y1, z0], [0, y1, z1], [0, y0, z1]])
    return quads(np.array(cells), Material.PLASTER, color)


def _reveal(opening: Opening, color: Color) -> Mesh:
    y0, y1, z0, z1, deep = opening.y0, opening.y1, opening.z0, opening.z1, -REVEAL
    sides = [
        [[0, y0, z0], [0, y0, z1], [deep, y0, z1], [deep, y0, z0]],
        [[0, y1, z0], [deep, y1, z0], [deep, y1, z1], [0, y1, z1]],
        [[0, y0, z1], [0, y1, z1], [deep, y1, z1], [deep, y0, z1]],
    ]
    if z0 > 0:
        sides.append([[0, y0, z0], [deep, y0, z0], [deep, y1, z0], [0, y1, z0]])
    return quads(np.array(sides), Material.PLASTER, color)

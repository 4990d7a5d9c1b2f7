"""Small objects on the floor, on furniture and on walls."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from data_prep.simulate.indoor.piece import (
    CERAMICS,
    FABRICS,
    METALS,
    VIVID,
    WOODS,
    Piece,
    darker,
    pick,
    slab,
    uniform,
)
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, ball, box, join, loft, quads, tube


def trash_can(rng: np.random.Generator) -> Piece:
    """Round or square, wider at the top, open or with a lid."""
    radius, height = uniform(rng, 0.12, 0.2), uniform(rng, 0.28, 0.6)
    color, sides = pick(rng, METALS + VIVID + CERAMICS), int(rng.choice([4, 12]))
    angle = (np.arange(sides) + 0.5) * (2 * np.pi / sides)
    rings = ((0.8, 0.0), (1.0, height), (0.94, height), (0.75, 0.02))  # up the outside, down the inside
    section = [
        np.column_stack([share * radius * np.cos(angle), share * radius * np.sin(angle), np.full(sides, z)])
        for share, z in rings
    ]
    body = loft(np.array(section), Material.PLASTIC, color)
    lid = ball((0, 0, height), (radius, radius, 0.04), Material.PLASTIC, darker(color, 0.8), sides=12)
    return Piece("trash can", join([body, lid]) if rng.random() < 0.4 else body)


def cardboard_box(rng: np.random.Generator) -> Piece:
    size = (uniform(rng, 0.2, 0.5), uniform(rng, 0.2, 0.6), uniform(rng, 0.15, 0.45))
    color = pick(rng, ((165, 125, 80), (190, 155, 110), (225, 225, 220)))
    return Piece("box", box(size, (0, 0, 0.5 * size[2]), Material.WOOD, color))


def backpack(rng: np.random.Generator) -> Piece:
    color, height = pick(rng, VIVID + FABRICS), uniform(rng, 0.38, 0.5)
    body = ball((0, 0, 0.5 * height), (0.14, 0.18, 0.5 * height), Material.CLOTH, color, rings=7, sides=12)
    pocket = ball(
        (0.12, 0, 0.3 * height), (0.06, 0.13, 0.22 * height), Material.CLOTH, darker(color, 0.7), rings=5, sides=10
    )
    return Piece("backpack", join([body, pocket]))


def floor_lamp(rng: np.random.Generator) -> Piece:
    return Piece("lamp", _lamp(rng, uniform(rng, 1.35, 1.7), 0.14, 0.2))


def table_lamp(rng: np.random.Generator) -> Piece:
    return Piece("lamp", _lamp(rng, uniform(rng, 0.35, 0.55), 0.08, 0.13))


def plant(rng: np.random.Generator) -> Piece:
    """A pot with leaves."""
    radius, height = uniform(rng, 0.08, 0.18), uniform(rng, 0.35, 1.2)
    pot = tube(
        (0, 0, 0), (0, 0, 0.3 * height), (0.7 * radius, radius), Material.PLASTIC, pick(rng, VIVID + CERAMICS), sides=12
    )
    leaves = []
    for _ in range(int(rng.integers(10, 22))):
        angle, rise, reach = (
            uniform(rng, 0, 2 * np.pi),
            uniform(rng, 0.5, 1.0) * height,
            uniform(rng, 0.8, 2.2) * radius,
        )
        green = pick(rng, ((50, 100, 45), (80, 130, 60), (40, 80, 50)))
        tip = np.array([reach * np.cos(angle), reach * np.sin(angle), rise])
        side = np.array([-np.sin(angle), np.cos(angle), 0]) * uniform(rng, 0.03, 0.07)
        base = np.array([0, 0, 0.28 * height])
        middle = 0.5 * (base + tip) + np.array([0, 0, 0.1 * height])
        front = np.array([[base, middle - side, tip, middle + side]])
        leaves.append(quads(np.concatenate([front, front[:, ::-1]]), Material.FOLIAGE, green))
    return Piece("plant", join([pot, *leaves]))


def book(rng: np.random.Generator) -> Piece:
    """One book, or a pile of books, lying flat."""
    parts, z = [], 0.0
    for _ in range(int(rng.integers(1, 5))):
        size = (uniform(rng, 0.14, 0.2), uniform(rng, 0.2, 0.28), uniform(rng, 0.015, 0.05))
        cover = box(size, (0, 0, z + 0.5 * size[2]), Material.CLOTH, pick(rng, VIVID + WOODS))
        parts.append(cover.turned(uniform(rng, -0.3, 0.3)))
        z += size[2]
    return Piece("book", join(parts))


def monitor(rng: np.random.Generator) -> Piece:
    """A screen on a foot, facing the front."""
    width = uniform(rng, 0.45, 0.65)
    height, low, frame = 0.58 * width, uniform(rng, 0.08, 0.14), pick(rng, METALS[1:2] + METALS[3:])
    parts = [
        slab(-0.02, 0.02, -0.5 * width, 0.5 * width, low, low + height, Material.PLASTIC, frame),
        slab(
            0.02,
            0.022,
            -0.48 * width,
            0.48 * width,
            low + 0.02,
            low + height - 0.02,
            Material.GLASS,
            pick(rng, VIVID[1:2] + METALS[3:]),
        ),
        slab(-0.04, -0.02, -0.03, 0.03, 0, low + 0.1, Material.PLASTIC, frame),
        slab(-0.1, 0.08, -0.12, 0.12, 0, 0.015, Material.PLASTIC, frame),
    ]
    return Piece("monitor", join(parts))


def keyboard(rng: np.random.Generator) -> Piece:
    color = pick(rng, METALS[3:] + CERAMICS)
    return Piece("keyboard", slab(-0.07, 0.07, -0.22, 0.22, 0, 0.025, Material.PLASTIC, color))


def tv(rng: np.random.Generator) -> Piece:
    width = uniform(rng, 0.8, 1.3)
    height = 0.57 * width
    parts = [
        slab(-0.03, 0.03, -0.5 * width, 0.5 * width, 0.06, 0.06 + height, Material.PLASTIC, (28, 28, 30)),
        slab(-0.12, 0.12, -0.2 * width, 0.2 * width, 0, 0.02, Material.PLASTIC, (35, 35, 36)),
        slab(-0.02, 0.02, -0.05, 0.05, 0, 0.08, Material.PLASTIC, (35, 35, 36)),
    ]
    return Piece("tv", join(parts))


def bottle(rng: np.random.Generator) -> Piece:
    radius, height = uniform(rng, 0.03, 0.045), uniform(rng, 0.18, 0.3)
    color = pick(rng, VIVID)
    body = tube((0, 0, 0), (0, 0, 0.7 * height), radius, Material.PLASTIC, color, sides=10)
    neck = tube((0, 0, 0.7 * height), (0, 0, height), (radius, 0.4 * radius), Material.PLASTIC, color, sides=10)
    return Piece("bottle", join([body, neck]))


def cup(rng: np.random.Generator) -> Piece:
    color = pick(rng, CERAMICS + VIVID)
    return Piece(
        "cup", tube((0, 0, 0), (0, 0, uniform(rng, 0.08, 0.13)), (0.035, 0.045), Material.PLASTIC, color, sides=10)
    )


def rug(rng: np.random.Generator) -> Piece:
    """A carpet with a border and stripes."""
    x, y = 0.5 * uniform(rng, 1.0, 1.6), 0.5 * uniform(rng, 1.4, 2.4)
    border, field = pick(rng, FABRICS + VIVID), pick(rng, FABRICS)
    parts = [
        slab(-x, x, -y, y, 0, 0.012, Material.CLOTH, border),
        slab(-x + 0.12, x - 0.12, -y + 0.12, y - 0.12, 0.012, 0.016, Material.CLOTH, field),
    ]
    stripes = np.arange(-y + 0.3, y - 0.3, uniform(rng, 0.2, 0.45))
    parts += [slab(-x + 0.2, x - 0.2, at, at + 0.06, 0.016, 0.019, Material.CLOTH, border) for at in stripes]
    return Piece("rug", join(parts))


def picture(rng: np.random.Generator) -> Piece:
    """A frame with a painted patchwork, hung at eye height."""
    width, height, low = uniform(rng, 0.3, 1.1), uniform(rng, 0.3, 0.8), uniform(rng, 1.2, 1.5)
    frame = pick(rng, WOODS + METALS)
    y, border = 0.5 * width, uniform(rng, 0.015, 0.05)
    parts = [slab(-0.02, 0.02, -y, y, low, low + height, Material.WOOD, frame)]
    columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    ys, zs = (
        np.linspace(-y + border, y - border, columns + 1),
        np.linspace(low + border, low + height - border, rows + 1),
    )
    for y0, y1 in pairwise(ys.tolist()):
        for z0, z1 in pairwise(zs.tolist()):
            parts.append(slab(0.02, 0.023, y0, y1, z0, z1, Material.PLASTER, pick(rng, VIVID + FABRICS)))
    return Piece("picture", join(parts))


def mirror(rng: np.random.Generator) -> Piece:
    width, height = uniform(rng, 0.45, 0.9), uniform(rng, 0.5, 0.9)
    return Piece("mirror", _panel(width, 1.1, height, Material.GLASS, (150, 165, 170), pick(rng, WOODS + METALS)))


def whiteboard(rng: np.random.Generator) -> Piece:
    return Piece(
        "whiteboard",
        _panel(uniform(rng, 1.0, 2.0), 0.95, uniform(rng, 0.8, 1.1), Material.PLASTIC, (240, 240, 240), METALS[0]),
    )


def towel(rng: np.random.Generator) -> Piece:
    """A towel on a rail at the wall."""
    width, drop, color = uniform(rng, 0.3, 0.5), uniform(rng, 0.45, 0.7), pick(rng, VIVID + CERAMICS)
    top = uniform(rng, 1.1, 1.35)
    parts = [
        slab(dx, dx + 0.015, -0.5 * width, 0.5 * width, top - drop * part, top, Material.CLOTH, color)
        for dx, part in ((0.03, 1.0), (-0.01, 0.7))
    ]
    parts.append(
        tube(
            (0.02, -0.5 * width - 0.06, top), (0.02, 0.5 * width + 0.06, top), 0.012, Material.METAL, METALS[0], sides=6
        )
    )
    return Piece("towel", join(parts))


def _panel(width: float, low: float, height: float, material: Material, color: Color, frame: Color) -> Mesh:
    y = 0.5 * width
    back = slab(-0.02, 0.012, -y, y, low, low + height, Material.WOOD, frame)
    return join([back, slab(0.012, 0.016, -y + 0.03, y - 0.03, low + 0.03, low + height - 0.03, material, color)])


def _lamp(rng: np.random.Generator, height: float, foot: float, shade: float) -> Mesh:
    metal, color = pick(rng, METALS), pick(rng, CERAMICS + FABRICS[3:4] + VIVID[2:3])
    drop = 1.3 * shade
    return join(
        [
            tube((0, 0, 0), (0, 0, 0.02), foot, Material.METAL, metal, sides=14),
            tube((0, 0, 0.02), (0, 0, height - drop), 0.012, Material.METAL, metal, sides=6),
            tube((0, 0, height - drop), (0, 0, height), (shade, 0.65 * shade), Material.LAMP, color, sides=16),
        ]
    )

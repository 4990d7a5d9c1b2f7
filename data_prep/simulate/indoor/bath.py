"""Bathroom and kitchen plumbing: toilet, sink, bathtub, shower curtain."""

from __future__ import annotations

import numpy as np

from data_prep.simulate.indoor.piece import CERAMICS, METALS, VIVID, WOODS, Piece, Shelf, pick, slab, uniform
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, join, loft, tube


def toilet(rng: np.random.Generator) -> Piece:
    """Bowl on a foot, seat, lid open or shut, cistern at the wall."""
    white = pick(rng, CERAMICS)
    bowl, width, rim = uniform(rng, 0.42, 0.5), uniform(rng, 0.34, 0.39), uniform(rng, 0.38, 0.43)
    tank = uniform(rng, 0.17, 0.22)
    x0 = -0.5 * (bowl + tank)
    middle = x0 + tank + 0.5 * bowl
    ovals = [(0.0, 0.5, 0.55), (0.08, 0.45, 0.5), (0.55, 0.75, 0.8), (0.95, 1.0, 1.0), (1.0, 1.0, 1.0)]
    parts = [
        _oval_skin([(middle - 0.04 * (1 - w), 0.5 * bowl * s, 0.5 * width * w, rim * z) for z, s, w in ovals], white)
    ]
    parts.append(
        slab(
            x0,
            x0 + tank,
            -0.5 * width - 0.02,
            0.5 * width + 0.02,
            rim,
            rim + uniform(rng, 0.32, 0.4),
            Material.PLASTIC,
            white,
        )
    )
    seat = pick(rng, CERAMICS + WOODS[:1])
    lid = _oval_skin([(middle, 0.49 * bowl, 0.51 * width, rim + dz) for dz in (0.005, 0.03)], seat)
    if rng.random() < 0.4:  # lid up, against the cistern
        up = lid.vertex - np.array([x0 + tank + 0.02, 0, rim], np.float32)
        lid = Mesh(
            np.stack([-0.15 * up[:, 0] + up[:, 2] + x0 + tank + 0.09, up[:, 1], up[:, 0] + rim + 0.01], 1).astype(
                np.float32
            ),
            lid.triangle,
            lid.material,
            lid.color,
        )
        parts.append(
            _oval_skin([(middle, 0.3 * bowl, 0.3 * width, rim + dz) for dz in (-0.05, 0.004)], (120, 125, 128))
        )
    parts.append(lid)
    return Piece("toilet", join(parts))


def bathtub(rng: np.random.Generator) -> Piece:
    """A hollow tub along the wall; its long side is y."""
    width, length, height = uniform(rng, 0.68, 0.82), uniform(rng, 1.45, 1.75), uniform(rng, 0.42, 0.58)
    white, rim = pick(rng, CERAMICS), uniform(rng, 0.05, 0.09)
    x, y = 0.5 * width, 0.5 * length
    parts = _basin(x, y, height, rim, uniform(rng, 0.3, 0.38), white)
    parts.append(slab(-x, x, -y, y, 0, 0.05, Material.PLASTIC, white))
    parts += [
        slab(a, b, c, d, 0, height - 0.02, Material.PLASTIC, white)
        for a, b, c, d in ((-x, -x + 0.02, -y, y), (x - 0.02, x, -y, y), (-x, x, -y, -y + 0.02), (-x, x, y - 0.02, y))
    ]
    parts.append(_tap((-x + 0.04, -y + 0.25), height, pick(rng, METALS)))
    return Piece("bathtub", join(parts))


def sink(rng: np.random.Generator) -> Piece:
    """A wash basin on a pedestal or hung from the wall."""
    depth, width, height = uniform(rng, 0.40, 0.5), uniform(rng, 0.45, 0.65), uniform(rng, 0.8, 0.88)
    white = pick(rng, CERAMICS)
    x, y, bowl = 0.5 * depth, 0.5 * width, uniform(rng, 0.12, 0.17)
    parts = _basin(x, y, height, 0.04, bowl, white)
    shell = np.array(
        [
            [(sx * x * s, sy * y * s, z) for sx, sy in _AROUND]
            for s, z in ((0.55, height - bowl - 0.05), (1.0, height - 0.01))
        ]
    )
    parts.append(loft(shell, Material.PLASTIC, white))
    if rng.random() < 0.6:
        parts.append(
            tube((-0.3 * x, 0, 0), (-0.3 * x, 0, height - bowl), (0.11, 0.08), Material.PLASTIC, white, sides=12)
        )
    parts.append(_tap((-x + 0.05, 0.0), height, pick(rng, METALS)))
    return Piece("sink", join(parts))


def kitchen_sink(rng: np.random.Generator, height: float) -> Piece:
    """A basin whose rim protrudes from the counter's surface at `height`."""
    metal = pick(rng, METALS[::2] + CERAMICS[:1])
    x, y = uniform(rng, 0.19, 0.22), uniform(rng, 0.24, 0.38)
    parts = _basin(x, y, height + 0.06, 0.025, 0.055, metal)
    parts += [
        slab(a, b, c, d, height, height + 0.055, Material.METAL, metal)
        for a, b, c, d in ((-x, -x + 0.02, -y, y), (x - 0.02, x, -y, y), (-x, x, -y, -y + 0.02), (-x, x, y - 0.02, y))
    ]
    parts.append(_tap((-x + 0.03, 0.0), height + 0.06, METALS[0]))
    return Piece("sink", join(parts))


def hanging_cloth(rng: np.random.Generator, category: str, width: float, low: float, high: float) -> Piece:
    """A curtain or shower curtain in folds along y, with its rod."""
    columns = max(12, int(width / 0.025))
    y = np.linspace(-0.5 * width, 0.5 * width, columns)
    phase, fold = uniform(rng, 0, 6), uniform(rng, 0.08, 0.16)
    depth = uniform(rng, 0.02, 0.045)
    color = pick(rng, VIVID[4:] + CERAMICS + ((150, 60, 60), (70, 90, 120), (165, 150, 120), (110, 120, 100)))
    section = []
    for level, spread in ((low, 1.0), (0.5 * (low + high), 0.9), (high, 0.75)):
        x = spread * depth * np.sin(2 * np.pi * y / fold + phase) + 0.3 * depth * np.sin(5.1 * y / fold)
        front, rear = (
            np.column_stack([x + 0.004, y, np.full(columns, level)]),
            np.column_stack([x - 0.004, y, np.full(columns, level)]),
        )
        section.append(np.concatenate([rear[::-1], front]))
    rod = tube(
        (0, -0.5 * width - 0.1, high + 0.02), (0, 0.5 * width + 0.1, high + 0.02), 0.012, Material.METAL, METALS[0]
    )
    return Piece(category, join([loft(np.array(section), Material.CLOTH, color), rod]))


def vanity(rng: np.random.Generator) -> tuple[Piece, Piece]:
    """A bathroom cabinet and the basin in its top."""
    depth, width, height = uniform(rng, 0.45, 0.55), uniform(rng, 0.6, 1.0), uniform(rng, 0.72, 0.8)
    color = pick(rng, WOODS + CERAMICS)
    x, y = 0.5 * depth, 0.5 * width
    case = [slab(-x, x, -y, y, 0.06, height, Material.WOOD, color)]
    case += [slab(x, x + 0.015, y0 + 0.01, y0 + y - 0.01, 0.1, height - 0.04, Material.WOOD, color) for y0 in (-y, 0.0)]
    basin = kitchen_sink(rng, height)
    return Piece("cabinet", join(case), (Shelf(-x, x, 0.6 * y, y - 0.05, height),)), basin


_AROUND = ((-1, -0.8), (-0.8, -1), (0.8, -1), (1, -0.8), (1, 0.8), (0.8, 1), (-0.8, 1), (-1, 0.8))


def _basin(x: float, y: float, top: float, rim: float, bowl: float, color: Color) -> list[Mesh]:
    """Rim and inside of a basin, open at the top."""

    def ring(scale_x: float, scale_y: float, z: float) -> list[tuple[float, float, float]]:
        return [(sx * scale_x, sy * scale_y, z) for sx, sy in _AROUND]

    inner_x, inner_y = x - rim, y - rim
    section = [
        ring(x, y, top - 0.02),
        ring(x, y, top),
        ring(inner_x, inner_y, top),
        ring(0.85 * inner_x, 0.9 * inner_y, top - bowl),
    ]
    floor = [ring(0.85 * inner_x, 0.9 * inner_y, top - bowl - 0.01), ring(0.85 * inner_x, 0.9 * inner_y, top - bowl)]
    return [
        loft(np.array(section), Material.PLASTIC, color, capped=False),
        loft(np.array(floor), Material.PLASTIC, color),
    ]


def _tap(at: tuple[float, float], z: float, color: Color) -> Mesh:
    x, y = at
    spout = tube((x, y, z + 0.18), (x + 0.13, y, z + 0.14), 0.012, Material.METAL, color, sides=6)
    return join([tube((x, y, z - 0.01), (x, y, z + 0.19), 0.015, Material.METAL, color, sides=6), spout])


def _oval_skin(levels: list[tuple[float, float, float, float]], color: Color) -> Mesh:
    """A skin over ovals (middle x, half-length, half-width, z) from bottom to top."""
    angle = np.arange(18) * (2 * np.pi / 18)
    section = [np.column_stack([x + a * np.cos(angle), b * np.sin(angle), np.full(18, z)]) for x, a, b, z in levels]
    return loft(np.array(section), Material.PLASTIC, color)

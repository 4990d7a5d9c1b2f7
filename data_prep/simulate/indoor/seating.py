"""Chairs, sofas and beds."""

from __future__ import annotations

import numpy as np

from data_prep.simulate.indoor.piece import FABRICS, METALS, VIVID, WOODS, Piece, Shelf, darker, pick, slab, uniform
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, ball, box, join, loft, tube


def chair(rng: np.random.Generator) -> Piece:
    """A dining or visitor's chair: wooden with slats, solid or ladder back; or a shell on metal legs."""
    length, width, seat = uniform(rng, 0.40, 0.50), uniform(rng, 0.40, 0.50), uniform(rng, 0.43, 0.48)
    top = seat + uniform(rng, 0.36, 0.55)
    if rng.random() < 0.35:
        return Piece("chair", _shell_chair(rng, length, width, seat, top))
    wood = pick(rng, WOODS)
    x, y, leg = 0.5 * length - 0.025, 0.5 * width - 0.025, uniform(rng, 0.017, 0.025)
    parts = [
        tube((sx * x * 1.06, sy * y * 1.06, 0), (sx * x, sy * y, seat), leg, Material.WOOD, wood) for sx, sy in _CORNERS
    ]
    cushion = pick(rng, FABRICS) if rng.random() < 0.5 else wood
    parts.append(
        slab(-x - 0.03, x + 0.03, -y - 0.03, y + 0.03, seat, seat + uniform(rng, 0.025, 0.07), Material.CLOTH, cushion)
    )
    tilt = uniform(rng, 0.03, 0.10)
    parts += [tube((-x, s * y, seat), (-x - tilt, s * y, top), leg, Material.WOOD, wood) for s in (-1, 1)]
    parts += _chair_back(rng, x, y, tilt, seat, top, wood)
    if rng.random() < 0.3:
        parts += _arms(x, y + 0.02, seat, uniform(rng, 0.16, 0.22), Material.WOOD, wood)
    return Piece("chair", join(parts))


def office_chair(rng: np.random.Generator) -> Piece:
    """A swivel chair: star base with castors, column, upholstered seat, curved back, often arms."""
    fabric, frame = pick(rng, FABRICS), pick(rng, METALS[1:2] + METALS[3:])
    seat, radius = uniform(rng, 0.42, 0.52), uniform(rng, 0.28, 0.34)
    width, length, top = uniform(rng, 0.46, 0.52), uniform(rng, 0.44, 0.50), uniform(rng, 0.85, 1.25)
    parts = [tube((0, 0, 0.08), (0, 0, seat), 0.03, Material.METAL, frame)]
    for angle in uniform(rng, 0, 1) + np.arange(5) * (2 * np.pi / 5):
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        parts.append(tube((0, 0, 0.13), (x, y, 0.07), (0.035, 0.02), Material.PLASTIC, frame, sides=6))
        parts.append(ball((x, y, 0.03), (0.03, 0.03, 0.03), Material.RUBBER, (30, 30, 30)))
    parts.append(_cushion(-0.5 * length, 0.5 * length, width, seat, seat + 0.09, fabric))
    parts.append(slab(-0.5 * length - 0.04, -0.5 * length, -0.05, 0.05, seat, seat + 0.25, Material.PLASTIC, frame))
    parts.append(_curved_back(-0.5 * length - 0.02, width * uniform(rng, 0.85, 1.0), seat + 0.14, top, fabric))
    if rng.random() < 0.6:
        parts += _arms(0.15, 0.5 * width + 0.02, seat, 0.2, Material.PLASTIC, frame)
    return Piece("office chair", join(parts))


def armchair(rng: np.random.Generator) -> Piece:
    """A one-seat upholstered chair."""
    return Piece("armchair", _upholstered(rng, uniform(rng, 0.75, 0.95), 1))


def couch(rng: np.random.Generator) -> Piece:
    """A two- to four-seat sofa, with or without a chaise."""
    seats = int(rng.integers(2, 5))
    return Piece("couch", _upholstered(rng, 0.35 + seats * uniform(rng, 0.52, 0.68), seats))


def bed(rng: np.random.Generator) -> Piece:
    """A single, double or bunk bed with mattress, blanket and headboard; its head is at the wall."""
    length, width = uniform(rng, 1.95, 2.12), uniform(rng, 0.9, 1.8)
    wood, blanket, sheet = pick(rng, WOODS), pick(rng, FABRICS + VIVID), pick(rng, ((225, 222, 215), (200, 210, 220)))
    base, mattress = uniform(rng, 0.18, 0.38), uniform(rng, 0.16, 0.28)
    x, y = 0.5 * length, 0.5 * width
    parts = [_bed_level(x, y, 0.0, base, mattress, wood, blanket, sheet, rng)]
    head = base + mattress + uniform(rng, 0.15, 0.6)
    parts.append(slab(-x - 0.05, -x, -y, y, 0, head, Material.WOOD, wood))
    if rng.random() < 0.4:
        parts.append(slab(x, x + 0.04, -y, y, 0, base + uniform(rng, 0.05, 0.35), Material.WOOD, wood))
    if width < 1.1 and rng.random() < 0.3:
        upper = uniform(rng, 1.25, 1.45)
        parts += [
            tube(
                (sx * (x - 0.03), sy * (y - 0.03), 0),
                (sx * (x - 0.03), sy * (y - 0.03), upper + 0.6),
                0.035,
                Material.WOOD,
                wood,
            )
            for sx, sy in _CORNERS
        ]
        parts.append(_bed_level(x, y, upper, 0.08, 0.14, wood, blanket, sheet, rng))
        parts.append(slab(-x, 0.6 * x, y - 0.03, y, upper + 0.25, upper + 0.4, Material.WOOD, wood))
    return Piece("bed", join(parts), (Shelf(-x + 0.1, x - 0.1, -y + 0.1, y - 0.1, base + mattress + 0.03),))


def pillow(rng: np.random.Generator) -> Piece:
    size = (uniform(rng, 0.18, 0.26), uniform(rng, 0.22, 0.34), uniform(rng, 0.06, 0.10))
    color = pick(rng, FABRICS + VIVID)
    return Piece("pillow", ball((0, 0, size[2] * 0.8), size, Material.CLOTH, color, rings=6, sides=12))


_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def _chair_back(
    rng: np.random.Generator, x: float, y: float, tilt: float, seat: float, top: float, color: Color
) -> list[Mesh]:
    def across(z: float, height: float) -> Mesh:
        at = -x - tilt * (z - seat) / (top - seat)
        return box((0.022, 2 * y, height), (at, 0, z), Material.WOOD, color)

    kind = rng.integers(3)
    if kind == 0:  # solid
        return [across(0.5 * (seat + top) + 0.08, top - seat - 0.2)]
    if kind == 1:  # ladder
        return [across(z, 0.06) for z in np.linspace(seat + 0.15, top - 0.04, int(rng.integers(2, 5)))]
    slats = np.linspace(-0.7 * y, 0.7 * y, int(rng.integers(3, 6)))
    upright = [tube((-x, s, seat), (-x - tilt, s, top), 0.012, Material.WOOD, color, sides=5) for s in slats]
    return [across(top - 0.04, 0.08), *upright]


def _shell_chair(rng: np.random.Generator, length: float, width: float, seat: float, top: float) -> Mesh:
    color, metal = pick(rng, VIVID), pick(rng, METALS)
    x, y = 0.5 * length, 0.5 * width
    profile = [(x, seat - 0.02), (0.3 * x, seat - 0.01), (-0.6 * x, seat - 0.03), (-x, seat + 0.08), (-x - 0.08, top)]
    shell = loft(
        np.array(
            [
                [
                    (px, -y * w, z),
                    (px, -0.4 * y, z - 0.02),
                    (px, 0.4 * y, z - 0.02),
                    (px, y * w, z),
                    (px + 0.01, 0.4 * y, z + 0.01),
                    (px + 0.01, -0.4 * y, z + 0.01),
                ]
                for (px, z), w in zip(profile, (0.9, 1, 1, 1, 0.85), strict=True)
            ]
        ),
        Material.PLASTIC,
        color,
    )
    legs = [
        tube(
            (sx * x * 1.1, sy * y * 1.1, 0),
            (sx * x * 0.5, sy * y * 0.6, seat - 0.03),
            0.012,
            Material.METAL,
            metal,
            sides=6,
        )
        for sx, sy in _CORNERS
    ]
    return join([shell, *legs])


def _arms(x: float, y: float, seat: float, height: float, material: Material, color: Color) -> list[Mesh]:
    parts = []
    for side in (-1, 1):
        parts.append(box((2 * x + 0.04, 0.05, 0.03), (0, side * y, seat + height), material, color))
        parts.append(
            tube((x * 0.7, side * y, seat), (x * 0.7, side * y, seat + height), 0.015, material, color, sides=6)
        )
    return parts


def _cushion(x0: float, x1: float, width: float, z0: float, z1: float, color: Color, y: float = 0.0) -> Mesh:
    """A box with rounded upper edges."""
    low = slab(x0, x1, y - 0.5 * width, y + 0.5 * width, z0, z0 + 0.7 * (z1 - z0), Material.CLOTH, color)
    top = box(
        (x1 - x0, width, 0.3 * (z1 - z0)),
        (0.5 * (x0 + x1), y, z1 - 0.15 * (z1 - z0)),
        Material.CLOTH,
        color,
        top_scale=(0.88, 0.92),
    )
    return join([low, top])


def _curved_back(x: float, width: float, z0: float, z1: float, color: Color) -> Mesh:
    """A curved, upholstered back."""
    across = np.linspace(-0.5 * width, 0.5 * width, 9)
    bend = 0.35 * across**2 / width
    section = []
    for z, narrow, lean in ((z0, 0.85, 0.0), (z0 + 0.1, 1.0, 0.0), (z1 - 0.08, 0.9, -0.06), (z1, 0.7, -0.08)):
        front = np.column_stack([x + lean + bend + 0.03, narrow * across, np.full(9, z)])
        rear = np.column_stack([x + lean + bend - 0.03, narrow * across, np.full(9, z)])
        section.append(np.concatenate([rear[::-1], front]))
    return loft(np.array(section), Material.CLOTH, color)


def _upholstered(rng: np.random.Generator, width: float, seats: int) -> Mesh:
    fabric = pick(rng, FABRICS)
    depth, seat, back = uniform(rng, 0.78, 0.98), uniform(rng, 0.38, 0.46), uniform(rng, 0.72, 0.95)
    arm, arm_top = uniform(rng, 0.10, 0.24), uniform(rng, 0.52, 0.68)
    x, y, foot = 0.5 * depth, 0.5 * width, uniform(rng, 0.04, 0.14)
    wood = pick(rng, WOODS)
    parts = [
        tube(
            (sx * (x - 0.07), sy * (y - 0.07), 0), (sx * (x - 0.07), sy * (y - 0.07), foot), 0.025, Material.WOOD, wood
        )
        for sx, sy in _CORNERS
    ]
    parts.append(slab(-x, x - 0.02, -y, y, foot, seat - 0.12, Material.CLOTH, darker(fabric, 0.9)))
    thick = uniform(rng, 0.16, 0.24)
    parts.append(slab(-x, -x + thick, -y, y, foot, back - 0.05, Material.CLOTH, fabric))
    parts += [
        slab(-x, x, min(s * y, s * (y - arm)), max(s * y, s * (y - arm)), foot, arm_top, Material.CLOTH, fabric)
        for s in (-1, 1)
    ]
    inner = (width - 2 * arm) / seats
    for k in range(seats):
        middle = -y + arm + (k + 0.5) * inner
        parts.append(_cushion(-x + thick, x, inner - 0.015, seat - 0.12, seat + uniform(rng, 0, 0.03), fabric, middle))
        rest = _cushion(-0.5 * inner + 0.02, 0.5 * inner - 0.02, 0.16, 0, back - seat + 0.04, fabric)
        parts.append(rest.turned(0.5 * np.pi).shifted(-x + thick + 0.07, middle, seat))
    if seats >= 3 and rng.random() < 0.4:  # a chaise at one end
        end = (y - arm - inner) if rng.random() < 0.5 else (-y + arm)
        reach = uniform(rng, 0.45, 0.7)
        parts.append(slab(x, x + reach, end, end + inner, foot, seat, Material.CLOTH, fabric))
    return join(parts)


def _bed_level(
    x: float,
    y: float,
    z: float,
    base: float,
    mattress: float,
    wood: Color,
    blanket: Color,
    sheet: Color,
    rng: np.random.Generator,
) -> Mesh:
    top, cover = z + base + mattress, uniform(rng, -0.5, 0.1) * x
    parts = [
        slab(-x, x, -y, y, z + 0.6 * base if base > 0.25 else z, z + base, Material.WOOD, wood),
        slab(-x, x, -y + 0.02, y - 0.02, z + base, top, Material.CLOTH, sheet),
        slab(cover, x + 0.01, -y - 0.01, y + 0.01, top - uniform(rng, 0.1, 0.25), top + 0.03, Material.CLOTH, blanket),
    ]
    if base > 0.25:
        parts += [
            slab(
                sx * (x - 0.06) - 0.04,
                sx * (x - 0.06) + 0.04,
                sy * (y - 0.06) - 0.04,
                sy * (y - 0.06) + 0.04,
                z,
                z + 0.6 * base,
                Material.WOOD,
                wood,
            )
            for sx, sy in _CORNERS
        ]
    for at in (-0.5 * y, 0.5 * y) if y > 0.6 else (0.0,):
        size = (0.2, min(0.34, 0.8 * y), 0.08)
        parts.append(ball((-x + 0.28, at, top + 0.05), size, Material.CLOTH, sheet, rings=6, sides=12))
    return join(parts)

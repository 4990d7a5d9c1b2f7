"""Buildings: offices, apartment blocks, shops, houses, halls and the far skyline.

Building frame: x along the road, y away from it, the middle of the front at the origin; metres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, box, join, loft, make, quads, tube

WALLS: tuple[Color, ...] = (
    (198, 190, 176),
    (176, 172, 168),
    (212, 206, 196),
    (160, 110, 88),
    (142, 88, 70),
    (190, 168, 136),
    (128, 132, 138),
    (222, 214, 190),
    (150, 152, 148),
    (186, 176, 182),
)
ROOFS: tuple[Color, ...] = ((128, 62, 48), (84, 82, 84), (104, 74, 60), (62, 60, 64))
FOUNDATION = 1.0  # metres that walls extend below the ground, which is not level


def _pick(rng: np.random.Generator, colors: tuple[Color, ...], spread: float = 9.0) -> Color:
    base = np.array(colors[int(rng.integers(len(colors)))])
    red, green, blue = np.clip(base + rng.normal(0, spread) + rng.normal(0, 3, 3), 8, 247).astype(int)
    return int(red), int(green), int(blue)


def block(
    x: float, y: float, width: float, depth: float, low: float, high: float, wall: Material, color: Color
) -> Mesh:
    """Four walls of a facade material and a flat roof; (x, y) is the middle of the front edge."""
    corner = np.array(
        [[x - 0.5 * width, y], [x + 0.5 * width, y], [x + 0.5 * width, y + depth], [x - 0.5 * width, y + depth]]
    )
    bottom, top = np.column_stack([corner, np.full(4, low)]), np.column_stack([corner, np.full(4, high)])
    walls = np.stack([np.stack([bottom[k], bottom[(k + 1) % 4], top[(k + 1) % 4], top[k]]) for k in range(4)])
    return join([quads(walls, wall, color), quads(top[None], Material.ROOF, (110, 108, 104))])


def _parapet(x: float, y: float, width: float, depth: float, high: float, color: Color) -> Mesh:
    t = 0.25
    return join(
        [
            box((width, t, 0.9), (x, y + 0.5 * t, high + 0.3), Material.PLASTER, color),
            box((width, t, 0.9), (x, y + depth - 0.5 * t, high + 0.3), Material.PLASTER, color),
            box((t, depth, 0.9), (x - 0.5 * width + 0.5 * t, y + 0.5 * depth, high + 0.3), Material.PLASTER, color),
            box((t, depth, 0.9), (x + 0.5 * width - 0.5 * t, y + 0.5 * depth, high + 0.3), Material.PLASTER, color),
        ]
    )


def offices(rng: np.random.Generator, width: float, depth: float) -> Mesh:
    """An office block: a podium with columns or shops, one or two towers."""
    wall, trim = _pick(rng, WALLS), _pick(rng, WALLS)
    kind = Material(int(rng.choice([Material.FACADE_CURTAIN, Material.FACADE_RIBBON, Material.FACADE_PUNCHED])))
    height = rng.uniform(10.0, 46.0)
    ground = rng.uniform(3.8, 5.2)
    parts = []
    if rng.random() < 0.4:  # an arcade: the upper floors stand on columns
        back = rng.uniform(2.0, 4.0)
        parts.append(block(0, back, width, depth - back, -FOUNDATION, ground, Material.FACADE_SHOP, trim))
        parts.append(box((width, back, 0.4), (0, 0.5 * back, ground - 0.2), Material.CONCRETE, trim))
        radius = rng.uniform(0.25, 0.5)
        for x in np.arange(-0.5 * width + 1.0, 0.5 * width, rng.uniform(4.5, 8.0)):
            parts.append(
                tube((x, 0.8, -FOUNDATION), (x, 0.8, ground), radius, Material.CONCRETE, trim, sides=8, capped=False)
            )
        parts.append(block(0, 0, width, depth, ground, height, kind, wall))
    else:
        parts.append(block(0, 0, width, depth, -FOUNDATION, ground, Material.FACADE_SHOP, trim))
        inset = rng.uniform(0.0, 3.0)
        parts.append(block(0, inset, width - 2 * inset, depth - 2 * inset, ground, height, kind, wall))
        parts.append(
            box(
                (rng.uniform(3, 6), 2.4, 0.25),
                (rng.uniform(-0.3, 0.3) * width, -1.2, 3.2),
                Material.METAL,
                (90, 92, 96),
            )
        )
    for z in np.arange(ground + 3.6, height, 3.6 * float(rng.integers(1, 4))):
        parts.append(box((width + 0.3, 0.25, 0.3), (0, -0.1, z), Material.CONCRETE, trim))
    parts.append(_parapet(0, 0, width, depth, height, trim))
    return join(parts)


def apartments(rng: np.random.Generator, width: float, depth: float) -> Mesh:
    """An apartment block with balconies."""
    wall, trim = _pick(rng, WALLS), _pick(rng, WALLS)
    floors = int(rng.integers(3, 11))
    height = 3.1 * floors + 0.6
    parts = [block(0, 0, width, depth, -FOUNDATION, height, Material.FACADE_PUNCHED, wall)]
    reach, wide = rng.uniform(0.9, 1.6), rng.uniform(2.2, 3.6)
    columns = np.arange(-0.5 * width + 0.5 * wide + 0.8, 0.5 * width - 0.5 * wide, wide + rng.uniform(1.5, 3.0))
    for x in columns:
        for floor in range(1, floors):
            z = 3.1 * floor
            parts.append(box((wide, reach, 0.18), (x, -0.5 * reach, z), Material.CONCRETE, trim))
            parts.append(box((wide, 0.06, 0.95), (x, -reach, z + 0.55), Material.METAL, trim))
    parts.append(box((1.8, 0.3, 2.6), (rng.uniform(-0.35, 0.35) * width, -0.05, 1.3), Material.WOOD, (86, 66, 52)))
    parts.append(_parapet(0, 0, width, depth, height, wall))
    return join(parts)


def shops(rng: np.random.Generator, width: float, depth: float) -> Mesh:
    """A row of narrow shop houses of different heights and colours, with awnings and signs."""
    parts, x = [], -0.5 * width
    while x < 0.5 * width - 1.0:
        unit = min(rng.uniform(5.0, 9.0), 0.5 * width - x)
        if 0.5 * width - x - unit < 3.0:
            unit = 0.5 * width - x
        middle, step, wall = x + 0.5 * unit, rng.uniform(0.0, 0.8), _pick(rng, WALLS)
        height = rng.uniform(6.5, 13.0)
        kind = Material.FACADE_PUNCHED if rng.random() < 0.7 else Material.FACADE_HOUSE
        parts.append(
            block(middle, step, unit - 0.02, depth - 4.0, -FOUNDATION, 3.6, Material.FACADE_SHOP, _pick(rng, WALLS))
        )
        parts.append(block(middle, step, unit - 0.02, depth - 4.0, 3.6, height, kind, wall))
        if rng.random() < 0.6:
            cloth: Color = tuple(int(c) for c in rng.integers(40, 220, 3))  # type: ignore[assignment]
            awning = [
                [x + 0.4, step - 1.4, 2.5],
                [x + unit - 0.4, step - 1.4, 2.5],
                [x + unit - 0.4, step, 3.2],
                [x + 0.4, step, 3.2],
            ]
            parts.append(quads(np.array([awning]), Material.CLOTH, cloth))
        sign: Color = tuple(int(c) for c in rng.integers(30, 230, 3))  # type: ignore[assignment]
        parts.append(box((0.7 * unit, 0.15, 0.6), (middle, step - 0.06, 3.5), Material.PLASTIC, sign))
        parts.append(box((unit, 0.4, 0.3), (middle, step + 0.05, height + 0.1), Material.PLASTER, wall))
        x += unit
    return join(parts)


def house(rng: np.random.Generator, width: float, depth: float) -> Mesh:
    """A detached or terraced house with a pitched roof, a chimney and a porch."""
    wall, roof = _pick(rng, WALLS), _pick(rng, ROOFS)
    eaves, rise = rng.uniform(2.9, 6.2), rng.uniform(1.6, 3.4)
    parts = [block(0, 0, width, depth, -FOUNDATION, eaves, Material.FACADE_HOUSE, wall)]
    parts.append(gable(width, depth, eaves, rise, wall, roof, along_x=rng.random() < 0.65))
    parts.append(
        box(
            (0.7, 0.7, 1.6), (rng.uniform(-0.3, 0.3) * width, 0.45 * depth, eaves + rise), Material.BRICK, (132, 80, 64)
        )
    )
    door = rng.uniform(-0.3, 0.3) * width
    parts.append(box((1.1, 0.14, 2.1), (door, -0.03, 1.1), Material.WOOD, (84, 60, 46)))
    if rng.random() < 0.5:
        parts.append(box((2.4, 1.4, 0.18), (door, -0.7, 2.6), Material.WOOD, (150, 146, 138)))
        parts += [box((0.14, 0.14, 3.4), (door + dx, -1.3, 0.85), Material.WOOD, (190, 186, 178)) for dx in (-1.0, 1.0)]
    return join(parts)


def gable(width: float, depth: float, eaves: float, rise: float, wall: Color, roof: Color, *, along_x: bool) -> Mesh:
    """A pitched roof with its gable walls; the ridge runs along x or along y."""
    over = 0.4
    x0, x1, y0, y1 = -0.5 * width - over, 0.5 * width + over, -over, depth + over
    if along_x:
        mid = 0.5 * depth
        ridge = np.array([[x0, mid, eaves + rise], [x1, mid, eaves + rise]])
        slopes = [
            [[x0, y0, eaves], [x1, y0, eaves], ridge[1], ridge[0]],
            [[x1, y1, eaves], [x0, y1, eaves], ridge[0], ridge[1]],
        ]
        ends = [[[x, 0, eaves], [x, depth, eaves], [x, mid, eaves + rise - 0.15]] for x in (-0.5 * width, 0.5 * width)]
    else:
        ridge = np.array([[0, y0, eaves + rise], [0, y1, eaves + rise]])
        slopes = [
            [[x0, y1, eaves], [x0, y0, eaves], ridge[0], ridge[1]],
            [[x1, y0, eaves], [x1, y1, eaves], ridge[1], ridge[0]],
        ]
        ends = [[[-0.5 * width, y, eaves], [0.5 * width, y, eaves], [0, y, eaves + rise - 0.15]] for y in (0.0, depth)]
    return join(
        [
            quads(np.array(slopes), Material.ROOF, roof),
            make(np.array(ends).reshape(-1, 3), np.arange(6).reshape(2, 3), Material.PLASTER, wall),
        ]
    )


def hall(rng: np.random.Generator, width: float, depth: float) -> Mesh:
    """A warehouse with corrugated walls, gates and a shallow roof."""
    wall, height = _pick(rng, WALLS), rng.uniform(5.5, 10.0)
    parts = [block(0, 0, width, depth, -FOUNDATION, height, Material.METAL, wall)]
    for x in np.arange(-0.5 * width + 3.0, 0.5 * width - 2.0, rng.uniform(5.0, 8.0)):
        gate: Color = tuple(int(c) for c in rng.integers(60, 200, 3))  # type: ignore[assignment]
        parts.append(box((3.4, 0.2, 3.9), (x, 0.0, 1.95), Material.METAL, gate))
    for x in np.arange(-0.5 * width, 0.5 * width, 1.2):
        parts.append(box((0.12, 0.12, height), (x, -0.04, 0.5 * height), Material.METAL, wall))
    return join(parts)


def ring_building(rng: np.random.Generator, radius: float) -> Mesh:
    """A round tower on columns, set well back."""
    wall, height, ground = _pick(rng, WALLS), rng.uniform(12.0, 30.0), 5.0
    angle = np.arange(20) * (2 * np.pi / 20)
    center = np.array([0.0, radius + 1.0])

    def ring(r: float, z: float) -> NDArray:
        return np.stack([center[0] + r * np.cos(angle), center[1] + r * np.sin(angle), np.full(20, z)], 1)

    shaft = loft(np.stack([ring(0.6 * radius, -FOUNDATION), ring(0.6 * radius, ground)]), Material.CONCRETE, wall)
    upper = loft(
        np.stack([ring(radius, ground), ring(radius, height)]),
        Material.FACADE_RIBBON,
        wall,
        cap=(Material.ROOF, (110, 108, 104)),
    )
    columns = [
        tube(
            (*ring(0.9 * radius, 0)[k, :2], -FOUNDATION),
            (*ring(0.9 * radius, 0)[k, :2], ground),
            0.35,
            Material.CONCRETE,
            wall,
        )
        for k in range(0, 20, 3)
    ]
    return join([shaft, upper, *columns])


def skyline(rng: np.random.Generator, reach: float) -> Mesh:
    """Buildings and tree lines around the built area, `reach` metres from the origin; visible only in images."""
    parts = []
    for angle in np.arange(0.0, 2 * np.pi, 0.085):
        if rng.random() < 0.75:
            distance, width = reach * rng.uniform(1.0, 1.7), reach * rng.uniform(0.06, 0.14)
            turn = np.eye(4)
            yaw = angle - 0.5 * np.pi + rng.uniform(-0.4, 0.4)
            turn[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
            turn[:2, 3] = distance * np.cos(angle), distance * np.sin(angle)
            if rng.random() < 0.55:
                kind = (Material.FACADE_PUNCHED, Material.FACADE_RIBBON, Material.FACADE_CURTAIN)[int(rng.integers(3))]
                parts.append(
                    block(0, 0, width, 15.0, -5.0, rng.uniform(8.0, 60.0), kind, _pick(rng, WALLS)).moved(turn)
                )
            else:
                green: Color = (int(rng.integers(50, 80)), int(rng.integers(74, 100)), int(rng.integers(44, 60)))
                for x in np.arange(-0.5 * width, 0.5 * width, 5.0):
                    tall = rng.uniform(6.0, 14.0)
                    crown = box(
                        (6.5, 5.0, tall), (x, 0, 0.5 * tall - 1.0), Material.FOLIAGE, green, top_scale=(0.4, 0.4)
                    )
                    parts.append(crown.moved(turn))
    return join(parts)

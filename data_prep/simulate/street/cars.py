"""Cars: sedans, hatchbacks, wagons, off-roaders, vans and pickups, each a lofted body with glass, lights and wheels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, both_sides, box, join, loft, quads, tube

PAINTS: tuple[tuple[Color, float], ...] = (  # colour and relative frequency
    ((232, 232, 230), 0.24),
    ((28, 28, 31), 0.2),
    ((120, 122, 126), 0.16),
    ((178, 180, 183), 0.12),
    ((32, 52, 104), 0.09),
    ((150, 24, 26), 0.08),
    ((88, 66, 48), 0.03),
    ((40, 78, 56), 0.03),
    ((206, 164, 42), 0.03),
    ((70, 130, 170), 0.02),
)
TYRE: Color = (26, 26, 27)
DARK: Color = (22, 23, 25)
GLASS: Color = (46, 56, 64)


@dataclass(frozen=True)
class Shape:
    """A kind of body, in shares of the length (from the rear to the front) and in metres.

    Args:
        length, width, height: shortest/narrowest/lowest and longest/widest/highest.
        hood: height of the bonnet's rear end as a share of the height.
        profile: where the rear window begins, the roof begins, the roof ends and the windscreen ends; shares of length.
        tail: height at the rear end as a share of the height (1 for an upright tail).
    """

    length: tuple[float, float]
    width: tuple[float, float]
    height: tuple[float, float]
    hood: float
    profile: tuple[float, float, float, float]
    tail: float


SHAPES = {
    "sedan": Shape((4.3, 5.0), (1.74, 1.92), (1.40, 1.50), 0.66, (0.13, 0.30, 0.57, 0.74), 0.68),
    "hatchback": Shape((3.6, 4.3), (1.65, 1.82), (1.44, 1.56), 0.65, (0.02, 0.14, 0.58, 0.77), 0.66),
    "wagon": Shape((4.4, 4.9), (1.76, 1.9), (1.46, 1.56), 0.65, (0.01, 0.10, 0.58, 0.75), 0.70),
    "off_roader": Shape((4.2, 5.1), (1.8, 2.05), (1.62, 1.92), 0.66, (0.01, 0.09, 0.60, 0.74), 0.74),
    "minivan": Shape((4.5, 5.2), (1.8, 2.02), (1.70, 1.98), 0.60, (0.0, 0.05, 0.66, 0.86), 0.80),
    "coupe": Shape((4.1, 4.6), (1.78, 1.9), (1.25, 1.36), 0.68, (0.09, 0.36, 0.55, 0.71), 0.70),
    "van": Shape((4.8, 5.9), (1.9, 2.1), (1.95, 2.55), 0.55, (0.0, 0.02, 0.72, 0.88), 0.97),
}
SHARES = {"sedan": 0.29, "hatchback": 0.2, "wagon": 0.1, "off_roader": 0.22, "minivan": 0.1, "coupe": 0.04, "van": 0.05}


def car(rng: np.random.Generator, kind: str | None = None, paint: Color | None = None) -> Mesh:
    """A passenger car; its kind and colour are drawn unless given."""
    kind = kind or str(rng.choice(list(SHARES), p=np.array(list(SHARES.values()))))
    shape = SHAPES[kind]
    length, width, height = rng.uniform(*shape.length), rng.uniform(*shape.width), rng.uniform(*shape.height)
    paint = paint or draw_paint(rng)
    profile = np.array(shape.profile) + rng.uniform(-0.012, 0.012, 4)
    return car_body(rng, length, width, height, shape.hood, profile, shape.tail, paint)


def draw_paint(rng: np.random.Generator) -> Color:
    share = np.array([share for _, share in PAINTS])
    base = np.array(PAINTS[int(rng.choice(len(PAINTS), p=share / share.sum()))][0])
    red, green, blue = np.clip(base + rng.normal(0, 8) + rng.normal(0, 5, 3), 5, 250).astype(int)
    return int(red), int(green), int(blue)


def car_body(
    rng: np.random.Generator,
    length: float,
    width: float,
    height: float,
    hood: float,
    profile: NDArray,
    tail: float,
    paint: Color,
    windows_from: float = 0.0,
) -> Mesh:
    """A body over wheels.

    Args:
        length, width, height: metres, of the whole car without mirrors.
        hood, profile, tail: as in `Shape`.
        windows_from: share of the length; the sides have no windows behind it.
    """
    clearance, wheel = rng.uniform(0.16, 0.24), rng.uniform(0.30, 0.35) * min(height / 1.5, 1.15)
    rear_glass, roof_start, roof_end, screen_end = profile
    belt = min(0.62 * height, hood * height + 0.02)
    station = np.array(
        [
            0.0,
            0.02,
            max(rear_glass, 0.03),
            max(roof_start, 0.05),
            0.5 * (roof_start + roof_end),
            roof_end,
            screen_end,
            0.93,
            0.985,
            1.0,
        ]
    )
    deck = tail * height if tail < 0.9 else 0.93 * height
    top = np.array(
        [
            0.9 * min(deck, belt + 0.05),
            deck if rear_glass > 0.05 else belt + 0.05,
            deck if rear_glass > 0.05 else max(belt + 0.05, 0.8 * height),
            height,
            1.005 * height,
            0.985 * height,
            hood * height,
            0.92 * hood * height,
            0.85 * hood * height,
            0.5 * hood * height,
        ]
    )
    narrow = np.array([0.90, 0.95, 0.985, 1.0, 1.0, 1.0, 0.99, 0.95, 0.88, 0.82])
    sections, roof_share = [], (0.78 if height < 1.6 else 0.86)
    for x, z, share in zip(station, top, narrow, strict=True):
        half = 0.5 * width * share
        cabin = np.clip((z - belt) / max(height - belt, 1e-6), 0.0, 1.0)
        waist, low = min(belt, z), clearance + 0.05 * (x > 0.97)
        roof = half * (0.93 + (roof_share - 0.93) * cabin)
        left = [
            (half * 0.88, low),
            (half * 0.97, low + 0.16),
            (half, 0.55 * waist + 0.1),
            (half * 0.96, waist),
            (roof, z),
        ]
        ring = [(-y, z_) for y, z_ in left] + left[::-1]
        sections.append([((x - 0.5) * length, y, z_) for y, z_ in ring])
    body_glass = _body_patches(station, paint, roof_start, roof_end, max(windows_from, rear_glass - 0.02), tail)
    body = loft(np.array(sections), *body_glass)
    front, rear = 0.5 * length * rng.uniform(0.58, 0.64), -0.5 * length * rng.uniform(0.54, 0.62)
    parts = [
        body,
        _lights(length, width, hood * height, min(deck, belt)),
        _mirrors(width, belt, paint, screen_end, length),
    ]
    parts += [axle(x, width, wheel) for x in (front, rear)]
    mesh = join(parts)
    return mesh


def _body_patches(
    station: NDArray, paint: Color, roof_start: float, roof_end: float, windows_from: float, tail: float
) -> tuple[NDArray, NDArray]:
    """Material and colour of the patches between the sections of a body: paint, glass, dark underside."""
    spans, corners = len(station) - 1, 10
    material = np.full((spans, corners), Material.CAR_PAINT, np.uint8)
    color = np.tile(np.array(paint, np.uint8), (spans, corners, 1))
    glass_rows, screen_rows = [], []
    for span in range(spans):
        middle = 0.5 * (station[span] + station[span + 1])
        if windows_from <= middle <= station[6] and span >= 2:
            glass_rows.append(span)
        if (span == 2 and tail < 0.9) or span == 5:
            screen_rows.append(span)
    for span in glass_rows:
        material[span, [3, 5]] = Material.GLASS
        color[span, [3, 5]] = GLASS
    for span in screen_rows:
        material[span, 4] = Material.GLASS
        color[span, 4] = GLASS
    material[:, 9], color[:, 9] = Material.PLASTIC, DARK
    material[:, [0, 8]], color[:, [0, 8]] = Material.PLASTIC, (np.array(paint) * 0.45).astype(np.uint8)
    return material, color


def _lights(length: float, width: float, front: float, rear: float) -> Mesh:
    half, end = 0.5 * width, 0.5 * length
    lamps = [
        box((0.12, 0.34, 0.14), (0.97 * end, 0.62 * half, 0.78 * front), Material.LAMP, (226, 228, 224)),
        box((0.10, 0.28, 0.2), (-0.985 * end, 0.70 * half, 0.88 * rear), Material.RETRO, (150, 16, 18)),
    ]
    middle = [
        box((0.08, 0.8 * half, 0.16), (0.99 * end, 0.0, 0.52 * front), Material.PLASTIC, DARK),
        box((0.05, 0.5, 0.12), (1.0 * end, 0.0, 0.36 * front + 0.08), Material.RETRO, (228, 228, 220)),
        box((0.05, 0.5, 0.12), (-1.0 * end, 0.0, 0.55 * rear), Material.RETRO, (228, 228, 220)),
        box((0.10, 0.86 * width, 0.16), (-0.985 * end, 0.0, 0.32 * rear + 0.12), Material.PLASTIC, (44, 45, 47)),
    ]
    return join([both_sides(join(lamps)), *middle])


def _mirrors(width: float, belt: float, paint: Color, screen_end: float, length: float) -> Mesh:
    center = ((screen_end - 0.5) * length - 0.25, 0.5 * width + 0.06, belt + 0.06)
    return both_sides(box((0.12, 0.18, 0.13), center, Material.CAR_PAINT, paint))


def axle(x: float, width: float, radius: float, thickness: float = 0.22, sides: int = 12) -> Mesh:
    """Two wheels with tyre, rim and the dark arch behind them."""
    outer = 0.5 * width + 0.01
    tyre = tube((x, outer - thickness, radius), (x, outer, radius), radius, Material.RUBBER, TYRE, sides=sides)
    rim = tube(
        (x, outer - 0.02, radius), (x, outer + 0.012, radius), 0.6 * radius, Material.METAL, (150, 152, 155), sides=8
    )
    angle = np.linspace(0.0, np.pi, 7)
    arch = np.stack(
        [x + 1.16 * radius * np.cos(angle), np.full(7, outer - 0.005), radius + 1.16 * radius * np.sin(angle)], 1
    )
    fan = np.stack([np.broadcast_to(arch[0], (5, 3)), arch[1:-1], arch[2:], arch[2:]], 1)
    return both_sides(join([tyre, rim, quads(fan, Material.PLASTIC, DARK)]))

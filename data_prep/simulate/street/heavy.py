"""Trucks, trailers, buses and construction vehicles."""

from __future__ import annotations

import numpy as np

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, both_sides, box, extrude, join, offset, quads, tube
from data_prep.simulate.street.cars import DARK, GLASS, axle, car_body, draw_paint

TRUCK_PAINTS: tuple[Color, ...] = (
    (230, 230, 226),
    (188, 30, 32),
    (34, 70, 140),
    (212, 176, 46),
    (96, 100, 104),
    (38, 102, 62),
)
MACHINE_PAINTS: tuple[Color, ...] = ((226, 168, 26), (222, 120, 28), (206, 196, 60), (150, 156, 150))


def _pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    red, green, blue = np.clip(np.array(colors[int(rng.integers(len(colors)))]) + rng.normal(0, 7, 3), 5, 250).astype(
        int
    )
    return int(red), int(green), int(blue)


def truck(rng: np.random.Generator) -> Mesh:
    """A truck: box, flatbed, dump, tank or a pickup (nuScenes counts pickups as trucks)."""
    kind = rng.choice(["pickup", "box", "flatbed", "dump", "tank", "tractor"], p=[0.22, 0.36, 0.16, 0.1, 0.08, 0.08])
    if kind == "pickup":
        return _pickup(rng)
    width, cab_length = rng.uniform(2.1, 2.5), rng.uniform(1.7, 2.2)
    wheel, frame = rng.uniform(0.42, 0.52), rng.uniform(0.95, 1.15)
    bed = 3.2 if kind == "tractor" else rng.uniform(3.8, 7.4)
    length = cab_length + 0.25 + bed
    front = 0.5 * length
    rear = -0.5 * length
    parts = [cab(rng, front, cab_length, width, rng.uniform(2.5, 3.2), frame)]
    parts.append(box((bed + 0.6, 0.9, 0.28), (rear + 0.5 * bed, 0.0, frame - 0.2), Material.METAL, DARK))
    paint = _pick(rng, TRUCK_PAINTS)
    middle = rear + 0.5 * bed
    if kind == "box":
        tall = rng.uniform(2.0, 2.7)
        parts.append(box((bed, width + 0.05, tall), (middle, 0, frame + 0.5 * tall), Material.PLASTIC, paint))
        parts.append(box((0.04, width - 0.1, 0.18), (rear - 0.02, 0, frame + 0.1), Material.RETRO, (200, 30, 30)))
    elif kind == "flatbed":
        parts.append(_flatbed(rng, middle, bed, width, frame))
    elif kind == "dump":
        parts.append(
            box((bed * 0.9, width * 0.86, 1.3), (middle, 0, frame + 0.65), Material.METAL, paint, top_scale=(1.1, 1.16))
        )
    elif kind == "tank":
        radius = 0.48 * width
        parts.append(
            tube(
                (rear, 0, frame + radius),
                (rear + bed, 0, frame + radius),
                radius,
                Material.METAL,
                (196, 198, 200),
                sides=12,
            )
        )
    else:
        parts.append(tube((middle, 0, frame - 0.05), (middle, 0, frame + 0.1), 0.5, Material.METAL, DARK))
    axles = [front - 0.55 * cab_length, rear + 0.28 * bed]
    if bed > 5.5 or kind == "tractor":
        axles.append(rear + 0.28 * bed + 2.1 * wheel)
    parts += [axle(x, width, wheel, 0.3) for x in axles]
    return join(parts)


def _pickup(rng: np.random.Generator) -> Mesh:
    length, width, height = rng.uniform(5.1, 5.8), rng.uniform(1.85, 2.05), rng.uniform(1.75, 1.95)
    profile = np.array([0.38, 0.42, 0.6, 0.72])
    body = car_body(rng, length, width, height, 0.62, profile, 0.6, draw_paint(rng), windows_from=0.4)
    bed = box((0.34 * length, 0.78 * width, 0.3), (-0.31 * length, 0, 0.6 * height - 0.1), Material.PLASTIC, DARK)
    return join([body, bed])


def cab(rng: np.random.Generator, front: float, length: float, width: float, height: float, frame: float) -> Mesh:
    """A truck's cab with windscreen, side windows, grille and lamps; its front at x = `front`."""
    paint = _pick(rng, TRUCK_PAINTS)
    low, slant = frame - 0.45, rng.uniform(0.0, 0.45)
    waist = low + 0.5 * (height - low)
    outline = np.array(
        [[front - length, low], [front, low], [front, waist], [front - slant, height], [front - length, height]]
    )
    body = extrude(outline, -0.5 * width, 0.5 * width, Material.CAR_PAINT, paint, axis="y")
    half, top = 0.5 * width - 0.12, 0.88 * height
    at_top = front - slant * (top - waist) / (height - waist)
    gap = 0.015
    screen = [
        [front + gap, -half, waist + 0.05],
        [front + gap, half, waist + 0.05],
        [at_top + gap, half, top],
        [at_top + gap, -half, top],
    ]
    side_y = 0.5 * width + gap
    window = [
        [front - 0.75 * length, side_y, waist],
        [front - 0.15 * length, side_y, waist],
        [front - 0.25 * length, side_y, top],
        [front - 0.75 * length, side_y, top],
    ]
    return join(
        [
            body,
            quads(np.array([screen]), Material.GLASS, GLASS),
            both_sides(quads(np.array([window]), Material.GLASS, GLASS)),
            both_sides(box((0.06, 0.3, 0.16), (front + 0.02, half - 0.12, low + 0.3), Material.LAMP, (222, 224, 220))),
            box((0.05, 1.1, 0.5), (front + 0.01, 0, low + 0.45), Material.PLASTIC, DARK),
            both_sides(box((0.1, 0.22, 0.42), (front - 0.15, side_y + 0.16, waist + 0.35), Material.PLASTIC, DARK)),
        ]
    )


def _flatbed(rng: np.random.Generator, middle: float, bed: float, width: float, frame: float) -> Mesh:
    parts = [box((bed, width, 0.14), (middle, 0, frame + 0.05), Material.WOOD, (124, 100, 72))]
    for side in (-1, 1):
        parts.append(box((bed, 0.05, 0.42), (middle, side * 0.5 * width, frame + 0.3), Material.METAL, (120, 122, 124)))
    for _ in range(int(rng.integers(0, 5))):
        size = (rng.uniform(0.6, 1.6), rng.uniform(0.6, 0.8 * width), rng.uniform(0.4, 1.3))
        x = middle + rng.uniform(-0.3, 0.3) * bed
        parts.append(
            box(
                size, (x, 0.0, frame + 0.12 + 0.5 * size[2]), Material.WOOD, _pick(rng, ((150, 116, 80), (90, 96, 100)))
            )
        )
    return join(parts)


def trailer(rng: np.random.Generator) -> Mesh:
    """A trailer: a semi-trailer box, a container frame, a low loader or a small cargo trailer."""
    kind = rng.choice(["box", "container", "low_loader", "small"], p=[0.4, 0.25, 0.15, 0.2])
    if kind == "small":
        length, width = rng.uniform(2.4, 3.6), rng.uniform(1.5, 1.9)
        tall = rng.uniform(0.5, 1.5)
        return join(
            [
                box((length, width, tall), (0, 0, 0.6 + 0.5 * tall), Material.METAL, _pick(rng, TRUCK_PAINTS)),
                box((1.1, 0.12, 0.1), (0.5 * length + 0.5, 0, 0.5), Material.METAL, DARK),
                axle(-0.1 * length, width + 0.2, 0.32, 0.2),
            ]
        )
    length, width, frame, wheel = rng.uniform(9.5, 13.6), 2.5, rng.uniform(1.1, 1.25), 0.5
    parts = [box((length, 1.0, 0.3), (0, 0, frame - 0.15), Material.METAL, DARK)]
    if kind == "low_loader":
        parts.append(box((0.7 * length, width, 0.2), (-0.1 * length, 0, 0.75), Material.METAL, (130, 60, 40)))
        parts.append(box((0.24 * length, width, 0.3), (0.38 * length, 0, frame), Material.METAL, (130, 60, 40)))
    else:
        tall = rng.uniform(2.5, 2.9)
        paint = _pick(rng, TRUCK_PAINTS)
        parts.append(box((length, width, tall), (0, 0, frame + 0.5 * tall), Material.PLASTIC, paint))
        if kind == "container":  # corrugated walls
            for x in np.arange(-0.5 * length + 0.3, 0.5 * length, 0.6):
                parts.append(box((0.18, width + 0.08, tall - 0.2), (x, 0, frame + 0.5 * tall), Material.METAL, paint))
        parts.append(
            box((0.05, width - 0.1, 0.2), (-0.5 * length - 0.02, 0, frame + 0.1), Material.RETRO, (200, 30, 30))
        )
    parts += [axle(-0.5 * length + 1.2 + k * 1.3, width, wheel, 0.4) for k in range(int(rng.integers(2, 4)))]
    parts.append(
        both_sides(box((0.15, 0.15, frame - 0.3), (0.28 * length, 0.7, 0.5 * (frame - 0.3)), Material.METAL, DARK))
    )
    return join(parts)


BUS_PAINTS: tuple[Color, ...] = (
    (198, 36, 38),
    (226, 226, 222),
    (38, 116, 70),
    (226, 178, 40),
    (40, 88, 160),
    (120, 56, 120),
)


def bus(rng: np.random.Generator, *, bendy: bool) -> list[Mesh]:
    """The rigid sections of a bus, one or two if bendy, front first; each in the frame of its centre."""
    paint, width = _pick(rng, BUS_PAINTS), rng.uniform(2.45, 2.6)
    second = _pick(rng, BUS_PAINTS) if rng.random() < 0.5 else paint
    decks = 2 if not bendy and rng.random() < 0.2 else 1
    height = rng.uniform(4.1, 4.4) if decks == 2 else rng.uniform(2.9, 3.3)
    if bendy:
        return [
            _bus_section(rng, rng.uniform(8.8, 9.8), width, height, 1, paint, second, front=True),
            _bus_section(rng, rng.uniform(7.0, 8.0), width, height, 1, paint, second, front=False),
        ]
    return [_bus_section(rng, rng.uniform(9.5, 12.3), width, height, decks, paint, second, front=True)]


def _bus_section(
    rng: np.random.Generator,
    length: float,
    width: float,
    height: float,
    decks: int,
    paint: Color,
    second: Color,
    *,
    front: bool,
) -> Mesh:
    low, half, end = 0.32, 0.5 * width, 0.5 * length
    body = box((length, width, 1.0), (0, 0, low + 0.5), Material.CAR_PAINT, second)
    upper = box(
        (length, width, height - low - 1.0),
        (0, 0, 0.5 * (height + low + 1.0)),
        Material.CAR_PAINT,
        paint,
        top_scale=(0.985, 0.94),
    )
    parts = [body, upper]
    deck_height = (height - low) / decks
    for deck in range(decks):
        bottom = low + deck * deck_height + 1.05
        top = bottom + min(0.95, deck_height - 1.25)
        edge = np.arange(-end + 0.4, end - 0.9, 1.35)
        window = [
            [
                [x, half + 0.012, bottom],
                [x + 1.22, half + 0.012, bottom],
                [x + 1.22, half - 0.01, top],
                [x, half - 0.01, top],
            ]
            for x in edge
        ]
        parts.append(both_sides(quads(np.array(window), Material.GLASS, GLASS)))
        if front:
            screen = [
                [end + 0.015, -half + 0.15, bottom - 0.25],
                [end + 0.015, half - 0.15, bottom - 0.25],
                [end - 0.01, half - 0.2, top + 0.1],
                [end - 0.01, -half + 0.2, top + 0.1],
            ]
            parts.append(quads(np.array([screen]), Material.GLASS, GLASS))
    if front:
        parts.append(box((0.04, 1.5, 0.25), (end, 0, height - 0.3), Material.LAMP, (60, 48, 20)))
        parts.append(both_sides(box((0.06, 0.3, 0.18), (end, half - 0.3, 0.75), Material.LAMP, (224, 226, 222))))
        parts.append(both_sides(box((0.25, 0.12, 0.4), (end + 0.12, half + 0.1, 0.7 * height), Material.PLASTIC, DARK)))
        parts.append(axle(0.5 * length - 2.6, width, 0.48, 0.3))
    parts.append(both_sides(box((0.05, 0.22, 0.3), (-end, half - 0.25, 0.95), Material.RETRO, (150, 16, 18))))
    parts.append(axle(-0.5 * length + 2.8, width, 0.48, 0.3))
    unit = (rng.uniform(1.8, 2.8), 1.6, 0.28)
    parts.append(box(unit, (rng.uniform(-0.2, 0.2) * length, 0, height + 0.14), Material.PLASTIC, (206, 208, 206)))
    return join(parts)


def bellows(length: float, width: float, height: float) -> Mesh:
    """The folded joint between the sections of a bendy bus."""
    folds = [
        box((0.12, width - 0.12 * (k % 2), height - 0.6), (x, 0, 0.5 * (height + 0.5)), Material.RUBBER, (40, 40, 42))
        for k, x in enumerate(np.arange(-0.5 * length, 0.5 * length, 0.12))
    ]
    return join(folds)


def construction_vehicle(rng: np.random.Generator) -> Mesh:
    """An excavator, a wheel loader or a roller."""
    kind = rng.choice(["excavator", "loader", "roller"], p=[0.5, 0.35, 0.15])
    paint = _pick(rng, MACHINE_PAINTS)
    if kind == "excavator":
        return _excavator(rng, paint)
    if kind == "loader":
        return _loader(rng, paint)
    drum = tube((1.5, -0.85, 0.65), (1.5, 0.85, 0.65), 0.65, Material.METAL, (120, 118, 114), sides=14)
    return join(
        [
            drum,
            box((1.3, 1.7, 0.4), (0.9, 0, 1.0), Material.METAL, paint),
            box((1.9, 1.6, 0.9), (-0.9, 0, 1.15), Material.METAL, paint),
            _machine_cabin(-0.4, 1.5, 1.5, 1.3, paint),
            axle(-1.2, 1.75, 0.62, 0.5),
        ]
    )


def _machine_cabin(x: float, base: float, height: float, width: float, paint: Color) -> Mesh:
    frame = box((1.3, width, 0.1), (x, 0, base + height), Material.METAL, paint)
    glass = box((1.2, width - 0.08, height), (x, 0, base + 0.5 * height), Material.GLASS, GLASS, top_scale=(0.9, 0.92))
    post = both_sides(
        box((0.09, 0.09, height), (x + 0.58, 0.5 * width - 0.03, base + 0.5 * height), Material.METAL, DARK)
    )
    return join([frame, glass, post])


def _excavator(rng: np.random.Generator, paint: Color) -> Mesh:
    scale = rng.uniform(0.7, 1.15)
    outline = np.array(
        [[-1.9, 0.25], [-1.5, 0.0], [1.5, 0.0], [1.9, 0.25], [1.9, 0.6], [1.5, 0.85], [-1.5, 0.85], [-1.9, 0.6]]
    )
    track = extrude(outline, 0.75, 1.3, Material.RUBBER, (58, 56, 54), axis="y")
    body = box((2.9, 2.4, 1.1), (-0.5, 0, 1.6), Material.METAL, paint, top_scale=(0.94, 0.95))
    lift, fold = rng.uniform(0.5, 1.0), rng.uniform(-1.2, -0.5)
    shoulder = np.array([0.9, -0.2, 1.9])
    elbow = shoulder + 2.7 * np.array([np.cos(lift), 0, np.sin(lift)])
    wrist = elbow + 2.1 * np.array([np.cos(fold), 0, np.sin(fold)])
    arm = [
        tube(shoulder, elbow, (0.34, 0.24), Material.METAL, paint, sides=4),
        tube(elbow, wrist, (0.24, 0.15), Material.METAL, paint, sides=4),
        tube(offset(shoulder, 0.1, 0, -0.3), 0.5 * (shoulder + elbow), 0.09, Material.METAL, (150, 150, 150), sides=5),
        box((0.7, 0.95, 0.7), offset(wrist, 0.1, 0, -0.3), Material.METAL, (86, 80, 74), top_scale=(0.5, 1.0)),
    ]
    mesh = join(
        [
            both_sides(track),
            box((1.6, 1.5, 0.5), (0, 0, 0.85), Material.METAL, DARK),
            body,
            _machine_cabin(0.25, 1.6, 1.35, 1.05, paint).shifted(y=0.6),
            *arm,
        ]
    )
    return mesh.moved(np.diag([scale, scale, scale, 1.0]))


def _loader(rng: np.random.Generator, paint: Color) -> Mesh:
    raise_ = rng.uniform(0.3, 1.3)
    bucket = np.array([[2.6, raise_], [3.6, raise_], [3.2, raise_ + 0.25], [2.75, raise_ + 0.95]])
    return join(
        [
            box((2.6, 1.5, 1.1), (-1.4, 0, 1.55), Material.METAL, paint, top_scale=(0.9, 0.9)),
            box((1.5, 1.2, 0.8), (0.9, 0, 1.15), Material.METAL, paint),
            _machine_cabin(-0.1, 1.4, 1.7, 1.35, paint),
            extrude(bucket, -1.3, 1.3, Material.METAL, (110, 104, 96), axis="y"),
            both_sides(tube((0.8, 0.55, 1.7), (2.75, 0.55, raise_ + 0.35), 0.14, Material.METAL, paint, sides=5)),
            axle(1.2, 2.3, 0.72, 0.5),
            axle(-1.7, 2.3, 0.72, 0.5),
        ]
    )

"""Street furniture: lamps, traffic lights, signs, bollards, shelters, benches, fences."""

from __future__ import annotations

import numpy as np

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, box, extrude, join, tube

STEEL: Color = (132, 136, 140)


def street_lamp(rng: np.random.Generator) -> Mesh:
    """A mast whose arm reaches along x."""
    height, reach = rng.uniform(6.0, 9.5), rng.uniform(0.8, 2.4)
    color = _shade(rng, STEEL)
    return join(
        [
            tube((0, 0, -0.2), (0, 0, height), (0.1, 0.06), Material.METAL, color, sides=6, capped=False),
            tube((0, 0, 0), (0, 0, 1.1), 0.14, Material.METAL, color, sides=6),
            tube((0, 0, height), (reach, 0, height + 0.25), 0.045, Material.METAL, color, sides=5),
            box((0.7, 0.26, 0.14), (reach + 0.2, 0, height + 0.24), Material.LAMP, (214, 214, 206)),
        ]
    )


def traffic_light(rng: np.random.Generator, reach: float) -> Mesh:
    """A mast with a signal head, which faces -x, and, for `reach` > 0, a second head on an arm along y."""
    dark: Color = (34, 36, 36)
    lamps: tuple[Color, ...] = ((214, 40, 34), (200, 150, 30), (40, 150, 80))

    def head(y: float, z: float) -> Mesh:
        case = box((0.26, 0.34, 1.0), (0, y, z), Material.PLASTIC, dark)
        lit = int(rng.integers(3))
        lenses = [
            box((0.05, 0.2, 0.2), (-0.14, y, z + 0.3 - 0.3 * k), Material.LAMP, c if k == lit else (52, 42, 36))
            for k, c in enumerate(lamps)
        ]
        return join([case, *lenses])

    height = 5.6 if reach > 0 else 3.1
    parts = [tube((0, 0, -0.2), (0, 0, height), 0.09, Material.METAL, STEEL, sides=6, capped=False), head(0.0, 2.75)]
    if reach > 0:
        parts += [
            tube((0, 0, height), (0, reach, height + 0.1), 0.06, Material.METAL, STEEL, sides=5),
            head(reach, height - 0.2),
        ]
    return join(parts)


def sign(rng: np.random.Generator) -> Mesh:
    """A traffic or street sign that faces -x."""
    height, shape = rng.uniform(2.1, 2.9), rng.choice(["round", "square", "triangle", "board"])
    color: Color = ((36, 80, 160), (196, 36, 36), (220, 190, 50), (230, 230, 226), (36, 120, 70))[int(rng.integers(5))]
    post = tube((0, 0, -0.2), (0, 0, height), 0.035, Material.METAL, STEEL, sides=6, capped=False)
    if shape == "board":
        plate = box(
            (0.04, rng.uniform(0.7, 1.6), rng.uniform(0.5, 1.0)), (-0.05, 0, height - 0.3), Material.RETRO, color
        )
    elif shape == "square":
        plate = box((0.04, 0.6, 0.6), (-0.05, 0, height - 0.3), Material.RETRO, color)
    else:
        sides = 12 if shape == "round" else 3
        plate = tube((-0.07, 0, height - 0.3), (-0.03, 0, height - 0.3), 0.34, Material.RETRO, color, sides=sides)
    return join([post, plate])


def bollard(rng: np.random.Generator) -> Mesh:
    height = rng.uniform(0.75, 1.1)
    return tube(
        (0, 0, -0.1), (0, 0, height), rng.uniform(0.05, 0.1), Material.METAL, _shade(rng, (120, 120, 118)), sides=8
    )


def bus_shelter(rng: np.random.Generator) -> Mesh:
    """A shelter, 4 m along x, open towards -y."""
    frame = _shade(rng, (70, 74, 78))
    posts = [box((0.08, 0.08, 2.5), (x, y, 1.25), Material.METAL, frame) for x in (-2.0, 2.0) for y in (0.0, 1.3)]
    return join(
        [
            *posts,
            box((4.3, 1.7, 0.12), (0, 0.65, 2.55), Material.METAL, frame),
            box((3.9, 0.03, 1.9), (0, 1.3, 1.25), Material.GLASS, (90, 104, 110)),
            box((0.12, 1.2, 1.8), (2.0, 0.65, 1.2), Material.PLASTIC, tuple(int(c) for c in rng.integers(40, 220, 3))),  # type: ignore[arg-type]
            box((2.6, 0.35, 0.06), (-0.3, 1.0, 0.5), Material.METAL, STEEL),
        ]
    )


def bench(rng: np.random.Generator) -> Mesh:
    wood = _shade(rng, (130, 96, 62))
    legs = [box((0.08, 0.45, 0.44), (x, 0, 0.22), Material.METAL, (50, 52, 54)) for x in (-0.7, 0.7)]
    return join(
        [
            *legs,
            box((1.8, 0.45, 0.05), (0, 0, 0.46), Material.WOOD, wood),
            box((1.8, 0.05, 0.4), (0, 0.22, 0.72), Material.WOOD, wood),
        ]
    )


def fence(rng: np.random.Generator, length: float) -> Mesh:
    """A fence or a low wall along x, centred."""
    if rng.random() < 0.4:
        height = rng.uniform(0.6, 1.8)
        return box(
            (length, 0.22, height + 0.4), (0, 0, 0.5 * height - 0.2), Material.BRICK, _shade(rng, (156, 120, 100))
        )
    height, color = rng.uniform(1.0, 2.0), _shade(rng, (96, 100, 104))
    parts = [
        tube((-0.5 * length, 0, z), (0.5 * length, 0, z), 0.03, Material.METAL, color, sides=4) for z in (0.25, height)
    ]
    for x in np.arange(-0.5 * length, 0.5 * length + 0.01, 0.35):
        parts.append(box((0.03, 0.03, height + 0.1), (x, 0, 0.5 * height), Material.METAL, color))
    return join(parts)


def cabinet(rng: np.random.Generator) -> Mesh:
    """An electric cabinet or a letter box."""
    size = (rng.uniform(0.4, 0.6), rng.uniform(0.6, 1.4), rng.uniform(1.0, 1.6))
    return box(
        size,
        (0, 0, 0.5 * size[2]),
        Material.METAL,
        _shade(rng, ((150, 156, 150), (70, 96, 80), (170, 40, 38))[int(rng.integers(3))]),
    )


def hydrant(rng: np.random.Generator) -> Mesh:
    color = _shade(rng, (190, 44, 36))
    return join(
        [
            tube((0, 0, -0.1), (0, 0, 0.62), 0.1, Material.METAL, color),
            tube((0, -0.16, 0.45), (0, 0.16, 0.45), 0.05, Material.METAL, color),
        ]
    )


def guard_rail(length: float) -> Mesh:
    """A steel guard rail along x, centred."""
    profile = np.array([[-0.04, 0.45], [0.04, 0.5], [0.04, 0.72], [-0.04, 0.77]])
    rail = extrude(profile, -0.5 * length, 0.5 * length, Material.METAL, (150, 152, 152), axis="y").turned(0.5 * np.pi)
    posts = [
        box((0.1, 0.12, 0.8), (x, 0, 0.35), Material.METAL, (120, 122, 122))
        for x in np.arange(-0.5 * length + 0.3, 0.5 * length, 2.0)
    ]
    return join([rail, *posts])


def _shade(rng: np.random.Generator, color: Color) -> Color:
    red, green, blue = np.clip(np.array(color) + rng.normal(0, 14) + rng.normal(0, 4, 3), 8, 247).astype(int)
    return int(red), int(green), int(blue)

"""Motorcycles and bicycles, with and without riders."""

from __future__ import annotations

import numpy as np

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, both_sides, box, join, loft, offset, tube
from data_prep.simulate.street.cars import DARK, TYRE, draw_paint
from data_prep.simulate.street.people import Clothes, ball_head, draw_clothes, limb


def _wheel(x: float, radius: float, thickness: float, sides: int = 14) -> Mesh:
    """A tyre as a flat ring, with two crossed spokes."""
    angle = np.arange(sides + 1) * (2 * np.pi / sides)
    section = []
    for a in angle:
        direction = np.array([np.cos(a), 0.0, np.sin(a)])
        middle = np.array([x, 0.0, radius])
        half = 0.5 * thickness
        section.append(
            [
                middle + (radius - thickness) * direction + [0, -half, 0],
                middle + radius * direction + [0, -half, 0],
                middle + radius * direction + [0, half, 0],
                middle + (radius - thickness) * direction + [0, half, 0],
            ]
        )
    ring = loft(np.array(section), Material.RUBBER, TYRE, capped=False)
    spokes = [
        tube(
            (x - radius * np.cos(a), 0, radius - radius * np.sin(a)),
            (x + radius * np.cos(a), 0, radius + radius * np.sin(a)),
            0.012,
            Material.METAL,
            (140, 142, 145),
            sides=3,
            capped=False,
        )
        for a in (0.4, 1.45, 2.5)
    ]
    return join([ring, *spokes])


def bicycle(rng: np.random.Generator, *, rider: bool) -> Mesh:
    """A bicycle, about 1.7 m long."""
    radius, base = rng.uniform(0.31, 0.36), rng.uniform(0.98, 1.1)
    paint, tube_radius = draw_paint(rng), 0.022
    rear, front = np.array([-0.5 * base, 0, radius]), np.array([0.5 * base, 0, radius])
    crank = np.array([-0.06, 0, 0.28])
    seat = np.array([-0.22, 0, rng.uniform(0.86, 0.98)])
    head = np.array([0.5 * base - 0.16, 0, seat[2] - 0.05])
    bar = offset(head, -0.02, 0, rng.uniform(0.08, 0.2))
    frame = [
        (rear, crank),
        (crank, head - [0, 0, 0.1]),
        (crank, seat),
        (rear, seat - [0, 0, 0.15]),
        (seat - [0, 0, 0.12], head),
        (front, bar),
    ]
    parts = [tube(a, b, tube_radius, Material.METAL, paint, sides=4, capped=False) for a, b in frame]
    parts += [_wheel(rear[0], radius, 0.045), _wheel(front[0], radius, 0.045)]
    parts.append(tube(offset(bar, 0, -0.28, 0), offset(bar, 0, 0.28, 0), 0.018, Material.METAL, DARK, sides=4))
    parts.append(box((0.26, 0.14, 0.06), offset(seat, -0.02, 0, 0.03), Material.PLASTIC, DARK))
    if rng.random() < 0.3:
        parts.append(box((0.3, 0.32, 0.24), offset(bar, 0.14, 0, -0.06), Material.METAL, (90, 92, 94)))
    if rider:
        parts.append(
            _rider(rng, offset(seat, 0, 0, 0.05), bar, crank, lean=rng.uniform(0.2, 0.55), helmet=rng.random() < 0.6)
        )
    return join(parts)


def motorcycle(rng: np.random.Generator, *, rider: bool) -> Mesh:
    """A motorcycle or a scooter, about 2 m long."""
    scooter = rng.random() < 0.45
    radius, base = (rng.uniform(0.22, 0.27), 1.25) if scooter else (rng.uniform(0.29, 0.34), rng.uniform(1.35, 1.5))
    paint = draw_paint(rng)
    rear, front = -0.5 * base, 0.5 * base
    seat = np.array([-0.25, 0, rng.uniform(0.74, 0.84)])
    bar = np.array([front - 0.28, 0, rng.uniform(0.98, 1.1)])
    parts = [_wheel(rear, radius, 0.13), _wheel(front, radius, 0.12)]
    parts += both_sides_of_fork(front, radius, bar)
    parts.append(tube(offset(bar, 0, -0.36, 0), offset(bar, 0, 0.36, 0), 0.022, Material.METAL, DARK, sides=5))
    parts.append(box((0.72, 0.28, 0.12), offset(seat, -0.05, 0, 0.02), Material.PLASTIC, DARK, top_scale=(0.9, 0.8)))
    if scooter:
        parts.append(box((0.75, 0.36, 0.42), (-0.38, 0, 0.52), Material.PLASTIC, paint, top_scale=(0.9, 0.7)))
        parts.append(box((0.5, 0.34, 0.1), (0.12, 0, 0.3), Material.PLASTIC, paint))
        parts.append(box((0.12, 0.4, 0.6), (front - 0.25, 0, 0.68), Material.PLASTIC, paint, top_scale=(1.0, 0.7)))
    else:
        parts.append(box((0.5, 0.34, 0.36), (0.02, 0, 0.45), Material.METAL, (96, 98, 100)))
        parts.append(box((0.55, 0.3, 0.24), (0.16, 0, 0.84), Material.CAR_PAINT, paint, top_scale=(0.75, 0.75)))
        parts.append(
            tube((-0.1, -0.2, 0.35), (rear - 0.2, -0.24, 0.45), 0.055, Material.METAL, (170, 170, 172), sides=6)
        )
    parts.append(box((0.1, 0.2, 0.16), (front - 0.1, 0, 0.86), Material.LAMP, (222, 224, 220)))
    parts.append(box((0.06, 0.18, 0.1), (rear - 0.18, 0, 0.66), Material.RETRO, (150, 16, 18)))
    if rng.random() < 0.35:
        parts.append(box((0.4, 0.42, 0.36), (rear - 0.02, 0, 1.0), Material.PLASTIC, draw_paint(rng)))
    if rider:
        parts.append(
            _rider(
                rng,
                offset(seat, -0.02, 0, 0.08),
                bar,
                np.array([0.0, 0, 0.32]),
                lean=rng.uniform(0.1, 0.35),
                helmet=True,
            )
        )
    return join(parts)


def both_sides_of_fork(front: float, radius: float, bar: np.ndarray) -> list[Mesh]:
    leg = tube((front, 0.09, radius), (bar[0], 0.09, bar[2]), 0.03, Material.METAL, (150, 152, 155), sides=5)
    fender = box((0.5, 0.15, 0.04), (front, 0, 2 * radius + 0.05), Material.PLASTIC, DARK)
    return [both_sides(leg), fender]


def _rider(
    rng: np.random.Generator, hip: np.ndarray, bar: np.ndarray, foot: np.ndarray, *, lean: float, helmet: bool
) -> Mesh:
    """A person who sits at `hip`, holds the bar and has their feet at `foot`."""
    clothes: Clothes = draw_clothes(rng)
    chest = hip + 0.5 * np.array([np.sin(lean), 0, np.cos(lean)])
    parts = [
        limb(offset(hip, 0, 0, 0.02), chest, (0.15, 0.18), clothes.top, flat=0.75),
        ball_head(offset(chest, 0.06, 0, 0.24), clothes),
    ]
    if helmet:
        parts.append(ball_head(offset(chest, 0.05, 0, 0.27), clothes, helmet=draw_paint(rng)))
    for side in (-1, 1):
        shoulder = offset(chest, 0, 0.19 * side, -0.02)
        hand = offset(bar, 0, 0.24 * side, 0.02)
        elbow = 0.5 * (shoulder + hand) + [-0.05, 0.06 * side, -0.08]
        parts += [limb(shoulder, elbow, 0.055, clothes.top), limb(elbow, hand, 0.045, clothes.top)]
        pedal = offset(foot, 0.1 * side, 0.12 * side, 0.06 * side)
        joint = offset(hip, 0, 0.1 * side, 0)
        knee = 0.5 * (joint + pedal) + [0.26, 0.03 * side, 0.1]
        parts += [limb(joint, knee, (0.09, 0.065), clothes.legs), limb(knee, pedal, (0.06, 0.045), clothes.legs)]
        parts.append(box((0.26, 0.1, 0.08), offset(pedal, 0.06, 0, -0.02), Material.RUBBER, DARK))
    return join(parts)


BIKE_FRAME: Color = (150, 152, 155)


def bicycle_rack(rng: np.random.Generator, hoops: int) -> Mesh:
    """A row of steel hoops for bicycles, one every 0.9 m along y."""
    parts = []
    for k in range(hoops):
        y = (k - 0.5 * (hoops - 1)) * 0.9
        for a, b in (((-0.4, 0.0), (-0.4, 0.8)), ((-0.4, 0.8), (0.4, 0.8)), ((0.4, 0.8), (0.4, 0.0))):
            parts.append(tube((a[0], y, a[1]), (b[0], y, b[1]), 0.03, Material.METAL, BIKE_FRAME, sides=5))
    return join(parts)

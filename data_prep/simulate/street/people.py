"""Pedestrians: torso, head and jointed limbs that walk; adults, children, workers and police officers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, ball, box, join, loft, offset, tube

STRIDE = 1.4  # metres walked in one full cycle of both legs
PHASES = 6  # meshes in one cycle
SKINS: tuple[Color, ...] = ((224, 182, 152), (198, 150, 116), (150, 104, 76), (96, 66, 50))
HAIR: tuple[Color, ...] = ((28, 22, 20), (66, 46, 32), (150, 120, 80), (150, 148, 146))
VEST: Color = (226, 214, 40)


@dataclass(frozen=True)
class Clothes:
    """Colours of a person."""

    top: Color
    legs: Color
    skin: Color
    hair: Color


def draw_clothes(rng: np.random.Generator) -> Clothes:
    def color(low: int, high: int) -> Color:
        red, green, blue = rng.integers(low, high, 3)
        gray = int(rng.integers(low, high))
        mix = rng.uniform(0.2, 0.9)
        return tuple(int(mix * gray + (1 - mix) * c) for c in (red, green, blue))  # type: ignore[return-value]

    skin = SKINS[int(rng.integers(len(SKINS)))]
    return Clothes(color(20, 240), color(15, 150), skin, HAIR[int(rng.integers(len(HAIR)))])


def limb(start: NDArray, end: NDArray, radius: float | tuple[float, float], color: Color, *, flat: float = 1.0) -> Mesh:
    """A clothed limb; `flat` < 1 squeezes it along x."""
    mesh = tube(start, end, radius, Material.CLOTH, color, sides=6)
    if flat == 1.0:
        return mesh
    center = 0.5 * (np.asarray(start) + np.asarray(end))
    squeeze = np.eye(4)
    squeeze[0, 0], squeeze[0, 3] = flat, center[0] * (1 - flat)
    return mesh.moved(squeeze)


def ball_head(center: NDArray, clothes: Clothes, *, helmet: Color | None = None) -> Mesh:
    """A head, or a helmet over one."""
    if helmet is not None:
        return ball(center, (0.135, 0.125, 0.13), Material.PLASTIC, helmet, rings=4, sides=7)
    face = ball(center, (0.1, 0.08, 0.125), Material.SKIN, clothes.skin, rings=4, sides=6)
    hair = ball(offset(center, -0.02, 0, 0.04), (0.105, 0.09, 0.105), Material.CLOTH, clothes.hair, rings=3, sides=6)
    return join([face, hair])


@dataclass(frozen=True)
class Figure:
    """A person's build and outfit.

    Args:
        height: metres.
        girth: thickness of torso and limbs, 1 for average.
        outfit: "plain", "skirt", "coat", "worker" or "police".
        load: "none", "backpack", "bag" or "umbrella".
    """

    height: float
    girth: float
    clothes: Clothes
    outfit: str
    load: str


def draw_figure(rng: np.random.Generator, category: str) -> Figure:
    """A person of a nuScenes category `human.pedestrian.*`."""
    height = rng.uniform(1.0, 1.45) if category.endswith("child") else rng.normal(1.7, 0.085)
    outfit = str(rng.choice(["plain", "skirt", "coat"], p=[0.66, 0.17, 0.17]))
    if category.endswith("construction_worker"):
        outfit = "worker"
    elif category.endswith("police_officer"):
        outfit = "police"
    load = str(rng.choice(["none", "backpack", "bag", "umbrella"], p=[0.55, 0.22, 0.18, 0.05]))
    return Figure(float(np.clip(height, 0.95, 1.98)), rng.uniform(0.85, 1.25), draw_clothes(rng), outfit, load)


def person(figure: Figure, phase: float, *, walking: bool) -> Mesh:
    """The person at `phase` of the cycle (0..1); standing still if not `walking`."""
    h, g = figure.height, figure.girth
    clothes = figure.clothes
    top: Color = {"worker": (214, 120, 32), "police": (26, 34, 60)}.get(figure.outfit, clothes.top)
    legs: Color = (32, 40, 66) if figure.outfit in ("worker", "police") else clothes.legs
    swing = 0.5 * np.sin(2 * np.pi * phase) if walking else 0.04
    hip, neck = 0.52 * h, 0.84 * h
    parts = [
        _torso(h, g, hip, neck, top),
        ball_head(np.array([0.02, 0, 0.93 * h]), clothes),
        limb(np.array([0, 0, neck - 0.02]), np.array([0.01, 0, 0.89 * h]), 0.05, clothes.skin),
    ]
    for side in (-1, 1):
        parts += _leg(h, g, hip, side, side * swing, legs, bent=walking)
        parts += _arm(h, g, neck, side, -side * swing * 0.9, top, clothes.skin)
    if figure.outfit in ("skirt", "coat"):
        length = 0.3 if figure.outfit == "skirt" else 0.36
        color = clothes.legs if figure.outfit == "skirt" else top
        parts.append(
            tube((0, 0, hip + 0.06 * h), (0, 0, hip - length * h), (0.14 * g, 0.2 * g), Material.CLOTH, color, sides=7)
        )
    if figure.outfit == "worker":
        parts.append(_torso(h, 1.08 * g, hip + 0.05 * h, neck - 0.01, VEST, material=Material.CLOTH))
        band = tube(
            (0, 0, 0.66 * h), (0, 0, 0.69 * h), 0.205 * g, Material.RETRO, (220, 220, 214), sides=8, capped=False
        )
        parts += [band, ball_head(np.array([0.01, 0, 0.955 * h]), clothes, helmet=(236, 206, 44))]
    if figure.outfit == "police":
        parts.append(
            ball(np.array([0.02, 0, 0.985 * h]), (0.13, 0.115, 0.05), Material.CLOTH, (18, 22, 40), rings=3, sides=7)
        )
    if figure.load == "backpack":
        parts.append(
            box((0.18, 0.3, 0.42), (-0.2 * g, 0, 0.7 * h), Material.CLOTH, clothes.legs, top_scale=(0.8, 0.85))
        )
    elif figure.load == "bag":
        parts.append(box((0.34, 0.12, 0.28), (0.02, 0.32 * g, 0.36 * h), Material.CLOTH, clothes.hair))
    elif figure.load == "umbrella":
        parts.append(tube((0.2, 0.22, 0.7 * h), (0.12, 0.1, h + 0.3), 0.012, Material.METAL, (60, 60, 60), sides=4))
        parts.append(
            tube((0.12, 0.1, h + 0.12), (0.12, 0.1, h + 0.36), (0.52, 0.04), Material.CLOTH, clothes.top, sides=8)
        )
    return join(parts)


def _torso(h: float, g: float, low: float, high: float, color: Color, material: Material = Material.CLOTH) -> Mesh:
    """Hips, waist, chest and shoulders as one skin."""
    rows = (
        (low - 0.03 * h, 0.11, 0.155),
        (low + 0.3 * (high - low), 0.105, 0.14),
        (low + 0.75 * (high - low), 0.125, 0.19),
        (high - 0.01 * h, 0.07, 0.17),
        (high + 0.01 * h, 0.05, 0.07),
    )
    angle = np.arange(8) * (2 * np.pi / 8)
    section = [np.stack([g * a * np.cos(angle), g * b * np.sin(angle), np.full(8, z)], 1) for z, a, b in rows]
    return loft(np.array(section), material, color)


def _leg(h: float, g: float, hip: float, side: int, angle: float, color: Color, *, bent: bool) -> list[Mesh]:
    joint = np.array([0.0, 0.085 * g * side, hip])
    bend = 0.75 * max(-angle, 0.0) + 0.1 if bent else 0.02
    knee = joint + 0.27 * h * np.array([np.sin(angle), 0, -np.cos(angle)])
    ankle = knee + 0.22 * h * np.array([np.sin(angle - bend), 0, -np.cos(angle - bend)])
    ankle[2] = max(ankle[2], 0.05)
    foot = box(
        (0.24, 0.09, 0.08), (ankle[0] + 0.06, ankle[1], max(ankle[2] - 0.03, 0.04)), Material.RUBBER, (36, 34, 34)
    )
    return [limb(joint, knee, (0.085 * g, 0.06 * g), color), limb(knee, ankle, (0.06 * g, 0.045 * g), color), foot]


def _arm(h: float, g: float, neck: float, side: int, angle: float, sleeve: Color, skin: Color) -> list[Mesh]:
    shoulder = np.array([0.0, 0.2 * g * side, neck - 0.03 * h])
    elbow = shoulder + 0.18 * h * np.array([np.sin(angle), 0.1 * side, -np.cos(angle)])
    hand = elbow + 0.16 * h * np.array([np.sin(angle + 0.35), 0.02 * side, -np.cos(angle + 0.35)])
    hand_ball = ball(hand, (0.045, 0.04, 0.06), Material.SKIN, skin, rings=3, sides=5)
    return [limb(shoulder, elbow, 0.05 * g, sleeve), limb(elbow, hand, (0.045 * g, 0.035 * g), sleeve), hand_ball]

"""Pieces of a room, and the palettes of their colours.

Object frame: x to the front, y to the left, z up, the origin on the floor under the centre; pieces at a wall have their
back at the smallest x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, box


@dataclass(frozen=True)
class Shelf:
    """A level rectangle for small objects: x0 < x1, y0 < y1 and the height z, metres, object frame."""

    x0: float
    x1: float
    y0: float
    y1: float
    z: float


@dataclass(frozen=True)
class Piece:
    """One annotated thing.

    Args:
        category: its raw name, a key of `categories.NYU40_OF_CATEGORY`.
        mesh: in the object frame.
        shelves: where clutter may be placed.
    """

    category: str
    mesh: Mesh
    shelves: tuple[Shelf, ...] = ()

    def moved(self, room_from_object: NDArray) -> Piece:
        """The piece in the room's frame; its shelves stay in the object frame."""
        return replace(self, mesh=self.mesh.moved(room_from_object))

    def size(self) -> tuple[float, float, float]:
        low, high = self.mesh.bounds()
        length, width, height = (high - low).tolist()
        return length, width, height


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def pick(rng: np.random.Generator, choices: Sequence[Color]) -> Color:
    """One of the colours, slightly lighter or darker."""
    color = np.array(choices[rng.integers(len(choices))], float) * rng.uniform(0.85, 1.15)
    red, green, blue = np.clip(color + rng.normal(0, 5, 3), 8, 250).astype(int).tolist()
    return red, green, blue


def darker(color: Color, factor: float) -> Color:
    red, green, blue = (min(250, max(4, int(value * factor))) for value in color)
    return red, green, blue


WOODS: tuple[Color, ...] = (
    (150, 105, 62),
    (105, 68, 40),
    (190, 150, 100),
    (70, 45, 32),
    (214, 190, 150),
    (222, 216, 205),
)
FABRICS: tuple[Color, ...] = (
    *((60, 70, 95), (120, 40, 45), (95, 95, 92), (170, 155, 130), (45, 45, 48), (70, 100, 80), (185, 120, 60)),
    *((205, 200, 190), (110, 85, 120)),
)
PAINTS: tuple[Color, ...] = (
    *((225, 222, 212), (205, 210, 200), (215, 200, 175), (175, 195, 205), (222, 205, 190), (190, 205, 170)),
    *((198, 180, 190), (150, 165, 150), (235, 235, 235)),
)
METALS: tuple[Color, ...] = ((150, 150, 155), (60, 60, 62), (190, 190, 192), (35, 35, 36))
CERAMICS: tuple[Color, ...] = ((238, 238, 234), (230, 226, 215), (222, 230, 232))
VIVID: tuple[Color, ...] = (
    *((190, 45, 40), (40, 90, 160), (230, 180, 50), (50, 130, 75), (120, 60, 130), (225, 225, 220), (40, 40, 45)),
    *((210, 120, 50), (90, 150, 170)),
)


def slab(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, material: Material, color: Color) -> Mesh:
    """A box from its extents, metres."""
    size = (x1 - x0, y1 - y0, z1 - z0)
    return box(size, (0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.5 * (z0 + z1)), material, color)

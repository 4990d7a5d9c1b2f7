"""Surface materials: how they reflect a laser pulse and how they look.

Reflectivities are at the 905 nm of an HDL-32E; they are typical values, varied per object so that no
class can be recognised by its brightness alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Material(IntEnum):
    ASPHALT = 0
    CONCRETE = 1
    PAVING = 2
    GRASS = 3
    SOIL = 4
    FOLIAGE = 5
    BARK = 6
    BRICK = 7
    PLASTER = 8
    ROOF = 9
    METAL = 10
    CAR_PAINT = 11
    GLASS = 12
    RUBBER = 13
    CLOTH = 14
    SKIN = 15
    PLASTIC = 16
    RETRO = 17
    LAMP = 18
    WOOD = 19
    FACADE_PUNCHED = 20  # single windows in a wall
    FACADE_RIBBON = 21  # bands of windows
    FACADE_CURTAIN = 22  # glass from floor to ceiling
    FACADE_SHOP = 23  # shop windows
    FACADE_HOUSE = 24  # small windows, far apart


@dataclass(frozen=True)
class Optics:
    """Optical properties of a material.

    Args:
        reflectivity: diffuse reflectivity at 905 nm of a black surface of this material.
        reflectivity_per_luminance: added for a white surface: dark surfaces reflect the laser weakly too.
        roughness: standard deviation of the surface's depth within the beam's footprint, metres.
        lost: share of pulses transmitted or mirrored away at normal incidence.
        gloss: share of sky light mirrored at normal incidence, for the images.
    """

    reflectivity: float
    reflectivity_per_luminance: float
    roughness: float
    lost: float
    gloss: float


OPTICS = {
    Material.ASPHALT: Optics(0.05, 0.12, 0.006, 0.0, 0.0),
    Material.CONCRETE: Optics(0.09, 0.18, 0.004, 0.0, 0.0),
    Material.PAVING: Optics(0.08, 0.18, 0.005, 0.0, 0.0),
    Material.GRASS: Optics(0.10, 0.25, 0.03, 0.02, 0.0),
    Material.SOIL: Optics(0.07, 0.2, 0.02, 0.0, 0.0),
    Material.FOLIAGE: Optics(0.09, 0.3, 0.03, 0.05, 0.0),
    Material.BARK: Optics(0.08, 0.2, 0.01, 0.0, 0.0),
    Material.BRICK: Optics(0.08, 0.2, 0.005, 0.0, 0.0),
    Material.PLASTER: Optics(0.06, 0.25, 0.003, 0.0, 0.0),
    Material.ROOF: Optics(0.08, 0.15, 0.01, 0.0, 0.0),
    Material.METAL: Optics(0.05, 0.25, 0.002, 0.05, 0.12),
    Material.CAR_PAINT: Optics(0.02, 0.22, 0.002, 0.08, 0.16),
    Material.GLASS: Optics(0.03, 0.03, 0.002, 0.75, 0.35),
    Material.RUBBER: Optics(0.02, 0.05, 0.004, 0.02, 0.0),
    Material.CLOTH: Optics(0.06, 0.28, 0.01, 0.0, 0.0),
    Material.SKIN: Optics(0.12, 0.2, 0.005, 0.0, 0.0),
    Material.PLASTIC: Optics(0.06, 0.25, 0.003, 0.03, 0.05),
    Material.RETRO: Optics(0.9, 0.4, 0.002, 0.0, 0.0),
    Material.LAMP: Optics(0.25, 0.2, 0.003, 0.3, 0.3),
    Material.WOOD: Optics(0.08, 0.22, 0.005, 0.0, 0.0),
    Material.FACADE_PUNCHED: Optics(0.06, 0.25, 0.003, 0.0, 0.0),
    Material.FACADE_RIBBON: Optics(0.06, 0.25, 0.003, 0.0, 0.0),
    Material.FACADE_CURTAIN: Optics(0.06, 0.2, 0.003, 0.0, 0.05),
    Material.FACADE_SHOP: Optics(0.06, 0.2, 0.003, 0.0, 0.0),
    Material.FACADE_HOUSE: Optics(0.07, 0.22, 0.005, 0.0, 0.0),
}


@dataclass(frozen=True)
class Windows:
    """The regular pattern of windows in a facade material; windows are glass, set back into the wall.

    Args:
        pitch: from window to window, metres.
        width: share of the pitch that is glass.
        floor: height of a floor, metres.
        sill, head: lower and upper edge of the glass as shares of the floor.
        recess: depth of the glass behind the wall, metres.
    """

    pitch: float
    width: float
    floor: float
    sill: float
    head: float
    recess: float


WINDOWS = {
    Material.FACADE_PUNCHED: Windows(2.7, 0.52, 3.1, 0.28, 0.80, 0.18),
    Material.FACADE_RIBBON: Windows(7.2, 0.94, 3.6, 0.30, 0.82, 0.12),
    Material.FACADE_CURTAIN: Windows(1.5, 0.93, 3.9, 0.07, 0.95, 0.04),
    Material.FACADE_SHOP: Windows(4.2, 0.86, 4.0, 0.12, 0.74, 0.25),
    Material.FACADE_HOUSE: Windows(3.4, 0.36, 2.9, 0.33, 0.80, 0.12),
}


def optics_table() -> NDArray[np.float32]:
    """[number of materials, 5] float32, the fields of `Optics` in order, indexed by `Material`."""
    rows = [OPTICS[material] for material in Material]
    return np.array(
        [[row.reflectivity, row.reflectivity_per_luminance, row.roughness, row.lost, row.gloss] for row in rows],
        np.float32,
    )


def window_table() -> NDArray[np.float32]:
    """[number of materials, 6] float32, the fields of `Windows` in order; pitch 0: no windows."""
    table = np.zeros((len(Material), 6), np.float32)
    for material, w in WINDOWS.items():
        table[material] = w.pitch, w.width, w.floor, w.sill, w.head, w.recess
    return table

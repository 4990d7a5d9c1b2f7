"""Light and texture of a room: lamps, windows, ambient light with occlusion, patterns of wood, cloth and plaster."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.indoor.room import Room
from data_prep.simulate.materials import Material
from data_prep.simulate.noise import hash01, smooth
from data_prep.simulate.raycast import Shell

OPEN_DISTANCE = 1.0  # metres; nearer surfaces occlude ambient light
DIRECTIONS = 8  # rays per point for ambient occlusion
LAMP_RADIUS = 0.12  # metres; lamps and windows are area lights with soft shadows
MIDDLE_GREY = 0.4  # exposed median of an image before highlight compression
WHITE = 4.0  # exposed light that maps to white
SURFACE_GAP = 0.01  # metres between a surface and the origins of its rays
_WOOD, _CLOTH, _PLASTER, _PAVING = int(Material.WOOD), int(Material.CLOTH), int(Material.PLASTER), int(Material.PAVING)
_CONCRETE, _LAMP, _GLASS = int(Material.CONCRETE), int(Material.LAMP), int(Material.GLASS)


@dataclass(frozen=True)
class Surface:
    """Points on things: position and unit normal [N, 3] (room frame), colour [N, 3] uint8, material [N] uint8."""

    position: NDArray[np.float32]
    normal: NDArray[np.float32]
    color: NDArray[np.uint8]
    material: NDArray[np.uint8]


@dataclass(frozen=True)
class RoomLight:
    """Point lights and ambient light; colours are linear.

    Args:
        position: [L, 3] metres, room frame.
        power: [L, 3] colour of the light at a distance of one metre.
        ambient: [3] colour of the ambient light.
        key: seed of the textures.
    """

    position: NDArray[np.float32]
    power: NDArray[np.float32]
    ambient: NDArray[np.float32]
    key: int

    @classmethod
    def draw(cls, room: Room, rng: np.random.Generator) -> RoomLight:
        """Draw one to three ceiling lamps, warm or cold, and daylight through each window, from bright day to dusk."""
        length, width, height = room.size
        lamps = int(rng.integers(1, 4))
        at = rng.uniform(
            [0.3 * length, 0.3 * width, height - 0.25], [0.7 * length, 0.7 * width, height - 0.1], (lamps, 3)
        )
        tint = np.array([1.0, rng.uniform(0.82, 0.97), rng.uniform(0.6, 0.95)])
        lamp = np.tile(tint * rng.uniform(0.9, 1.5) * 2.0 / lamps, (lamps, 1))
        middle = np.array([0.5 * length, 0.5 * width, 0.5 * height])
        inward = middle - room.window
        inward[:, 2] = 0.0
        inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-6)
        day = np.tile(np.array([0.85, 0.95, 1.1]) * rng.uniform(0.0, 2.2), (len(room.window), 1))
        return cls(
            position=np.concatenate([at, room.window + 0.45 * inward]).astype(np.float32),
            power=np.concatenate([lamp, day]).astype(np.float32),
            ambient=(tint * rng.uniform(0.28, 0.45)).astype(np.float32),
            key=int(rng.integers(1 << 16)),
        )

    def radiance(self, surface: Surface, shell: Shell, rng: np.random.Generator) -> NDArray[np.float32]:
        """[N, 3] outgoing radiance of the surface, linear; `rng` samples soft shadows."""
        seen = np.zeros((len(self.position), len(surface.position)), np.bool_)
        start = surface.position + SURFACE_GAP * surface.normal
        for light, lit in zip(self.position, seen, strict=True):
            origin = light + LAMP_RADIUS * _in_ball(rng, len(start))
            step = start - origin
            far = np.linalg.norm(step, axis=1)
            ray = np.concatenate([origin, step / np.maximum(far, 1e-6)[:, None]], 1)
            lit[:] = shell.cast(ray.astype(np.float32)).distance > far - 2 * SURFACE_GAP
        return _radiance(
            surface.position, surface.normal, surface.color, surface.material, seen,
            _openness(start, surface.normal, shell, rng),
            self.position, self.power, self.ambient, self.key,
        )  # fmt: skip


def exposure_of(radiance: NDArray[np.float32]) -> float:
    """Exposure factor of radiance [N, 3]."""
    return MIDDLE_GREY / max(float(np.median(radiance.mean(axis=1))), 1e-3)


def develop(radiance: NDArray[np.float32], exposure: float) -> NDArray[np.float32]:
    """Image values in 0..1 of radiance [N, 3]: compressed highlights (Reinhard et al. 2002, Eq. 4), then gamma."""
    light = radiance * np.float32(exposure)
    return np.clip(light * (1 + light / WHITE**2) / (1 + light), 0, 1) ** np.float32(1 / 2.2)


def _in_ball(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """[count, 3] points in the unit ball, denser at the centre."""
    direction = rng.normal(0, 1, (count, 3))
    return direction / np.linalg.norm(direction, axis=1, keepdims=True) * rng.random((count, 1))


def _openness(start: NDArray, normal: NDArray, shell: Shell, rng: np.random.Generator) -> NDArray[np.float32]:
    """[N] in 0..1: ambient occlusion, 1 where no surface is near."""
    index = np.arange(DIRECTIONS) + 0.5
    height, turn = 1 - index / DIRECTIONS, index * np.pi * (1 + 5**0.5)  # a Fibonacci lattice on a half sphere
    flat = np.sqrt(1 - height**2)
    total, offset = np.zeros(len(start), np.float32), rng.uniform(0, 2 * np.pi, len(start))
    for up, wide, angle in zip(height, flat, turn, strict=True):
        around = angle + offset
        direction = np.stack([wide * np.cos(around), wide * np.sin(around), np.full(len(start), up)], 1)
        direction *= np.where(np.einsum("ij,ij->i", normal, direction) < 0, -1, 1)[:, None]
        distance = shell.cast(np.concatenate([start, direction], 1).astype(np.float32)).distance
        total += np.minimum(distance / np.float32(OPEN_DISTANCE), 1)
    return total / np.float32(DIRECTIONS)


@numba.njit(cache=True)
def _texture(kind, x, y, z, nx, ny, nz, key):
    """Factor on a colour."""
    along = x * (1 - abs(nx)) + z * abs(nx) * 0.5 if abs(nz) > 0.5 else z
    across = y if abs(nz) > 0.5 else x * ny - y * nx
    if kind == _WOOD:
        warp = 0.05 * smooth(along * 3.0, across * 3.0, key)
        return (
            0.82
            + 0.2 * smooth(along * 2.5, (across + warp) * 60.0, key + 1)
            + 0.12 * smooth(along * 8.0, across * 150.0, key + 2)
        )
    if kind == _CLOTH:
        return (
            0.85
            + 0.22 * smooth(along * 90.0, across * 90.0, key + 3)
            + 0.1 * smooth(along * 6.0, across * 6.0, key + 4)
        )
    if kind == _PLASTER:
        return (
            0.94
            + 0.05 * smooth(along * 1.3, across * 1.3, key + 5)
            + 0.04 * smooth(along * 40.0, across * 40.0, key + 6)
        )
    if kind in (_PAVING, _CONCRETE):
        return (
            0.86
            + 0.16 * smooth(along * 12.0, across * 12.0, key + 7)
            + 0.1 * hash01(int(along * 200), int(across * 200), key)
        )
    return 1.0


@numba.njit(cache=True)
def _radiance(position, normal, color, material, seen, openness, light, power, ambient, key):
    out = np.empty((len(position), 3), np.float32)
    for i in range(len(position)):
        x, y, z = position[i]
        nx, ny, nz = normal[i]
        pattern = _texture(material[i], x, y, z, nx, ny, nz, key)
        red, green, blue = ambient * (0.35 + 0.65 * openness[i])
        for k in range(len(light)):
            if seen[k, i]:
                dx, dy, dz = light[k, 0] - x, light[k, 1] - y, light[k, 2] - z
                far = np.sqrt(dx * dx + dy * dy + dz * dz)
                slant = max((dx * nx + dy * ny + dz * nz) / max(far, 1e-3), 0.0)
                falloff = slant / (0.6 + far * far)  # lamps are not points: bounded next to them
                red += power[k, 0] * falloff
                green += power[k, 1] * falloff
                blue += power[k, 2] * falloff
        if material[i] == _LAMP or material[i] == _GLASS:
            red, green, blue = red + 0.5, green + 0.5, blue + 0.45
        for channel in range(3):
            albedo = (color[i, channel] / 255.0) ** 2.2
            out[i, channel] = albedo * pattern * (red if channel == 0 else (green if channel == 1 else blue))
    return out

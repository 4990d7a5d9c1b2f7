"""Triangle meshes and the primitives that simulated objects are built from.

Object frame: x forward, y left, z up, the origin on the ground under the middle of the object; metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.materials import Material

Point = Sequence[float] | NDArray  # [3]
Color = tuple[int, int, int]  # red, green, blue; 0..255, as seen in daylight


@dataclass(frozen=True)
class Mesh:
    """Triangles with a material and a colour each.

    Args:
        vertex: [V, 3] float32, metres.
        triangle: [T, 3] int32 rows of `vertex`.
        material: [T] uint8, `Material` values.
        color: [T, 3] uint8.
    """

    vertex: NDArray[np.float32]
    triangle: NDArray[np.int32]
    material: NDArray[np.uint8]
    color: NDArray[np.uint8]

    @property
    def num_triangles(self) -> int:
        return len(self.triangle)

    def moved(self, dst_from_src: NDArray) -> Mesh:
        """The same mesh in another frame; `dst_from_src` [4, 4] may also scale."""
        vertex = self.vertex @ dst_from_src[:3, :3].T.astype(np.float32) + dst_from_src[:3, 3].astype(np.float32)
        return Mesh(vertex, self.triangle, self.material, self.color)

    def shifted(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        return Mesh(self.vertex + np.array([x, y, z], np.float32), self.triangle, self.material, self.color)

    def turned(self, yaw: float) -> Mesh:
        """Rotated about z by `yaw` radians, counter-clockwise from above."""
        cos, sin = np.float32(np.cos(yaw)), np.float32(np.sin(yaw))
        x, y, z = self.vertex.T
        return Mesh(np.stack([cos * x - sin * y, sin * x + cos * y, z], 1), self.triangle, self.material, self.color)

    def bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lower and upper corner [3] of the box around the mesh."""
        return self.vertex.min(0), self.vertex.max(0)


def make(vertex: NDArray, triangle: NDArray, material: Material, color: Color | NDArray) -> Mesh:
    """A mesh of one material; `color` is one colour or one per triangle [T, 3]."""
    count = len(triangle)
    colors = np.broadcast_to(np.asarray(color, np.uint8), (count, 3)).copy()
    return Mesh(
        np.asarray(vertex, np.float32).reshape(-1, 3),
        np.asarray(triangle, np.int32).reshape(-1, 3),
        np.full(count, material, np.uint8),
        colors,
    )


def offset(point: Point, x: float, y: float, z: float) -> NDArray[np.float64]:
    """`point` [3] moved by (x, y, z) metres."""
    return np.asarray(point, np.float64) + np.array([x, y, z])


def join(meshes: Sequence[Mesh]) -> Mesh:
    """All meshes as one."""
    first = np.cumsum([0, *(len(mesh.vertex) for mesh in meshes)])[:-1]
    return Mesh(
        np.concatenate([mesh.vertex for mesh in meshes] or [np.zeros((0, 3), np.float32)]),
        np.concatenate(
            [mesh.triangle + np.int32(start) for mesh, start in zip(meshes, first, strict=True)]
            or [np.zeros((0, 3), np.int32)]
        ),
        np.concatenate([mesh.material for mesh in meshes] or [np.zeros(0, np.uint8)]),
        np.concatenate([mesh.color for mesh in meshes] or [np.zeros((0, 3), np.uint8)]),
    )


def _split_quads(quad: NDArray) -> NDArray:
    return np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]], 1).reshape(-1, 3)


_BOX_CORNER = np.array(
    [[x, y, z] for z in (-0.5, 0.5) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
)
_BOX_QUAD = np.array([[3, 2, 1, 0], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])
_BOX_TRIANGLE = _split_quads(_BOX_QUAD).astype(np.int32)


def box(
    size: tuple[float, float, float],
    center: Point,
    material: Material,
    color: Color,
    *,
    top_scale: tuple[float, float] = (1.0, 1.0),
) -> Mesh:
    """A box; `top_scale` narrows its upper face along x and y, for hoppers, cabins and tents."""
    corner = _BOX_CORNER * np.array(size)
    corner[4:, 0] *= top_scale[0]
    corner[4:, 1] *= top_scale[1]
    return make(corner + np.array(center), _BOX_TRIANGLE, material, color)


def quads(corner: NDArray, material: Material, color: Color | NDArray) -> Mesh:
    """Separate quadrilaterals from their corners [Q, 4, 3], counter-clockwise as seen from the front."""
    corner = np.asarray(corner, np.float64).reshape(-1, 4, 3)
    index = np.arange(4 * len(corner)).reshape(-1, 4)
    colors = np.asarray(color, np.uint8)
    return make(corner, _split_quads(index), material, np.repeat(colors, 2, axis=0) if colors.ndim == 2 else colors)


def tube(
    start: Point,
    end: Point,
    radius: float | tuple[float, float],
    material: Material,
    color: Color,
    *,
    sides: int = 8,
    capped: bool = True,
) -> Mesh:
    """A cylinder or cone between two points; `radius` at the start and at the end."""
    r0, r1 = radius if isinstance(radius, tuple) else (radius, radius)
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    ring = _circle(sides) @ _across(*(end - start).tolist())
    return loft(np.stack([start + r0 * ring, end + r1 * ring]), material, color, capped=capped)


@lru_cache(maxsize=64)
def _circle(sides: int) -> NDArray[np.float64]:
    """Cosine and sine [sides, 2] of even steps around a circle."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def _across(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Two unit vectors [2, 3] perpendicular to an axis and to each other; plain numbers, as numpy is slow on three."""
    length = max(math.sqrt(x * x + y * y + z * z), 1e-9)
    x, y, z = x / length, y / length, z / length
    a, b, c = (y, -x, 0.0) if abs(z) < 0.9 else (0.0, z, -y)
    width = math.sqrt(a * a + b * b + c * c)
    a, b, c = a / width, b / width, c / width
    return np.array([[a, b, c], [y * c - z * b, z * a - x * c, x * b - y * a]])


def loft(
    section: NDArray,
    material: Material | NDArray,
    color: Color | NDArray,
    *,
    capped: bool = True,
    cap: tuple[Material, Color] | None = None,
) -> Mesh:
    """A skin over closed cross-sections.

    Args:
        section: [K, N, 3] corners of K sections, in the same order around each; counter-clockwise as seen from
            the last section towards the first.
        material: one, or one per patch [K - 1, N] (patch n lies between the corners n and n + 1).
        color: one, or one per patch [K - 1, N, 3].
        capped: close the first and the last section.
        cap: material and colour of the caps; those of the first patch unless given.
    """
    sections, corners, _ = section.shape
    triangle, patches = _loft_triangles(sections, corners, capped)
    materials, colors = np.empty(len(triangle), np.uint8), np.empty((len(triangle), 3), np.uint8)
    patch_material, patch_color = np.asarray(material, np.uint8), np.asarray(color, np.uint8)
    materials[:patches] = np.repeat(patch_material.reshape(-1), 2) if patch_material.ndim else patch_material
    colors[:patches] = np.repeat(patch_color.reshape(-1, 3), 2, axis=0) if patch_color.ndim > 1 else patch_color
    if capped:
        materials[patches:], colors[patches:] = cap if cap is not None else (materials[0], colors[0])
    return Mesh(section.reshape(-1, 3).astype(np.float32), triangle, materials, colors)


@lru_cache(maxsize=256)
def _loft_triangles(sections: int, corners: int, capped: bool) -> tuple[NDArray[np.int32], int]:
    """Triangles of a skin over cross-sections, those of the caps last, and their number without the caps."""
    row = np.arange(sections - 1)[:, None] * corners
    here, there = np.arange(corners)[None], (np.arange(corners)[None] + 1) % corners
    patch = np.stack([row + here, row + there, row + corners + there, row + corners + here], -1).reshape(-1, 4)
    triangle = [_split_quads(patch)]
    if capped:
        fan = np.stack([np.zeros(corners - 2, int), np.arange(1, corners - 1), np.arange(2, corners)], -1)
        triangle += [fan[:, ::-1], fan + (sections - 1) * corners]
    return np.concatenate(triangle).astype(np.int32), 2 * len(patch)


def ball(
    center: Point,
    radius: Point,
    material: Material,
    color: Color,
    *,
    rings: int = 4,
    sides: int = 7,
) -> Mesh:
    """An ellipsoid with the half-axes `radius` [3]."""
    section = _sphere(rings, sides) * np.asarray(radius) + np.asarray(center)
    return loft(section, material, color, capped=False)


@lru_cache(maxsize=64)
def _sphere(rings: int, sides: int) -> NDArray[np.float64]:
    """Sections [rings + 1, sides, 3] of the unit sphere, from the lower to the upper pole."""
    latitude = np.linspace(-0.5 * np.pi, 0.5 * np.pi, rings + 1)
    longitude = np.arange(sides) * (2 * np.pi / sides)
    level = np.array([0.0, *np.cos(latitude[1:-1]), 0.0])[:, None]  # the poles are points
    height = np.broadcast_to(np.sin(latitude)[:, None], (rings + 1, sides))
    return np.stack([level * np.cos(longitude), level * np.sin(longitude), height], -1)


def extrude(outline: NDArray, low: float, high: float, material: Material, color: Color, axis: str = "z") -> Mesh:
    """A prism over a convex outline.

    Args:
        outline: [N, 2] corners, counter-clockwise: (x, y) for the axis "z", (x, z) for the axis "y".
        low, high: where the prism begins and ends along the axis.
    """
    if axis == "z":
        section = [np.column_stack([outline, np.full(len(outline), level)]) for level in (low, high)]
    else:  # the orientation of (x, z) about y is opposite to that of (x, y) about z
        section = [
            np.column_stack([outline[:, 0], np.full(len(outline), level), outline[:, 1]]) for level in (high, low)
        ]
    return loft(np.stack(section), material, color)


def mirrored(mesh: Mesh) -> Mesh:
    """The mesh's mirror image across the x-z plane."""
    return Mesh(mesh.vertex * np.array([1, -1, 1], np.float32), mesh.triangle[:, ::-1], mesh.material, mesh.color)


def both_sides(mesh: Mesh) -> Mesh:
    """A mesh and its mirror image across the x-z plane."""
    return join([mesh, mirrored(mesh)])

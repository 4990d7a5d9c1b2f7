"""Casting rays at static and moving meshes with Open3D's RaycastingScene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.mesh import Mesh
from pc_ssl.extras import extra

NO_OWNER = -1


@dataclass(frozen=True)
class Skin:
    """Attributes of each triangle.

    Args:
        material: [T] uint8 `Material`.
        color: [T, 3] uint8.
        label: [T] uint8 class.
        owner: [T] int32 index of its object, NO_OWNER for scenery.
        brightness: [T] float32 factor on the material's reflectivity; one per object.
    """

    material: NDArray[np.uint8]
    color: NDArray[np.uint8]
    label: NDArray[np.uint8]
    owner: NDArray[np.int32]
    brightness: NDArray[np.float32]

    @classmethod
    def of(cls, mesh: Mesh, label: int | NDArray, owner: int, brightness: float) -> Skin:
        count = mesh.num_triangles
        return cls(
            mesh.material,
            mesh.color,
            np.broadcast_to(np.asarray(label, np.uint8), (count,)),
            np.full(count, owner, np.int32),
            np.full(count, brightness, np.float32),
        )

    @classmethod
    def join(cls, skins: Sequence[Skin]) -> Skin:
        return cls(
            *(
                np.concatenate([getattr(skin, name) for skin in skins])
                for name in ("material", "color", "label", "owner", "brightness")
            )
        )


@dataclass(frozen=True)
class Hits:
    """Hit points of rays.

    Args:
        distance: [N] float32 metres; infinity for a ray that hits nothing.
        triangle: [N] int32 row of the skin; -1 for none.
        normal: [N, 3] float32 unit normal, turned towards the ray's origin.
    """

    distance: NDArray[np.float32]
    triangle: NDArray[np.int32]
    normal: NDArray[np.float32]


class Shell:
    """Triangles that rays are cast at, each with its row of the skin.

    Args:
        vertex: [V, 3] float32.
        triangle: [T, 3] int32.
        row: [T] int32 rows of the skin.
    """

    def __init__(self, vertex: NDArray, triangle: NDArray, row: NDArray) -> None:
        with extra("simulate", "simulating a recording"):
            import open3d as o3d

        self._tensor = o3d.core.Tensor.from_numpy  # shares memory
        self.row = row
        self._scene = None
        if len(triangle):
            self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
            self._scene.add_triangles(
                o3d.core.Tensor(np.ascontiguousarray(vertex, np.float32)),
                o3d.core.Tensor(np.ascontiguousarray(triangle, np.uint32)),
            )

    def cast(self, ray: NDArray) -> Hits:
        """Nearest hit of each ray [N, 6] float32 (origin, unit direction)."""
        if self._scene is None or not len(ray):
            count = len(ray)
            return Hits(
                np.full(count, np.inf, np.float32), np.full(count, -1, np.int32), np.zeros((count, 3), np.float32)
            )
        answer = self._scene.cast_rays(self._tensor(ray), nthreads=1)
        distance, primitive = answer["t_hit"].numpy(), answer["primitive_ids"].numpy()
        normal = answer["primitive_normals"].numpy()
        return Hits(distance, _resolve(ray, distance, primitive, normal, self.row), normal)

    def blocks(self, ray: NDArray) -> NDArray[np.bool_]:
        """Whether each ray [N, 6] float32 hits anything."""
        if self._scene is None or not len(ray):
            return np.zeros(len(ray), bool)
        return self._scene.test_occlusions(self._tensor(ray), nthreads=1).numpy()


@numba.njit(cache=True)
def _resolve(ray: NDArray, distance: NDArray, primitive: NDArray, normal: NDArray, row: NDArray) -> NDArray:
    """Rows of the skin [N] of Open3D's primitives [N]; turns the normals towards the rays' origins, in place."""
    triangle = np.full(len(distance), -1, np.int32)
    for i in range(len(distance)):
        if distance[i] < np.inf:
            triangle[i] = row[primitive[i]]
        along = normal[i, 0] * ray[i, 3] + normal[i, 1] * ray[i, 4] + normal[i, 2] * ray[i, 5]
        if along > 0:
            normal[i] = -normal[i]
    return triangle


def nearer(first: Hits, second: Hits, rows: NDArray | slice = slice(None)) -> Hits:
    """Put the hits of `second`, cast for `rows` of the rays, into `first` [N] where they are nearer; in place."""
    closer = second.distance < first.distance[rows]
    at = np.arange(len(first.distance))[rows][closer]
    first.distance[at] = second.distance[closer]
    first.triangle[at] = second.triangle[closer]
    first.normal[at] = second.normal[closer]
    return first

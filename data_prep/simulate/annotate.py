"""Ground-truth boxes of a keyframe, placed as an annotator who sees the points would place them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.categories import VISIBILITIES
from data_prep.simulate.geometry import Geometry, Moment
from data_prep.simulate.lidar import Sweep
from data_prep.simulate.rig import FIRST_AZIMUTH, ROTATION_PERIOD, ego_from_lidar
from data_prep.simulate.street.things import Thing, Track
from data_prep.simulate.tables import SHARED, Row, quaternion

MARGIN = 0.06  # metres added to each edge of a box, so that it contains noisy points
REACH = 100.0  # metres from the ego vehicle within which things are annotated
PROBES = 24  # surface points per object that are tested for visibility
EYE = (0.8, 0.0, 1.55)  # metres in the ego frame; mean position of the cameras


@dataclass(frozen=True)
class Box:
    """An annotated object at a keyframe.

    Args:
        thing: index of the object.
        scene_from_thing: [4, 4] when the LiDAR swept over the object's centre.
        points: number of returns inside the box.
        visibility: token of the visible fraction of its surface.
    """

    thing: int
    scene_from_thing: NDArray[np.float64]
    points: int
    visibility: str
    attribute: str


class Annotator:
    """Annotates the keyframes of one scene."""

    def __init__(self, rng: np.random.Generator, geometry: Geometry) -> None:
        self.geometry = geometry
        self.size = np.array([thing.size for thing in geometry.things]).reshape(-1, 3) + MARGIN
        self.center = np.array([thing.center for thing in geometry.things]).reshape(-1, 3)
        self._probe = np.array([_probes(rng, thing) for thing in geometry.things]).reshape(-1, PROBES, 6)
        self._moving = [index for index, thing in enumerate(geometry.things) if thing.track.moves]
        self._resting = [index for index, thing in enumerate(geometry.things) if not thing.track.moves]
        poses = [geometry.things[index].track.pose(0.0) for index in self._resting]
        self._resting_pose = np.array(poses).reshape(-1, 4, 4)

    def boxes(self, time: float, scene_from_ego: NDArray, sweep: Sweep, moments: Sequence[Moment]) -> list[Box]:
        """Boxes of all objects within REACH at the keyframe at `time`; `moments` are those of its images."""
        scene_from_lidar = scene_from_ego @ ego_from_lidar()
        found, pose, when = self._present(time, scene_from_ego, scene_from_lidar)
        if not found:
            return []
        points = self._count(found, pose, sweep, scene_from_lidar)
        seen = self._visibility(found, pose, scene_from_ego, moments)
        return [
            Box(index, pose[k], int(points[k]), seen[k], self.geometry.things[index].attribute(when[k]))
            for k, index in enumerate(found)
        ]

    def _present(
        self, time: float, scene_from_ego: NDArray, scene_from_lidar: NDArray
    ) -> tuple[list[int], NDArray[np.float64], list[float]]:
        """Indices of the objects within REACH, their poses [K, 4, 4] when the LiDAR sees them, and those times."""
        center = scene_from_ego[:2, 3]
        near = np.linalg.norm(self._resting_pose[:, :2, 3] - center, axis=1) < REACH
        found = [index for index, is_near in zip(self._resting, near, strict=True) if is_near]
        poses, when = list(self._resting_pose[near]), [time] * len(found)
        for index in self._moving:
            track = self.geometry.things[index].track
            at = _swept_at(track, time, scene_from_lidar)
            pose = track.pose(at)
            if track.present_at(at) and np.linalg.norm(pose[:2, 3] - center) < REACH:
                found.append(index)
                poses.append(pose)
                when.append(at)
        return found, np.array(poses).reshape(-1, 4, 4), when

    def row(self, box: Box, shift: NDArray) -> Row:
        """The box as fields of a sample_annotation; `shift` [3] is the translation from scene to global frame."""
        pose = box.scene_from_thing
        length, width, height = self.size[box.thing]
        center = pose[:3, :3] @ self.center[box.thing] + pose[:3, 3] + shift
        return {
            "visibility_token": box.visibility,
            "attribute_tokens": [SHARED.of("attribute", box.attribute)] if box.attribute else [],
            "translation": center.tolist(),
            "size": [float(width), float(length), float(height)],
            "rotation": quaternion(pose[:3, :3]),
            "num_lidar_pts": box.points,
        }

    def _count(self, found: list[int], pose: NDArray, sweep: Sweep, scene_from_lidar: NDArray) -> NDArray[np.int64]:
        point = (
            sweep.point[sweep.returned, :3].astype(np.float64) @ scene_from_lidar[:3, :3].T + scene_from_lidar[:3, 3]
        )
        middle = np.einsum("kij,kj->ki", pose[:, :3, :3], self.center[found]) + pose[:, :3, 3]
        return _count_inside(point, middle, np.ascontiguousarray(pose[:, :3, :3]), 0.5 * self.size[found])

    def _visibility(
        self, found: list[int], pose: NDArray, scene_from_ego: NDArray, moments: Sequence[Moment]
    ) -> list[str]:
        eye = scene_from_ego[:3, :3] @ np.array(EYE) + scene_from_ego[:3, 3]
        probe = self._probe[found]
        at = np.einsum("kij,kpj->kpi", pose[:, :3, :3], probe[..., :3]) + pose[:, None, :3, 3]
        normal = np.einsum("kij,kpj->kpi", pose[:, :3, :3], probe[..., 3:])
        ray = (at - eye).reshape(-1, 3)
        away = np.linalg.norm(ray, axis=1)
        rays = np.concatenate([np.broadcast_to(eye, ray.shape), ray / away[:, None]], 1).astype(np.float32)
        shells = [self.geometry.still, *(moment.shell for moment in moments)]
        reach = np.min([shell.cast(rays).distance for shell in shells], 0)
        # a moving object may have moved a little since the LiDAR saw it
        seen = (reach > away - 0.6).reshape(len(found), PROBES)
        faces = (np.einsum("ij,ij->i", normal.reshape(-1, 3), ray) < 0).reshape(len(found), PROBES)
        share = (seen & faces).sum(1) / np.maximum(faces.sum(1), 1)
        return [VISIBILITIES[k][0] for k in np.searchsorted([0.4, 0.6, 0.8], share, side="right")]


def _swept_at(track: Track, time: float, scene_from_lidar: NDArray) -> float:
    """Time at which the LiDAR sweeps over the origin of a moving object, in the rotation that ends at `time`."""
    x, y, _ = scene_from_lidar[:3, :3].T @ (track.pose(time)[:3, 3] - scene_from_lidar[:3, 3])
    turned = (FIRST_AZIMUTH - np.arctan2(y, x)) % (2 * np.pi) / (2 * np.pi)
    return time - ROTATION_PERIOD * (1.0 - turned)


def _probes(rng: np.random.Generator, thing: Thing) -> NDArray[np.float64]:
    """[PROBES, 6] points sampled uniformly from the object's surface, and their normals."""
    mesh = thing.meshes[0]
    corner = mesh.vertex[mesh.triangle].astype(np.float64)
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = np.linalg.norm(normal, axis=1)
    chosen = rng.choice(len(area), PROBES, p=area / area.sum())
    u, v = rng.random((2, PROBES, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    point = (
        corner[chosen, 0] + u * (corner[chosen, 1] - corner[chosen, 0]) + v * (corner[chosen, 2] - corner[chosen, 0])
    )
    outward = normal[chosen] / np.maximum(area[chosen, None], 1e-12)
    return np.concatenate([point, outward], 1)


@numba.njit(cache=True)
def _count_inside(point: NDArray, middle: NDArray, rotation: NDArray, half: NDArray) -> NDArray[np.int64]:
    """Number of the points [N, 3] in each box: middle [K, 3], rotation [K, 3, 3], half edges [K, 3]."""
    count = np.zeros(len(middle), np.int64)
    for k in range(len(middle)):
        reach = half[k, 0] ** 2 + half[k, 1] ** 2 + half[k, 2] ** 2
        for i in range(len(point)):
            x, y, z = point[i, 0] - middle[k, 0], point[i, 1] - middle[k, 1], point[i, 2] - middle[k, 2]
            if x * x + y * y + z * z <= reach:
                inside = True
                for axis in range(3):
                    along = x * rotation[k, 0, axis] + y * rotation[k, 1, axis] + z * rotation[k, 2, axis]
                    inside = inside and abs(along) <= half[k, axis]
                if inside:
                    count[k] += 1
    return count

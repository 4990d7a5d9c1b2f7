"""Content of a scene: scenery, which only has a label, and things, which are annotated with a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.mesh import Mesh
from data_prep.simulate.street.ground import Ground

STEP = 0.05  # seconds between the samples of a track
MOVING = 0.2  # metres per second above which a thing counts as moving


@dataclass(frozen=True)
class Track:
    """Pose of a thing over time.

    Args:
        start: time of the first sample, seconds after the scene's first keyframe.
        scene_from_thing: [N, 4, 4] float64 poses, STEP apart; one for a thing that never moves.
        speed: [N] metres per second.
        way: [N] distance travelled since the first sample, metres.
        present: [N] bool, False before a thing enters the built area and after it leaves.
    """

    start: float
    scene_from_thing: NDArray[np.float64]
    speed: NDArray[np.float64]
    way: NDArray[np.float64]
    present: NDArray[np.bool_]

    @property
    def moves(self) -> bool:
        return len(self.speed) > 1 and bool(self.speed.max() > 0.01)

    def _place(self, time: float) -> tuple[int, float]:
        position = min(max((time - self.start) / STEP, 0.0), len(self.speed) - 1.0)
        index = min(int(position), max(len(self.speed) - 2, 0))
        return index, position - index

    def pose(self, time: float) -> NDArray[np.float64]:
        """scene_from_thing [4, 4] at `time`, interpolated linearly between samples, rotations re-orthonormalised."""
        index, share = self._place(time)
        if len(self.speed) == 1:
            return self.scene_from_thing[0]
        return _between(self.scene_from_thing[index], self.scene_from_thing[index + 1], share)

    def speed_at(self, time: float) -> float:
        index, share = self._place(time)
        return float(self.speed[round(index + share)])

    def way_at(self, time: float) -> float:
        index, share = self._place(time)
        if len(self.way) == 1:
            return 0.0
        return float((1 - share) * self.way[index] + share * self.way[index + 1])

    def present_at(self, time: float) -> bool:
        index, share = self._place(time)
        return bool(self.present[round(index + share)])


@numba.njit(cache=True)
def _between(first: NDArray, second: NDArray, share: float) -> NDArray:
    """Interpolate linearly between two close poses; y and z are made perpendicular to x again."""
    pose = (1 - share) * first + share * second
    x, y = pose[:3, 0], pose[:3, 1]
    x /= np.sqrt((x * x).sum())
    y -= (x * y).sum() * x
    y /= np.sqrt((y * y).sum())
    pose[0, 2] = x[1] * y[2] - x[2] * y[1]
    pose[1, 2] = x[2] * y[0] - x[0] * y[2]
    pose[2, 2] = x[0] * y[1] - x[1] * y[0]
    return pose


def standing(scene_from_thing: NDArray) -> Track:
    """The track of a thing that never moves."""
    return Track(0.0, scene_from_thing[None], np.zeros(1), np.zeros(1), np.ones(1, bool))


@dataclass(frozen=True)
class Thing:
    """An annotated object.

    Args:
        category: nuScenes category name.
        meshes: its shapes in the thing's frame; several are the phases of one stride.
        track: its poses.
        stride: metres travelled in one cycle of the shapes; 0 for a rigid thing.
        idle: attribute while it does not move ("" for none).
        busy: attribute while it moves.
    """

    category: str
    meshes: tuple[Mesh, ...]
    track: Track
    idle: str
    busy: str
    stride: float = 0.0

    @cached_property
    def size(self) -> NDArray[np.float64]:
        """[3] length, width, height of the box around all shapes, metres."""
        low, high = self._bounds()
        return high - low

    @cached_property
    def center(self) -> NDArray[np.float64]:
        """[3] middle of that box in the thing's frame."""
        low, high = self._bounds()
        return 0.5 * (low + high)

    def _bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        bounds = [mesh.bounds() for mesh in self.meshes]
        low = np.min([low for low, _ in bounds], 0).astype(np.float64)
        return low, np.max([high for _, high in bounds], 0).astype(np.float64)

    def phase(self, time: float) -> int:
        """Index of the shape at `time`."""
        if self.stride == 0.0:
            return 0
        return int(self.track.way_at(time) / self.stride * len(self.meshes)) % len(self.meshes)

    def attribute(self, time: float) -> str:
        return self.busy if self.track.speed_at(time) > MOVING else self.idle


@dataclass(frozen=True)
class Scenery:
    """A labelled part of the scene without a box, in the scene frame."""

    mesh: Mesh
    label: int


def frame_at(ground: Ground, xy: Sequence[float] | NDArray, yaw: float, *, tilted: bool = False) -> NDArray[np.float64]:
    """scene_from_thing [4, 4] of an object on the ground at `xy` [2]; `tilted` aligns it with the slope (vehicles)."""
    xy = np.asarray(xy, np.float64)
    return frames_along(ground, xy[None], np.array([yaw]), tilted=tilted)[0]


def frames_along(
    ground: Ground, xy: NDArray, yaw: NDArray, *, tilted: bool, offset: float | None = None
) -> NDArray[np.float64]:
    """scene_from_thing [N, 4, 4] at xy [N, 2] with headings yaw [N].

    Args:
        offset: height above the hills if known (0 on the road); None: height of the surface under each point.
    """
    pose = np.zeros((len(xy), 4, 4))
    pose[:, 3, 3] = 1.0
    pose[:, :2, 3] = xy
    pose[:, 2, 3] = ground.level(xy) if offset is None else ground.hills(xy) + offset
    up = np.tile([0.0, 0.0, 1.0], (len(xy), 1))
    if tilted:
        up[:, :2] = -ground.slope(xy)
        up /= np.linalg.norm(up, axis=1, keepdims=True)
    forward = np.stack([np.cos(yaw), np.sin(yaw), np.zeros(len(xy))], 1)
    forward -= (forward * up).sum(1, keepdims=True) * up
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    pose[:, :3, 0], pose[:, :3, 2] = forward, up
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # left = up x forward; np.cross is slow for few rows
        pose[:, a, 1] = up[:, b] * forward[:, c] - up[:, c] * forward[:, b]
    return pose

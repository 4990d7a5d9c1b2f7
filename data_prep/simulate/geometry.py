"""The triangles of a scene: static objects are built once, moving objects again for each moment."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.categories import LABEL
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Mesh, box, join
from data_prep.simulate.raycast import NO_OWNER, Shell, Skin
from data_prep.simulate.rig import Camera
from data_prep.simulate.street.cars import car_body
from data_prep.simulate.street.traffic import EGO_LENGTH, EGO_REAR_AXLE
from data_prep.simulate.street.world import World

SIGHT = 110.0  # metres; moving objects farther from the ego vehicle are left out
NEARBY = 15.0  # metres; nearer moving objects are always built, as they cast shadows
VIEW_MARGIN = np.deg2rad(25.0)  # the LiDAR's sectors reach up to 17 degrees beyond the cameras' views
BRIGHTNESS = (0.6, 1.5)  # range of the factor on an object's reflectivity


@dataclass(frozen=True)
class _Mover:
    thing: int
    first_row: tuple[int, ...]  # of each shape of the object in the skin
    radius: float  # metres; of the bounding circle around its origin


@dataclass(frozen=True)
class Moment:
    """The moving objects at one time.

    Args:
        time: seconds after the scene's first keyframe.
        shell: their triangles.
        thing: indices of the K objects.
        scene_from_thing: [K, 4, 4] float64.
    """

    time: float
    shell: Shell
    thing: list[int]
    scene_from_thing: NDArray[np.float64]


class Geometry:
    """All triangles of a world.

    Args:
        rng: draws the brightness of each object.
    """

    def __init__(self, rng: np.random.Generator, world: World) -> None:
        self.things = world.things
        meshes = [world.ground_mesh, *(part.mesh for part in world.scenery)]
        skins = [Skin.of(world.ground_mesh, world.ground_label, NO_OWNER, 1.0)]
        skins += [Skin.of(part.mesh, part.label, NO_OWNER, float(rng.uniform(*BRIGHTNESS))) for part in world.scenery]
        moving = []
        for index, thing in enumerate(self.things):
            brightness = float(rng.uniform(*BRIGHTNESS))
            skin = [Skin.of(mesh, LABEL[thing.category], index, brightness) for mesh in thing.meshes]
            if thing.track.moves:
                moving.append((index, skin))
            else:
                meshes.append(thing.meshes[0].moved(thing.track.pose(0.0)))
                skins.append(skin[0])
        still = join(meshes)
        self.still = Shell(still.vertex, still.triangle, np.arange(still.num_triangles, dtype=np.int32))
        self._movers = []
        row = still.num_triangles
        for index, skin in moving:
            first = np.cumsum([row] + [len(part.material) for part in skin])
            thing = self.things[index]
            radius = float(np.linalg.norm(np.abs(thing.center[:2]) + 0.5 * thing.size[:2]))
            self._movers.append(_Mover(index, tuple(int(r) for r in first[:-1]), radius))
            skins += skin
            row = int(first[-1])
        self.ego = ego_mesh()
        self._ego_row = row
        skins.append(Skin.of(self.ego, LABEL["vehicle.ego"], NO_OWNER, 1.0))
        self.skin = Skin.join(skins)

    def moment(self, time: float, scene_from_ego: NDArray, camera: Camera) -> Moment:
        """The moving objects at `time` that are near the ego vehicle [4, 4] or in a camera's view.

        Objects within NEARBY are always included; farther ones only in the view widened by VIEW_MARGIN to each side.
        """
        vertex, triangle, row, found, poses, first = [], [], [], [], [], 0
        for mover in self._movers:
            track = self.things[mover.thing].track
            if not track.present_at(time):
                continue
            pose = track.pose(time)
            if not _in_sight(pose[:2, 3], mover.radius, scene_from_ego, camera):
                continue
            phase = self.things[mover.thing].phase(time)
            mesh = self.things[mover.thing].meshes[phase].moved(pose)
            vertex.append(mesh.vertex)
            triangle.append(mesh.triangle + first)
            row.append(np.arange(mover.first_row[phase], mover.first_row[phase] + mesh.num_triangles, dtype=np.int32))
            found.append(mover.thing)
            poses.append(pose)
            first += len(mesh.vertex)
        if not found:
            return Moment(
                time, Shell(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int32)), [], np.zeros((0, 4, 4))
            )
        return Moment(
            time, Shell(np.concatenate(vertex), np.concatenate(triangle), np.concatenate(row)), found, np.array(poses)
        )

    def ego_shell(self, scene_from_ego: NDArray) -> Shell:
        """The ego vehicle at a pose [4, 4]."""
        mesh = self.ego.moved(scene_from_ego)
        rows = np.arange(self._ego_row, self._ego_row + mesh.num_triangles, dtype=np.int32)
        return Shell(mesh.vertex, mesh.triangle, rows)


def _in_sight(xy: NDArray, radius: float, scene_from_ego: NDArray, camera: Camera) -> bool:
    """Whether a circle may be visible to a camera, or to the LiDAR while it sweeps over the camera's view."""
    dx, dy = xy[0] - scene_from_ego[0, 3], xy[1] - scene_from_ego[1, 3]
    away = math.hypot(dx, dy)
    if away > SIGHT:
        return False
    if away < NEARBY + radius:
        return True
    turned = math.atan2(dy, dx) - math.atan2(scene_from_ego[1, 0], scene_from_ego[0, 0]) - camera.heading
    turned = abs((turned + math.pi) % (2 * math.pi) - math.pi)
    return turned - math.asin(radius / away) < camera.half_view + VIEW_MARGIN


def ego_mesh() -> Mesh:
    """The vehicle that carries the sensors, in the ego frame: a small hatchback with a roof rack."""
    fixed = np.random.default_rng(0)
    body = car_body(fixed, EGO_LENGTH, 1.62, 1.43, 0.68, np.array([0.02, 0.14, 0.56, 0.76]), 0.66, (236, 236, 234))
    rack = [box((0.06, 0.7, 0.05), (x, 0, 1.455), Material.METAL, (40, 40, 42)) for x in (-0.55, 0.25)]
    return join([body, *rack]).shifted(x=0.5 * EGO_LENGTH - EGO_REAR_AXLE)

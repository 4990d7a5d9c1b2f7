"""Simulates one scene: builds its world, drives through it, writes the sensors' files, and returns the tables' rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.annotate import Annotator, Box
from data_prep.simulate.geometry import Geometry, Moment
from data_prep.simulate.lidar import Lidar, Sweep
from data_prep.simulate.maps import map_of
from data_prep.simulate.render import CameraView, Light
from data_prep.simulate.rig import CAMERAS, LIDAR_CHANNEL, ROTATION_PERIOD, front_cameras
from data_prep.simulate.street.content import StreetContent
from data_prep.simulate.street.things import Track
from data_prep.simulate.street.world import World, build_world
from data_prep.simulate.tables import SceneTables
from data_prep.simulate.tokens import Tokens
from pc_ssl.files import write_bytes

JPEG_QUALITY = 92
SWAY = (0.006, 0.005)  # radians; amplitude of the ego vehicle's roll and pitch on its suspension


@dataclass(frozen=True)
class ScenePlan:
    """Parameters of one simulated scene.

    Args:
        name: of the scene.
        seed: entropy of the scene's generators.
        keyframes: number of keyframes.
        period: seconds between keyframes.
        cameras: how many are simulated, nearest the front first.
        image_size: width and height, pixels.
        beams: of the LiDAR.
        columns: firings of the LiDAR per rotation.
        sweeps: LiDAR rotations written before each keyframe except the first, 0..9.
        hand: 1 for traffic on the right, -1 for traffic on the left.
        location: nuScenes' name.
        shift: metres from the scene frame to the global frame, x and y.
        start: time of the first keyframe, microseconds.
        version: name of the folder of the tables.
        content: size of the built area and number of rare objects.
    """

    name: str
    seed: tuple[int, ...]
    keyframes: int
    period: float
    cameras: int
    image_size: tuple[int, int]
    beams: int
    columns: int
    sweeps: int
    hand: int
    location: str
    shift: tuple[float, float]
    start: int
    version: str
    content: StreetContent


class _Ego:
    """The ego vehicle's pose over time: its track, with small roll and pitch of the suspension."""

    def __init__(self, rng: np.random.Generator, track: Track) -> None:
        self._track = track
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        self._pace = rng.uniform(4.0, 8.0, 2)

    def pose(self, time: float) -> NDArray[np.float64]:
        roll, pitch = (
            np.array(SWAY) * np.sin(self._pace * time + self._phase) * min(self._track.speed_at(time) / 5.0, 1.0)
        )
        sway = np.eye(4)
        sway[:3, :3] = np.array(
            [[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]]
        ) @ np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
        return self._track.pose(time) @ sway


def simulate_scene(out: Path, plan: ScenePlan) -> dict[str, Any]:
    """Write one scene's files below `out`.

    Returns:
        {"tables": rows of each table, "map": layers of the map, "location": its name}, ready for JSON.
    """
    rng = np.random.default_rng(plan.seed)
    times = [k * plan.period for k in range(plan.keyframes)]
    world = build_world(rng, times[-1], plan.hand, plan.content)
    return _Recorder(out, plan, world, rng).record(times)


class _Recorder:
    def __init__(self, out: Path, plan: ScenePlan, world: World, rng: np.random.Generator) -> None:
        self.out, self.plan, self.world, self.rng = out, plan, world, rng
        self.geometry = Geometry(rng, world)
        self.lidar = Lidar(self.geometry, world.paint, plan.beams, plan.columns)
        self.light = Light.draw(rng)
        cameras = front_cameras(plan.cameras)
        self.views = {
            index: CameraView(camera, plan.image_size) for index, camera in enumerate(CAMERAS) if camera in cameras
        }
        self.annotator = Annotator(rng, self.geometry)
        self.ego = _Ego(rng, world.ego)
        tokens = Tokens("/".join(map(str, (*plan.seed, plan.name))))
        self.tables = SceneTables(plan.name, tokens, np.array([*plan.shift, 0.0]), plan.start)

    def record(self, times: list[float]) -> dict[str, Any]:
        self.tables.add_samples(times, self.plan.location, "2024-01-01")
        boxes: dict[int, list[tuple[int, Box]]] = {}
        for keyframe, time in enumerate(times):
            if keyframe:
                for back in range(self.plan.sweeps, 0, -1):
                    earlier = time - back * ROTATION_PERIOD
                    self._lidar(earlier, self._moments(earlier), keyframe, is_key=False)
            moments = self._moments(time)
            sweep = self._lidar(time, moments, keyframe, is_key=True)
            for index, view in self.views.items():
                self._write_image(view, moments[index], keyframe, index)
            for box in self.annotator.boxes(time, self.ego.pose(time), sweep, moments):
                boxes.setdefault(box.thing, []).append((keyframe, box))
        self._annotate(boxes)
        layers = map_of(self.world, Tokens(f"{self.plan.name}/map"), np.array(self.plan.shift))
        return {"tables": self.tables.rows, "map": layers, "location": self.plan.location}

    def _moments(self, time: float) -> list[Moment]:
        """The moving objects at each camera's exposure, for the rotation that ends at `time`."""
        pose = self.ego.pose(time)
        return [self.geometry.moment(time - camera.delay, pose, camera) for camera in CAMERAS]

    def _lidar(self, time: float, moments: list[Moment], keyframe: int, *, is_key: bool) -> Sweep:
        pose = self.ego.pose(time)
        sweep = self.lidar.sweep(self.rng, moments, pose, self.ego.pose(time - ROTATION_PERIOD))
        row = self.tables.add_data(LIDAR_CHANNEL, time, keyframe, pose, is_key=is_key, size=(0, 0))
        write_bytes(self.out / row["filename"], sweep.point.tobytes())
        if is_key:
            filename = f"lidarseg/{self.plan.version}/{row['token']}_lidarseg.bin"
            write_bytes(self.out / filename, sweep.label.tobytes())
            self.tables.add_lidarseg(row["token"], filename)
        return sweep

    def _write_image(self, view: CameraView, moment: Moment, keyframe: int, index: int) -> None:
        pose, key = self.ego.pose(moment.time), keyframe * len(CAMERAS) + index
        pixels = view.render(self.geometry, moment, self.world.paint, self.light, pose, key)
        channel, size = view.camera.channel, self.plan.image_size
        row = self.tables.add_data(channel, moment.time, keyframe, pose, is_key=True, size=size)
        _, encoded = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        write_bytes(self.out / row["filename"], encoded.tobytes())

    def _annotate(self, boxes: dict[int, list[tuple[int, Box]]]) -> None:
        """Annotate each object from the first to the last keyframe at which the LiDAR hits it."""
        for index, found in sorted(boxes.items()):
            hit = [keyframe for keyframe, box in found if box.points > 0]
            if hit:
                kept = [(k, self.annotator.row(box, self.tables.shift)) for k, box in found if hit[0] <= k <= hit[-1]]
                self.tables.add_instance(index, self.geometry.things[index].category, kept)

"""Rows of one scene in nuScenes' tables, and the tables shared by all scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.simulate.categories import ATTRIBUTES, CATEGORIES, VISIBILITIES
from data_prep.simulate.rig import LIDAR_CHANNEL, LIDAR_ROTATION, LIDAR_TRANSLATION, Camera
from data_prep.simulate.tokens import Tokens

Row = dict[str, Any]
SHARED = Tokens("simulated nuScenes")
SCENE_TABLES = ("ego_pose", "sample", "sample_data", "sample_annotation", "instance", "lidarseg", "scene", "log")


def shared_tables(cameras: Sequence[Camera], image_size: tuple[int, int]) -> dict[str, list[Row]]:
    """category, attribute, visibility, and the sensor and calibrated_sensor of the LiDAR and of `cameras`."""
    sensors = [(LIDAR_CHANNEL, "lidar"), *((camera.channel, "camera") for camera in cameras)]
    calibrated = [_calibrated(LIDAR_CHANNEL, LIDAR_TRANSLATION, LIDAR_ROTATION, [])]
    calibrated += [
        _calibrated(camera.channel, camera.translation, camera.rotation, camera.intrinsic(image_size).tolist())
        for camera in cameras
    ]
    return {
        "category": [
            {"token": SHARED.of("category", name), "name": name, "description": "", "index": index}
            for index, name in enumerate(CATEGORIES)
        ],
        "attribute": [{"token": SHARED.of("attribute", name), "name": name, "description": ""} for name in ATTRIBUTES],
        "visibility": [
            {
                "token": token,
                "level": level,
                "description": f"visibility of whole object is between {level[1:].replace('-', ' and ')}%",
            }
            for token, level in VISIBILITIES
        ],
        "sensor": [{"token": SHARED.of("sensor", name), "channel": name, "modality": kind} for name, kind in sensors],
        "calibrated_sensor": calibrated,
    }


def _calibrated(channel: str, translation: tuple, rotation: tuple, intrinsic: list) -> Row:
    unit = np.array(rotation) / np.linalg.norm(rotation)
    return {
        "token": SHARED.of("calibrated_sensor", channel),
        "sensor_token": SHARED.of("sensor", channel),
        "translation": list(translation),
        "rotation": unit.tolist(),
        "camera_intrinsic": intrinsic,
    }


def quaternion(rotation: NDArray) -> list[float]:
    """(w, x, y, z), w >= 0, of a rotation matrix [3, 3] (Shepperd's method)."""
    m = rotation
    square = np.array(
        [
            1 + m[0, 0] + m[1, 1] + m[2, 2],
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
        ]
    )
    k = int(np.argmax(square))
    root = np.sqrt(square[k])
    a, b, c = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    d, e, f = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    q = (
        0.5
        * np.array([[square[0], a, b, c], [a, square[1], d, e], [b, d, square[2], f], [c, e, f, square[3]]][k])
        / root
    )
    q = q if q[0] >= 0 else -q
    return [float(value) for value in q / np.linalg.norm(q)]


@dataclass
class SceneTables:
    """Collects one scene's rows.

    Args:
        name: of the scene.
        tokens: of the scene.
        shift: [3] metres from the scene frame to the global frame.
        start: time of the first keyframe, microseconds.
    """

    name: str
    tokens: Tokens
    shift: NDArray[np.float64]
    start: int
    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in SCENE_TABLES})
    _last: dict[str, Row] = field(default_factory=dict)  # the latest sample_data of each channel

    def timestamp(self, time: float) -> int:
        """Microseconds of a time in seconds after the first keyframe."""
        return self.start + round(time * 1e6)

    def add_samples(self, times: list[float], location: str, date: str) -> None:
        """The keyframes, the scene and its log."""
        tokens = [self.tokens.of("sample", k) for k in range(len(times))]
        scene = self.tokens.of("scene", self.name)
        for k, time in enumerate(times):
            self.rows["sample"].append(
                {
                    "token": tokens[k],
                    "timestamp": self.timestamp(time),
                    "prev": tokens[k - 1] if k else "",
                    "next": tokens[k + 1] if k + 1 < len(times) else "",
                    "scene_token": scene,
                }
            )
        log = self.tokens.of("log", self.name)
        self.rows["scene"].append(
            {
                "token": scene,
                "log_token": log,
                "nbr_samples": len(times),
                "first_sample_token": tokens[0],
                "last_sample_token": tokens[-1],
                "name": self.name,
                "description": "simulated street",
            }
        )
        self.rows["log"].append(
            {"token": log, "logfile": self.name, "vehicle": "simulated", "date_captured": date, "location": location}
        )

    def add_data(
        self, channel: str, time: float, keyframe: int, scene_from_ego: NDArray, *, is_key: bool, size: tuple[int, int]
    ) -> Row:
        """One file of a sensor: its row, linked to the channel's row before it, and its ego pose."""
        stamp = self.timestamp(time)
        token = self.tokens.of("sample_data", f"{channel}/{stamp}")
        ending = "pcd.bin" if channel == LIDAR_CHANNEL else "jpg"
        folder = "samples" if is_key else "sweeps"
        row = {
            "token": token,
            "sample_token": self.tokens.of("sample", keyframe),
            "ego_pose_token": token,
            "calibrated_sensor_token": SHARED.of("calibrated_sensor", channel),
            "timestamp": stamp,
            "fileformat": "pcd" if channel == LIDAR_CHANNEL else "jpg",
            "is_key_frame": is_key,
            "height": size[1],
            "width": size[0],
            "filename": f"{folder}/{channel}/{self.name}__{channel}__{stamp}.{ending}",
            "prev": "",
            "next": "",
        }
        before = self._last.get(channel)
        if before is not None:
            before["next"], row["prev"] = token, before["token"]
        self._last[channel] = row
        self.rows["sample_data"].append(row)
        self.rows["ego_pose"].append(
            {
                "token": token,
                "timestamp": stamp,
                "rotation": quaternion(scene_from_ego[:3, :3]),
                "translation": (scene_from_ego[:3, 3] + self.shift).tolist(),
            }
        )
        return row

    def add_lidarseg(self, sample_data: str, filename: str) -> None:
        self.rows["lidarseg"].append({"token": sample_data, "sample_data_token": sample_data, "filename": filename})

    def add_instance(self, number: int, category: str, boxes: list[tuple[int, Row]]) -> None:
        """One object: `boxes` are (keyframe, fields of its annotation) in order of time."""
        tokens = [self.tokens.of("sample_annotation", f"{number}/{keyframe}") for keyframe, _ in boxes]
        instance = self.tokens.of("instance", number)
        for k, (keyframe, fields) in enumerate(boxes):
            self.rows["sample_annotation"].append(
                {
                    "token": tokens[k],
                    "sample_token": self.tokens.of("sample", keyframe),
                    "instance_token": instance,
                    **fields,
                    "prev": tokens[k - 1] if k else "",
                    "next": tokens[k + 1] if k + 1 < len(boxes) else "",
                    "num_radar_pts": 0,
                }
            )
        self.rows["instance"].append(
            {
                "token": instance,
                "category_token": SHARED.of("category", category),
                "nbr_annotations": len(boxes),
                "first_annotation_token": tokens[0],
                "last_annotation_token": tokens[-1],
            }
        )

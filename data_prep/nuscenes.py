"""nuScenes keyframes: LiDAR with merged sweeps, cameras, labels and instances of points, boxes, maps.

    reader = NuScenesReader(Path("/data/nuscenes"), "v1.0-trainval", sweeps=10)
    frame = reader.frames("train")[0]
    raw = reader.source(frame).read()

All poses go through the global frame, each sensor with the ego pose of its own time stamp.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_prep.bev_map import MapElements
from data_prep.nuscenes_map import GRID, MAP_LAYERS, LocationMap
from data_prep.nuscenes_names import (
    ATTRIBUTES,
    BOX_CLASSES,
    LABEL_CLASSES,
    VERIFYING_SCENES,
    attribute_class,
    box_class,
    label_class,
)
from data_prep.nuscenes_source import Annotation, CameraFile, NuScenesSource, SweepFile
from data_prep.projection import PinholeCamera
from data_prep.reader import FrameName, of_split, read_splits
from pc_ssl.data.cache import TIME, XYZ
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import inside
from pc_ssl.geometry import invert, transform_from

if TYPE_CHECKING:
    from data_prep.nuscenes_tables import NuScenesTables

LIDAR = "LIDAR_TOP"
MAX_SWEEPS = 10  # half a second at 20 Hz: the devkit's and the detection task's limit
MAX_STEP_S = 1.5  # between annotations of one object that tell its velocity; the devkit's limit
Record = dict[str, Any]


class NuScenesReader:
    """Reads a nuScenes data root. The tables are loaded at the first use.

    Args:
        root: data root, which holds `samples/` and the version's folder.
        version: such as "v1.0-mini".
        sweeps: number of LiDAR sweeps per frame: the key sweep and the ones before it.

    Raises:
        UserError: no such root or version, or a missing table.
        UsageError: sweeps is out of range.
    """

    def __init__(self, root: Path, version: str, sweeps: int = 1) -> None:
        from data_prep.nuscenes_tables import check_tables_exist

        if not 1 <= sweeps <= MAX_SWEEPS:
            raise UsageError(f"sweeps: {sweeps} is not in 1..{MAX_SWEEPS}")
        check_tables_exist(root, version)
        self.root, self.version, self.sweeps = root, version, sweeps

    def options(self) -> dict[str, Any]:
        return {"dataset": "nuscenes", "version": self.version, "sweeps": self.sweeps, "bev_map": asdict(GRID)}

    def classes(self) -> dict[str, list[str]]:
        return {"label": LABEL_CLASSES, "box": BOX_CLASSES, "attribute": ATTRIBUTES, "map": list(MAP_LAYERS)}

    def columns(self) -> tuple[str, ...]:
        return (*XYZ, "intensity", TIME) if self.sweeps > 1 else (*XYZ, "intensity")

    def splits(self) -> dict[str, list[str]]:
        """The devkit's splits, SLidR's two parts of "train", and those of <version>/splits.json."""
        from nuscenes.utils.splits import create_splits_scenes

        splits = dict(create_splits_scenes())
        splits["parametrizing"] = sorted(set(splits["train"]) - set(VERIFYING_SCENES))
        splits["verifying"] = list(VERIFYING_SCENES)
        path = self.root / self.version / "splits.json"
        for name, scenes in (read_splits(path) if path.is_file() else {}).items():
            if name in splits:
                raise UserError(f"{path}: {name!r} is a split of nuScenes itself; give this one another name")
            splits[name] = scenes
        return splits

    def absent(self) -> list[str]:
        missing = []
        if not self._has_sweeps:
            missing.append("sweeps (frames hold the key sweep alone)")
        if not self._lidarseg_files:
            missing.append("lidarseg (no point labels)")
        if not self._panoptic_files:
            missing.append("panoptic (no instances of points)")
        if not self._tables.sample_annotation:
            missing.append("annotations (no boxes)")
        if not self._maps:
            missing.append("map expansion (no BEV maps)")
        return missing

    def frames(self, split: str | None) -> list[FrameName]:
        names = (scene["name"] for scene in self._tables.scene)
        scenes = of_split(self, split, names, self.root / self.version / "scene.json")
        frames: dict[str, list[FrameName]] = {scene: [] for scene in scenes}
        for sample in self._tables.sample:
            scene = self._tables.get("scene", sample["scene_token"])["name"]
            if scene in frames:
                frames[scene].append(FrameName(sample["token"], scene, sample["timestamp"]))
        return [frame for scene in scenes for frame in sorted(frames[scene], key=lambda frame: frame.timestamp_us)]

    def source(self, frame: FrameName) -> NuScenesSource:
        tables = self._tables
        sample = tables.get("sample", frame.token)
        key = self._recording(sample, LIDAR)
        global_from_lidar = self._global_from_sensor(key)
        cameras = [
            self._camera_file(channel, self._recording(sample, channel), global_from_lidar) for channel in self._cameras
        ]
        annotated = bool(tables.sample_annotation)
        return NuScenesSource(
            root=self.root,
            sweeps=tuple(self._sweep_files(key, global_from_lidar)),
            with_lag=self.sweeps > 1,
            label_file=self._lidarseg_files.get(key["token"]),
            panoptic_file=self._panoptic_files.get(key["token"]),
            class_of_label=self._class_of_label,
            annotations=tuple(self._annotation(token) for token in sample["anns"]) if annotated else None,
            map_elements=self._map_elements(sample, global_from_lidar),
            ego_pose=self._pose("ego_pose", key["ego_pose_token"]),
            global_from_lidar=global_from_lidar,
            cameras=tuple(cameras),
        )

    @cached_property
    def _tables(self) -> NuScenesTables:
        from data_prep.nuscenes_tables import NuScenesTables

        return NuScenesTables(self.root, self.version)

    @cached_property
    def _has_sweeps(self) -> bool:
        """Whether the recordings between the keyframes are there: in the table, and on the disk."""
        listed = any(not record["is_key_frame"] and record["channel"] == LIDAR for record in self._tables.sample_data)
        return listed and (self.root / "sweeps" / LIDAR).is_dir()

    @cached_property
    def _cameras(self) -> list[str]:
        return [sensor["channel"] for sensor in self._tables.sensor if sensor["modality"] == "camera"]

    @cached_property
    def _lidarseg_files(self) -> dict[str, str]:
        return self._label_files("lidarseg")

    @cached_property
    def _panoptic_files(self) -> dict[str, str]:
        return self._label_files("panoptic")

    def _label_files(self, table: str) -> dict[str, str]:
        """LiDAR recording -> its file of a table that may be missing."""
        return {record["sample_data_token"]: record["filename"] for record in getattr(self._tables, table, ())}

    @cached_property
    def _class_of_label(self) -> NDArray[np.int16]:
        """[256]: index into LABEL_CLASSES of each value of a label file; -1 for values that no category has."""
        classes = np.full(256, -1, np.int16)
        if self._lidarseg_files or self._panoptic_files:
            for row, category in enumerate(self._tables.category):
                if not 0 <= category["index"] < 256:
                    raise UserError(f"{self._tables.path_of('category')}: index of record {row} is not in 0..255")
                classes[category["index"]] = label_class(category["name"])
        return classes

    @cached_property
    def _maps(self) -> dict[str, LocationMap]:
        """Location -> its map; without those whose file is not there."""
        locations = {log["location"] for log in self._tables.log}
        files = {name: inside(self.root, f"maps/expansion/{name}.json") for name in sorted(locations)}
        return {name: LocationMap.read(file) for name, file in files.items() if file.is_file()}

    def _map_elements(self, sample: Record, global_from_lidar: NDArray[np.float64]) -> dict[str, MapElements] | None:
        scene = self._tables.get("scene", sample["scene_token"])
        location = self._tables.get("log", scene["log_token"])["location"]
        return self._maps[location].near(global_from_lidar, GRID.reach) if location in self._maps else None

    def _recording(self, sample: Record, channel: str) -> Record:
        if channel not in sample["data"]:
            raise UserError(
                f"{self._tables.path_of('sample_data')}: sample {sample['token']!r} has no keyframe of {channel}"
            )
        return self._tables.get("sample_data", sample["data"][channel])

    def _pose(self, table: str, token: str) -> NDArray[np.float64]:
        """[4, 4] of a record with a translation and a rotation."""
        record = self._tables.get(table, token)
        translation, rotation = (self._numbers(table, record, name, size) for name, size in _POSE_FIELDS)
        if not np.linalg.norm(rotation) > 0:
            raise UserError(f"{self._tables.path_of(table)}: rotation of record {token!r} is zero")
        return transform_from(rotation, translation)

    def _numbers(self, table: str, record: Record, field: str, size: int) -> NDArray[np.float64]:
        try:
            values = np.array(record[field], dtype=np.float64).ravel()
        except (TypeError, ValueError):
            values = np.array([np.nan])
        if len(values) != size or not np.isfinite(values).all():
            raise UserError(
                f"{self._tables.path_of(table)}: {field} of record {record['token']!r} is {record[field]!r}, "
                f"expected {size} numbers"
            )
        return values

    def _global_from_sensor(self, recording: Record) -> NDArray[np.float64]:
        ego_from_sensor = self._pose("calibrated_sensor", recording["calibrated_sensor_token"])
        return self._pose("ego_pose", recording["ego_pose_token"]) @ ego_from_sensor

    def _sweep_files(self, key: Record, global_from_key: NDArray[np.float64]) -> list[SweepFile]:
        files = [SweepFile(key["filename"], np.eye(4), 0.0)]
        recording = key
        while len(files) < self.sweeps and recording["prev"] != "" and self._has_sweeps:
            recording = self._tables.get("sample_data", recording["prev"])
            key_from_sweep = invert(global_from_key) @ self._global_from_sensor(recording)
            files.append(
                SweepFile(recording["filename"], key_from_sweep, 1e-6 * (key["timestamp"] - recording["timestamp"]))
            )
        return files

    def _camera_file(self, channel: str, recording: Record, global_from_lidar: NDArray[np.float64]) -> CameraFile:
        sensor = self._tables.get("calibrated_sensor", recording["calibrated_sensor_token"])
        intrinsic = self._numbers("calibrated_sensor", sensor, "camera_intrinsic", 9).reshape(3, 3)
        camera_from_lidar = invert(self._global_from_sensor(recording)) @ global_from_lidar
        camera = PinholeCamera(recording["width"], recording["height"], intrinsic, camera_from_lidar)
        return CameraFile(channel, recording["filename"], recording["token"], camera)

    def _annotation(self, token: str) -> Annotation:
        record = self._tables.get("sample_annotation", token)
        return Annotation(
            global_from_box=self._pose("sample_annotation", token),
            size_wlh=self._numbers("sample_annotation", record, "size", 3),
            velocity_global=self._velocity(record),
            box_class=box_class(record["category_name"]),
            attribute=self._attribute(record),
            points=record["num_lidar_pts"] + record["num_radar_pts"],
        )

    def _velocity(self, record: Record) -> NDArray[np.float64]:
        """[3] metres a second in the global frame, between the annotations before and after, as the devkit defines it;
        NaN if there are none or they are too far apart in time."""
        before, after = (
            self._tables.get("sample_annotation", record[end]) if record[end] != "" else None
            for end in ("prev", "next")
        )
        first, last = before or record, after or record
        seconds = self._time_s(last) - self._time_s(first)
        steps = (before is not None) + (after is not None)
        if not 0 < seconds <= steps * MAX_STEP_S:
            return np.full(3, np.nan)
        positions = [self._numbers("sample_annotation", end, "translation", 3) for end in (first, last)]
        return (positions[1] - positions[0]) / seconds

    def _time_s(self, annotation: Record) -> float:
        return 1e-6 * self._tables.get("sample", annotation["sample_token"])["timestamp"]

    def _attribute(self, record: Record) -> int:
        """Index into ATTRIBUTES of the box's first attribute; 0 without one."""
        if not record["attribute_tokens"]:
            return 0
        return attribute_class(self._tables.get("attribute", record["attribute_tokens"][0])["name"])


_POSE_FIELDS = (("translation", 3), ("rotation", 4))

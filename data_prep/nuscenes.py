"""nuScenes keyframes: LiDAR with merged sweeps, cameras, point labels and boxes.

    reader = NuScenesReader(Path("/data/nuscenes"), "v1.0-trainval", sweeps=10)
    frame = reader.frames("train")[0]
    raw = reader.source(frame).read()

All poses go through the global frame, each sensor with the ego pose of its own time stamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_prep.images import check_jpeg
from data_prep.nuscenes_names import BOX_CLASSES, LABEL_CLASSES, VERIFYING_SCENES, box_class, label_class
from data_prep.projection import PinholeCamera
from data_prep.reader import FrameName, RawFrame
from data_prep.sweeps import is_return, merge, read_bytes, read_sweep
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import inside, read_json
from pc_ssl.geometry import invert, transform_from, yaw_of

if TYPE_CHECKING:
    from data_prep.nuscenes_tables import NuScenesTables

LIDAR = "LIDAR_TOP"
MAX_SWEEPS = 10  # half a second at 20 Hz: the devkit's and the detection task's limit
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
        return {"dataset": "nuscenes", "version": self.version, "sweeps": self.sweeps}

    def classes(self) -> dict[str, list[str]]:
        return {"label": LABEL_CLASSES, "box": BOX_CLASSES}

    def splits(self) -> dict[str, list[str]]:
        """The devkit's splits, SLidR's two parts of "train", and those of <version>/splits.json."""
        from nuscenes.utils.splits import create_splits_scenes

        splits = dict(create_splits_scenes())
        splits["parametrizing"] = sorted(set(splits["train"]) - set(VERIFYING_SCENES))
        splits["verifying"] = list(VERIFYING_SCENES)
        path = self.root / self.version / "splits.json"
        own = read_json(path) if path.is_file() else {}
        if not isinstance(own, dict):
            raise UserError(f"{path}: expected an object of split names, each with a list of scene names")
        for name, scenes in own.items():
            if not isinstance(scenes, list) or not all(isinstance(scene, str) for scene in scenes):
                raise UserError(f"{path}: split {name!r} is not a list of scene names")
            if name in splits:
                raise UserError(f"{path}: {name!r} is a split of nuScenes itself; give this one another name")
            splits[name] = scenes
        return splits

    def absent(self) -> list[str]:
        missing = []
        if not self._has_sweeps:
            missing.append("sweeps (frames hold the key sweep alone)")
        if not self._label_files:
            missing.append("lidarseg (no point labels)")
        if not self._tables.sample_annotation:
            missing.append("annotations (no boxes)")
        if not any((self.root / "maps" / "expansion").glob("*.json")):
            missing.append("map expansion")
        return missing

    def frames(self, split: str | None) -> list[FrameName]:
        scenes = [scene["name"] for scene in self._tables.scene]
        if split is not None:
            wanted = set(self.splits()[split])
            scenes = [scene for scene in scenes if scene in wanted]
            if not scenes:
                raise UserError(f"{self.root / self.version / 'scene.json'}: no scene of split {split!r} is there")
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
        label_file = self._label_files.get(key["token"])
        annotated = bool(tables.sample_annotation)
        return NuScenesSource(
            root=self.root,
            sweeps=tuple(self._sweep_files(key, global_from_lidar)),
            with_lag=self.sweeps > 1,
            label_file=label_file,
            class_of_label=self._class_of_label if label_file else None,
            annotations=tuple(self._annotation(token) for token in sample["anns"]) if annotated else None,
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
    def _label_files(self) -> dict[str, str]:
        """LiDAR recording -> its label file."""
        return {record["sample_data_token"]: record["filename"] for record in getattr(self._tables, "lidarseg", ())}

    @cached_property
    def _class_of_label(self) -> NDArray[np.int16]:
        """[256]: index into LABEL_CLASSES of each value of a label file; -1 for values that no category has."""
        classes = np.full(256, -1, np.int16)
        for row, category in enumerate(self._tables.category):
            if not 0 <= category["index"] < 256:
                raise UserError(f"{self._tables.path_of('category')}: index of record {row} is not in 0..255")
            classes[category["index"]] = label_class(category["name"])
        return classes

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
            velocity_global=self._tables.box_velocity(token),
            box_class=box_class(record["category_name"]),
        )


_POSE_FIELDS = (("translation", 3), ("rotation", 4))


@dataclass(frozen=True)
class SweepFile:
    """A sweep: its file below the root, [4, 4] from its frame to the key sweep's, and how long before that it began."""

    file: str
    key_from_sweep: NDArray[np.float64]
    lag_s: float


@dataclass(frozen=True)
class CameraFile:
    """A camera's image: its file below the root, its token in the table sample_data."""

    channel: str
    file: str
    token: str
    camera: PinholeCamera


@dataclass(frozen=True)
class Annotation:
    """A box as the tables give it: pose in the global frame, width, length, height, velocity [3] (NaN: unknown)."""

    global_from_box: NDArray[np.float64]
    size_wlh: NDArray[np.float64]
    velocity_global: NDArray[np.float64]
    box_class: int


@dataclass(frozen=True)
class NuScenesSource:
    """Everything that reading one keyframe takes, without the tables; the key sweep is the first of `sweeps`."""

    root: Path
    sweeps: tuple[SweepFile, ...]
    with_lag: bool
    label_file: str | None
    class_of_label: NDArray[np.int16] | None
    annotations: tuple[Annotation, ...] | None
    ego_pose: NDArray[np.float64]
    global_from_lidar: NDArray[np.float64]
    cameras: tuple[CameraFile, ...]

    def read(self) -> RawFrame:
        """Read the sensors' files.

        Raises:
            UserError: a file is missing or damaged.
        """
        sweeps = [read_sweep(inside(self.root, sweep.file)) for sweep in self.sweeps]
        lags_s = [sweep.lag_s for sweep in self.sweeps] if self.with_lag else None
        points = merge(sweeps, [sweep.key_from_sweep for sweep in self.sweeps], lags_s)
        kept = is_return(sweeps[0])
        box, classes = self._boxes() if self.annotations is not None else (None, None)
        return RawFrame(
            points=points,
            key_points=int(kept.sum()),
            label=self._labels(kept, len(points)),
            box=box,
            box_class=classes,
            ego_pose=self.ego_pose,
            global_from_lidar=self.global_from_lidar,
            cameras={camera.channel: camera.camera for camera in self.cameras},
            images={camera.channel: self._image(camera) for camera in self.cameras},
            image_names={camera.channel: camera.token for camera in self.cameras},
        )

    def _labels(self, kept: NDArray[np.bool_], num_points: int) -> NDArray[np.uint8] | None:
        """Labels of the kept points of the key sweep; points of the other sweeps are not labelled."""
        if self.label_file is None or self.class_of_label is None:
            return None
        path = inside(self.root, self.label_file)
        value = np.frombuffer(read_bytes(path), np.uint8)
        if len(value) != len(kept):
            raise UserError(f"{path}: holds {len(value)} labels, but the sweep has {len(kept)} points")
        classes = self.class_of_label[value]
        if (classes < 0).any():
            unknown = value[classes < 0][0]
            raise UserError(f"{path}: holds label {unknown}, which is no index in category.json")
        label = np.zeros(num_points, np.uint8)
        label[: kept.sum()] = classes[kept]
        return label

    def _boxes(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """[M, 9] x y z l w h yaw vx vy in the LiDAR frame, and [M] classes."""
        lidar_from_global = invert(self.global_from_lidar)
        annotations: Sequence[Annotation] = self.annotations or ()
        box = np.empty((len(annotations), 9), np.float32)
        for row, annotation in zip(box, annotations, strict=True):
            lidar_from_box = lidar_from_global @ annotation.global_from_box
            width, length, height = annotation.size_wlh
            velocity = lidar_from_global[:3, :3] @ annotation.velocity_global
            row[:] = (*lidar_from_box[:3, 3], length, width, height, yaw_of(lidar_from_box), *velocity[:2])
        return box, np.array([annotation.box_class for annotation in annotations], np.uint8)

    def _image(self, camera: CameraFile) -> bytes:
        path = inside(self.root, camera.file)
        content = read_bytes(path)
        check_jpeg(path, content, camera.camera.width, camera.camera.height)
        return content

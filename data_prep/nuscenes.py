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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.bev_map import MapElements
from data_prep.nuscenes_classes import ClassNames
from data_prep.nuscenes_columns import NONE
from data_prep.nuscenes_index import indexed_tables
from data_prep.nuscenes_map import GRID, MAP_LAYERS, LocationMap
from data_prep.nuscenes_names import (
    ATTRIBUTES,
    BOX_CLASSES,
    LABEL_CLASSES,
    VERIFYING_SCENES,
)
from data_prep.nuscenes_source import Annotation, CameraFile, NuScenesSource, SweepFile
from data_prep.nuscenes_tables import LIDAR, NuScenesTables, check_tables_exist
from data_prep.point_files.layout import PointLayout
from data_prep.projection import PinholeCamera
from data_prep.reader import FrameName, of_split, read_splits
from data_prep.sweeps import LAYOUT
from pc_ssl.data.cache import TIME, XYZ
from pc_ssl.errors import UsageError, UserError
from pc_ssl.extras import extra
from pc_ssl.files import inside
from pc_ssl.geometry import invert, transform_from

SPLITS_OF_VERSION = {
    "v1.0-trainval": ("train", "val"),
    "v1.0-mini": ("mini_train", "mini_val"),
    "v1.0-test": ("test",),
}
MAX_SWEEPS = 10  # half a second at 20 Hz: the devkit's and the detection task's limit


class NuScenesReader:
    """Reads a nuScenes data root. The tables are loaded on first use.

    Args:
        root: data root with `samples/` and the version's folder.
        version: such as "v1.0-mini".
        sweeps: number of LiDAR sweeps per frame: the key sweep and the ones before it.
        index: file of the tables' columns, used if valid, see `indexed_tables`.
        keep_index: write that file if it is missing.
        images: whether to read images.
        layout: of the files of points.
        classes: file that maps the recording's names of categories and attributes to classes, see `ClassNames.read`.

    Raises:
        UserError: the root or version does not exist, or a table is missing.
        UsageError: sweeps is out of range.
    """

    def __init__(
        self,
        root: Path,
        version: str,
        sweeps: int = 1,
        *,
        index: Path | None = None,
        keep_index: bool = True,
        images: bool = True,
        classes: Path | None = None,
        layout: PointLayout = LAYOUT,
    ) -> None:
        if not 1 <= sweeps <= MAX_SWEEPS:
            raise UsageError(f"sweeps: {sweeps} is not in 1..{MAX_SWEEPS}")
        check_tables_exist(root, version)
        self.root, self.version, self.sweeps = root, version, sweeps
        self.index, self.keep_index, self.images = index, keep_index, images
        self.layout = layout
        self.names = ClassNames() if classes is None else ClassNames.read(classes)

    def options(self) -> dict[str, Any]:
        options = {"dataset": "nuscenes", "version": self.version, "sweeps": self.sweeps, "bev_map": asdict(GRID)}
        if not self.images:  # recorded only if False, so that older caches without this option remain valid
            options["cameras"] = "none"
        if self.names != ClassNames():
            options["classes"] = asdict(self.names)
        return options | self.layout.changes(LAYOUT)

    def classes(self) -> dict[str, list[str]]:
        return {"label": LABEL_CLASSES, "box": BOX_CLASSES, "attribute": ATTRIBUTES, "map": list(MAP_LAYERS)}

    def columns(self) -> tuple[str, ...]:
        own = (*XYZ, *self.layout.features)
        return (*own, TIME) if self.sweeps > 1 else own

    def splits(self) -> dict[str, list[str]]:
        """The devkit's splits, SLidR's two parts of "train", and those of <version>/splits.json.

        A list of splits.json replaces an official split of which the root has no scene, as in a simulated root.

        Raises:
            UserError: splits.json cannot be read, or lists an official split of which the root has scenes.
        """
        with extra("nuscenes", "reading nuScenes' splits"):
            from nuscenes.utils.splits import create_splits_scenes

        splits = dict(create_splits_scenes())
        splits["parametrizing"] = sorted(set(splits["train"]) - set(VERIFYING_SCENES))
        splits["verifying"] = list(VERIFYING_SCENES)
        path = self.root / self.version / "splits.json"
        for name, scenes in (read_splits(path) if path.is_file() else {}).items():
            if name in splits and not set(splits[name]).isdisjoint(self._tables.names.scene):
                raise UserError(f"{path}: {name!r} is an official split of nuScenes; rename this one")
            splits[name] = scenes
        return splits

    def absent(self) -> list[str]:
        missing = []
        if not self._has_sweeps:
            missing.append("sweeps (frames hold only the key sweep)")
        if not any(self._tables.recordings.lidarseg_file.end):
            missing.append("lidarseg (no point labels)")
        if not any(self._tables.recordings.panoptic_file.end):
            missing.append("panoptic (no instances of points)")
        if not self._is_annotated:
            missing.append("annotations (no boxes)")
        if not self._maps:
            missing.append("map expansion (no BEV maps)")
        if self._cameras_without_files and self.images:
            missing.append(f"images of {', '.join(self._cameras_without_files)}")
        return missing + self._incomplete_splits()

    def _incomplete_splits(self) -> list[str]:
        """Splits of this version or of splits.json that lack scenes."""
        splits, there = self.splits(), set(self._tables.names.scene)
        path = self.root / self.version / "splits.json"
        own = [*read_splits(path)] if path.is_file() else []
        found = []
        for name in dict.fromkeys((*SPLITS_OF_VERSION.get(self.version, ()), *own)):
            lost = [scene for scene in splits[name] if scene not in there]
            if own and name not in own and len(lost) == len(splits[name]):
                continue  # a root with its own scenes, such as a simulated one
            if lost:
                found.append(f"{len(lost)} of {len(splits[name])} scenes of split {name} ({lost[0]} is the first)")
        return found

    def frames(self, split: str | None) -> list[FrameName]:
        names, samples = list(self._tables.names.scene), self._tables.samples
        scenes = of_split(self, split, names, self.root / self.version / "scene.json")
        frames: dict[str, list[FrameName]] = {scene: [] for scene in scenes}
        for token, row, time_us in zip(samples.token, samples.scene.tolist(), samples.time_us.tolist(), strict=True):
            if names[row] in frames:
                frames[names[row]].append(FrameName(token, names[row], time_us))
        return [frame for scene in scenes for frame in sorted(frames[scene], key=lambda frame: frame.timestamp_us)]

    def source(self, frame: FrameName) -> NuScenesSource:
        tables, row = self._tables, self._row_of_sample[frame.token]
        files = tables.recordings
        key = int(tables.samples.keyframe[row, 0])
        if key == NONE:
            path = self.root / self.version / "sample_data.json"
            raise UserError(f"{path}: sample {frame.token!r} has no keyframe of {LIDAR}")
        global_from_lidar = self._global_from_sensor(key)
        cameras = [
            self._camera_file(channel, int(recording), global_from_lidar)
            for channel, recording in zip(tables.names.camera, tables.samples.keyframe[row, 1:], strict=True)
            if self.images and recording != NONE and channel not in self._cameras_without_files
        ]
        return NuScenesSource(
            root=self.root,
            sweeps=tuple(self._sweep_files(key, global_from_lidar)),
            with_lag=self.sweeps > 1,
            label_file=files.lidarseg_file[key] or None,
            panoptic_file=files.panoptic_file[key] or None,
            class_of_label=self._class_of_label,
            unknown_labels=self._unknown_labels,
            annotations=self._annotations(row) if self._is_annotated else None,
            map_elements=self._map_elements(row, global_from_lidar),
            ego_pose=_transform(files.ego[key]),
            global_from_lidar=global_from_lidar,
            cameras=tuple(cameras),
            layout=self.layout,
        )

    @cached_property
    def _tables(self) -> NuScenesTables:
        return indexed_tables(self.root, self.version, self.index, keep=self.keep_index)

    @cached_property
    def _row_of_sample(self) -> dict[str, int]:
        return {token: row for row, token in enumerate(self._tables.samples.token)}

    @cached_property
    def _is_annotated(self) -> bool:
        return len(self._tables.boxes.points) > 0

    @cached_property
    def _has_sweeps(self) -> bool:
        """Whether recordings between keyframes exist in the table and on the disk."""
        return not self._tables.recordings.is_key.all() and (self.root / "sweeps" / LIDAR).is_dir()

    @cached_property
    def _cameras_without_files(self) -> list[str]:
        """Cameras without a folder of images; single missing images are left out and counted."""
        samples, files = self._tables.samples, self._tables.recordings
        found = []
        for number, channel in enumerate(self._tables.names.camera, 1):
            rows = samples.keyframe[:, number]
            first = int(rows[(rows != NONE).argmax()]) if len(rows) else NONE
            if first == NONE or not inside(self.root, files.file[first]).parent.is_dir():
                found.append(channel)
        return found

    @cached_property
    def _points_are_counted(self) -> bool:
        """Whether the tables have the number of returns in boxes; Lyft's hold -1."""
        return bool((self._tables.boxes.points > 0).any())

    @cached_property
    def _unknown_labels(self) -> dict[int, str]:
        """Values of label files whose category has no known class."""
        names = self._tables.names
        pairs = zip(names.category_index.tolist(), names.category, strict=True)
        return {index: name for index, name in pairs if index != NONE and not self.names.knows_category(name)}

    @cached_property
    def _class_of_label(self) -> NDArray[np.int16]:
        """[256]: index into LABEL_CLASSES of each value of a label file; -1 for values without a category."""
        classes = np.full(256, -1, np.int16)
        names = self._tables.names
        for name, index in zip(names.category, names.category_index.tolist(), strict=True):
            if index != NONE:
                classes[index] = self.names.label_class(name)
        return classes

    @cached_property
    def _maps(self) -> dict[str, LocationMap]:
        """Location -> its map; locations without a file are left out."""
        locations = sorted(set(self._tables.names.location))
        files = {name: inside(self.root, f"maps/expansion/{name}.json") for name in locations}
        return {name: LocationMap.read(file) for name, file in files.items() if file.is_file()}

    def _map_elements(self, row: int, global_from_lidar: NDArray[np.float64]) -> dict[str, MapElements] | None:
        location = self._tables.names.location[int(self._tables.samples.scene[row])]
        x, y = global_from_lidar[:2, 3].tolist()
        return self._maps[location].near((x, y), GRID.reach) if location in self._maps else None

    def _global_from_sensor(self, recording: int) -> NDArray[np.float64]:
        tables = self._tables
        ego_from_sensor = _transform(tables.sensors.pose[tables.recordings.sensor[recording]])
        return _transform(tables.recordings.ego[recording]) @ ego_from_sensor

    def _sweep_files(self, key: int, global_from_key: NDArray[np.float64]) -> list[SweepFile]:
        files = self._tables.recordings
        sweeps, recording = [SweepFile(files.file[key], np.eye(4), 0.0)], key
        while len(sweeps) < self.sweeps and files.before[recording] != NONE and self._has_sweeps:
            recording = int(files.before[recording])
            key_from_sweep = invert(global_from_key) @ self._global_from_sensor(recording)
            lag_s = 1e-6 * int(files.time_us[key] - files.time_us[recording])
            sweeps.append(SweepFile(files.file[recording], key_from_sweep, lag_s))
        return sweeps

    def _camera_file(self, channel: str, recording: int, global_from_lidar: NDArray[np.float64]) -> CameraFile:
        tables = self._tables
        width, height = tables.recordings.size[recording].tolist()
        intrinsic = tables.sensors.intrinsic[tables.recordings.sensor[recording]].reshape(3, 3)
        camera_from_lidar = invert(self._global_from_sensor(recording)) @ global_from_lidar
        camera = PinholeCamera(width, height, intrinsic, camera_from_lidar)
        return CameraFile(channel, tables.recordings.file[recording], tables.recordings.token[recording], camera)

    def _annotations(self, row: int) -> tuple[Annotation, ...]:
        boxes, names = self._tables.boxes, self._tables.names
        first, end = self._tables.samples.first_box[row : row + 2].tolist()
        empty = ~(boxes.size[first:end].astype(np.float32) > 0).all(axis=1)
        if empty.any():
            path = self.root / self.version / "sample_annotation.json"
            size = boxes.size[first + int(empty.argmax())].tolist()
            token = self._tables.samples.token[row]
            raise UserError(f"{path}: size of a box of sample {token!r} is {size}, expected numbers above 0")
        annotations = []
        for box in range(first, end):
            category, attribute = names.category[int(boxes.category[box])], self._attribute(int(boxes.attribute[box]))
            points = int(boxes.points[box])
            annotations.append(
                Annotation(
                    pose=boxes.pose[box],
                    size_wlh=boxes.size[box],
                    velocity_global=boxes.velocity[box],
                    box_class=self.names.box_class(category),
                    attribute=self.names.attribute_class(attribute),
                    points=points if points >= 0 and self._points_are_counted else None,
                    unknown=self._unknown(category, attribute),
                )
            )
        return tuple(annotations)

    def _attribute(self, row: int) -> str:
        """Attribute name of a row of the table; nuScenes' name for none."""
        return ATTRIBUTES[0] if row == NONE else self._tables.names.attribute[row]

    def _unknown(self, category: str, attribute: str) -> tuple[str, ...]:
        """Messages about names of a box without a class."""
        found = []
        if not self.names.knows_category(category):
            found.append(f"boxes of the unknown category {category!r}, used as other")
        if not self.names.knows_attribute(attribute):
            found.append(f"boxes with the unknown attribute {attribute!r}, used as none")
        return tuple(found)


def _transform(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] transform of a translation and a quaternion [7]."""
    return transform_from(pose[3:], pose[:3])

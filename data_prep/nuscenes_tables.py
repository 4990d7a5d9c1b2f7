"""The tables of a nuScenes data root, as columns of the fields that preparation needs.

    tables = read_tables(Path("/data/nuscenes"), "v1.0-trainval")
    lidar = tables.samples.keyframe[12, 0]  # row of the 13th keyframe's LiDAR recording
    tables.recordings.file[lidar]           # "samples/LIDAR_TOP/....pcd.bin"

Tokens are compared by a 64-bit hash and replaced by rows: references to a record are its row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.nuscenes_columns import (
    NONE,
    Floats,
    Ints,
    Keys,
    Table,
    first_hashes,
    floats,
    hashes,
    integers,
    matrices,
    strings,
)
from data_prep.nuscenes_records import OPTIONAL, TABLES
from data_prep.strings import Strings
from pc_ssl.errors import UserError

LIDAR = "LIDAR_TOP"
MAX_STEP_S = 1.5  # seconds between the annotations of an object for its velocity; the devkit's limit


@dataclass(frozen=True)
class Samples:
    """Keyframes [S], in the table's order.

    Args:
        token: of each keyframe.
        scene: [S] row in `Scenes`.
        time_us: [S] int64.
        keyframe: [S, 1 + K] row in `Recordings` of the LiDAR and of each of the K cameras; NONE if it is missing.
        first_box: [S + 1] row of each keyframe's first box in `Boxes`.
    """

    token: Strings
    scene: Ints
    time_us: Ints
    keyframe: Ints
    first_box: Ints


@dataclass(frozen=True)
class Recordings:
    """Keyframes [R] of LiDAR and cameras, and all sweeps of the LiDAR.

    Args:
        token: in the table sample_data.
        file: below the root.
        time_us: [R] int64.
        ego: [R, 7] translation x y z and quaternion w x y z from the vehicle to the global frame at that time.
        sensor: [R] row in `Sensors`.
        before: [R] row of the previous LiDAR sweep; NONE at the start, and for cameras.
        size: [R, 2] width and height of an image; 0 if unknown.
        is_key: [R] bool.
        lidarseg_file, panoptic_file: below the root; "" for none.
    """

    token: Strings
    file: Strings
    time_us: Ints
    ego: Floats
    sensor: Ints
    before: Ints
    size: Ints
    is_key: NDArray[np.bool_]
    lidarseg_file: Strings
    panoptic_file: Strings


@dataclass(frozen=True)
class Sensors:
    """Calibrations [Q]: translation and quaternion [Q, 7] to the vehicle, camera matrix [Q, 9] (NaN: not a camera)."""

    pose: Floats
    intrinsic: Floats


@dataclass(frozen=True)
class Boxes:
    """Annotations [B], keyframe by keyframe.

    Args:
        pose: [B, 7] translation and quaternion w x y z in the global frame.
        size: [B, 3] width, length, height.
        velocity: [B, 3] metres per second in the global frame, between the previous and the next annotation, as in the
            devkit; NaN without them or if they are too far apart in time.
        category: [B] row in `Names.category`.
        attribute: [B] row in `Names.attribute` of the first attribute; NONE without one.
        points: [B] number of LiDAR and radar returns according to the annotations; negative if unknown.
    """

    pose: Floats
    size: Floats
    velocity: Floats
    category: Ints
    attribute: Ints
    points: Ints


@dataclass(frozen=True)
class Names:
    """Names in the tables.

    Args:
        scene, location: [C] name and location of each scene.
        camera: [K] channels of cameras.
        category, attribute: names.
        category_index: value of each category in label files; NONE if not in the table.
    """

    scene: Strings
    location: Strings
    camera: Strings
    category: Strings
    category_index: Ints
    attribute: Strings


@dataclass(frozen=True)
class NuScenesTables:
    """All fields of the tables that preparation needs."""

    names: Names
    samples: Samples
    recordings: Recordings
    sensors: Sensors
    boxes: Boxes


def read_tables(root: Path, version: str) -> NuScenesTables:
    """Read the tables of a version.

    Raises:
        UserError: a table or field is missing or damaged, or a record refers to one that does not exist.
    """
    check_tables_exist(root, version)
    folder = root / version
    scenes = Table(folder, "scene", {"name": strings, "log_token": hashes})
    categories = Table(folder, "category", {"name": strings, "index": integers})
    attributes = Table(folder, "attribute", {"name": strings})
    sensors, sensor_keys, channel, cameras = _sensors(folder)
    samples = Table(folder, "sample", {"token": strings, "scene_token": hashes, "timestamp": integers})
    scene_of_sample = samples.rows_in(scenes.keys, "scene_token")
    recordings, keyframe = _recordings(folder, samples, sensor_keys, channel, len(cameras))
    boxes, first_box = _boxes(folder, samples, categories, attributes)
    return NuScenesTables(
        Names(
            scene=scenes.strings("name"),
            location=_locations(folder, scenes),
            camera=Strings.of(cameras),
            category=categories.strings("name"),
            category_index=_indices(folder, categories),
            attribute=attributes.strings("name"),
        ),
        Samples(samples.strings("token"), scene_of_sample, samples.numbers("timestamp"), keyframe, first_box),
        recordings,
        sensors,
        boxes,
    )


def _locations(folder: Path, scenes: Table) -> Strings:
    """[C] location of each scene."""
    logs = Table(folder, "log", {"location": strings})
    location = list(logs.strings("location"))
    return Strings.of([location[row] for row in scenes.rows_in(logs.keys, "log_token")])


def _indices(folder: Path, categories: Table) -> Ints:
    """Value of each category in label files."""
    index = categories.numbers("index")
    if any((folder / f"{name}.json").is_file() for name in OPTIONAL) and (index == NONE).any():
        raise UserError(
            f"{categories.path}: field 'index' of record {(index == NONE).argmax()} is missing, expected a whole "
            "number: label files need the category.json of their archive"
        )
    return index


def _sensors(folder: Path) -> tuple[Sensors, Keys, Ints, list[str]]:
    """Calibrations, their keys, the channel of each (0 LIDAR_TOP, 1.. cameras, NONE others), and cameras' names."""
    sensors = Table(folder, "sensor", {"channel": strings, "modality": strings})
    names = list(sensors.strings("channel"))
    for row, name in enumerate(names):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # channels are used in names of tensors
            raise UserError(f"{sensors.path}: channel of record {row} is {name!r}, expected a name such as CAM_FRONT")
    cameras = [name for name, kind in zip(names, sensors.strings("modality"), strict=True) if kind == "camera"]
    order = {name: number for number, name in enumerate([LIDAR, *cameras])}
    calibrated = Table(
        folder,
        "calibrated_sensor",
        {"sensor_token": hashes, "translation": floats(3), "rotation": floats(4), "camera_intrinsic": matrices},
    )
    sensor = calibrated.rows_in(sensors.keys, "sensor_token")
    channel = np.array([order.get(name, NONE) for name in names], np.int64)[sensor]
    intrinsic = calibrated.numbers("camera_intrinsic")
    calibrated.refuse((channel > 0) & np.isnan(intrinsic[:, 0]), "camera_intrinsic", "is not 3 rows of 3 numbers")
    return Sensors(calibrated.poses(), intrinsic), calibrated.keys, channel, cameras


def _recordings(
    folder: Path, samples: Table, sensors: Keys, channel_of_sensor: Ints, num_cameras: int
) -> tuple[Recordings, Ints]:
    """The used recordings, and the keyframes' rows in them [S, 1 + K]."""
    numbers = dict.fromkeys(("timestamp", "is_key_frame", "width", "height"), integers)
    tokens = dict.fromkeys(("sample_token", "ego_pose_token", "calibrated_sensor_token", "prev"), hashes)
    data = Table(folder, "sample_data", {"token": strings, "filename": strings, **numbers, **tokens})
    sample, sensor = data.rows_in(samples.keys, "sample_token"), data.rows_in(sensors, "calibrated_sensor_token")
    before = data.rows_in(data.keys, "prev", may_be_empty=True)
    channel, is_key = channel_of_sensor[sensor], data.numbers("is_key_frame").astype(np.bool_)
    of_lidar = channel == 0
    data.refuse(of_lidar & (before != NONE) & ~of_lidar[before], "prev", f"is not of {LIDAR}")
    kept = np.flatnonzero(of_lidar | (channel > 0) & is_key)
    place = np.full(len(channel), NONE)
    place[kept] = np.arange(len(kept))
    keyframe = np.full((len(samples.numbers("timestamp")), 1 + num_cameras), NONE)
    keys = kept[is_key[kept]]
    keyframe[sample[keys], channel[keys]] = place[keys]
    recordings = Recordings(
        token=data.strings("token").select(kept),
        file=data.strings("filename").select(kept),
        time_us=data.numbers("timestamp")[kept],
        ego=_ego_poses(folder, data, kept),
        sensor=sensor[kept],
        before=np.where(of_lidar[kept] & (before[kept] != NONE), place[before[kept]], NONE),
        size=np.stack([data.numbers(field)[kept] for field in ("width", "height")], axis=1),
        is_key=is_key[kept],
        lidarseg_file=_label_files(folder, "lidarseg", data, place, len(kept)),
        panoptic_file=_label_files(folder, "panoptic", data, place, len(kept)),
    )
    return recordings, keyframe


def _ego_poses(folder: Path, data: Table, kept: Ints) -> Floats:
    """[R, 7] of the kept recordings."""
    poses = Table(folder, "ego_pose", {"translation": floats(3), "rotation": floats(4)})
    return poses.poses()[data.rows_in(poses.keys, "ego_pose_token")[kept]]


def _label_files(folder: Path, name: str, data: Table, place: Ints, count: int) -> Strings:
    """[R] file of each recording in an optional table, "" for none."""
    files = [""] * count
    if (folder / f"{name}.json").is_file():
        table = Table(folder, name, {"sample_data_token": hashes, "filename": strings})
        rows = place[table.rows_in(data.keys, "sample_data_token")]
        for row, file in zip(rows.tolist(), table.strings("filename"), strict=True):
            if row != NONE:
                files[row] = file
    return Strings.of(files)


def _boxes(folder: Path, samples: Table, categories: Table, attributes: Table) -> tuple[Boxes, Ints]:
    """Annotations sorted by keyframe, and the first row of each keyframe."""
    instances = Table(folder, "instance", {"category_token": hashes})
    vectors = {"translation": floats(3), "size": floats(3), "rotation": floats(4)}
    tokens = dict.fromkeys(("sample_token", "instance_token", "prev", "next"), hashes)
    counts = dict.fromkeys(("num_lidar_pts", "num_radar_pts"), integers)
    table = Table(folder, "sample_annotation", {"attribute_tokens": first_hashes, **vectors, **tokens, **counts})
    sample = table.rows_in(samples.keys, "sample_token")
    order = np.argsort(sample, kind="stable")
    size = table.numbers("size")
    table.refuse(~np.isfinite(size).all(axis=1), "size", "is not finite")
    instance = table.rows_in(instances.keys, "instance_token")
    boxes = Boxes(
        pose=table.poses()[order],
        size=size[order],
        velocity=_velocity(table, 1e-6 * samples.numbers("timestamp")[sample])[order],
        category=instances.rows_in(categories.keys, "category_token")[instance][order],
        attribute=table.rows_in(attributes.keys, "attribute_tokens", may_be_empty=True)[order],
        points=(table.numbers("num_lidar_pts") + table.numbers("num_radar_pts"))[order],
    )
    return boxes, np.cumsum([0, *np.bincount(sample, minlength=len(samples.numbers("timestamp")))])


def _velocity(table: Table, time_s: Floats) -> Floats:
    """[B, 3], as in `Boxes`; time_s: [B] of each annotation."""
    ends = [table.rows_in(table.keys, end, may_be_empty=True) for end in ("prev", "next")]
    first, last = (np.where(end == NONE, np.arange(len(end)), end) for end in ends)
    seconds = time_s[last] - time_s[first]
    steps = sum((end != NONE).astype(np.int64) for end in ends)
    known = (seconds > 0) & (seconds <= steps * MAX_STEP_S)
    moved = table.numbers("translation")[last] - table.numbers("translation")[first]
    return np.where(known[:, None], moved / np.where(known, seconds, 1.0)[:, None], np.nan)


def check_tables_exist(root: Path, version: str) -> None:
    """Check that the tables exist before they are loaded.

    Raises:
        UserError: the root or version does not exist (existing versions are listed), or a table is missing.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    if not (root / version).is_dir():
        found = ", ".join(sorted(path.parent.name for path in root.glob("*/sample_data.json"))) or "none"
        raise UserError(f"{root}: no version {version!r}; found folders with nuScenes tables: {found}")
    for table in TABLES:
        if table not in OPTIONAL and not (root / version / f"{table}.json").is_file():
            raise UserError(f"{root / version / table}.json: the table is missing")

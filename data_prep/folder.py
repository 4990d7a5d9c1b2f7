"""A folder of point files of any sensor, without metadata tables.

    ROOT/SCENE/points/000000.bin         or .npy .npz .ply .pcd .las; or directly in ROOT/SCENE, or ROOT is one scene
    ROOT/SCENE/poses.txt                 optional: global_from_lidar, 12 or 16 numbers per line, one line per file
    ROOT/SCENE/times.txt                 optional: seconds, increasing, one line per file; for merging sweeps
    ROOT/SCENE/calibration.json          optional: {"FRONT": {"intrinsic": [3, 3], "camera_from_lidar": [4, 4]}, ...}
    ROOT/SCENE/images/FRONT/000000.jpg   optional: an image of the same name as the points; .jpg or .png
    ROOT/splits.json                     optional: {"train": ["SCENE", ...], ...}; without it all are "train"

Files are sorted by name, numbers in names by value. A frame is called SCENE-NAME. Names of files and scenes are used in
the cache and may contain only letters, digits and _ + - .
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.file_order import natural_order
from data_prep.folder_source import CameraFile, FolderSource
from data_prep.image_times import matched_by_time
from data_prep.point_files import ENDINGS
from data_prep.point_files.layout import XYZ, PointLayout
from data_prep.point_options import PointOptions
from data_prep.poses import pinhole, read_numbers, rigid
from data_prep.reader import FrameName, of_split, read_splits
from pc_ssl.data.cache import IGNORE, TIME, frame_file
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import may_enter, read_json

AS_USUAL = PointOptions()
IMAGE_TOLERANCE = 0.05  # seconds between points and an image of them: half a turn of a LiDAR of 10 Hz
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
CAMERA_NAME = re.compile(r"[A-Za-z0-9_-]+")  # used in names of tensors
POSES, TIMES, CALIBRATION, SPLITS = "poses.txt", "times.txt", "calibration.json", "splits.json"


class FolderReader:
    """Reads a folder of point files.

    Args:
        root: root folder.
        points: columns and scales of the point files; without columns: x, y, z, intensity. Columns are required for
            .bin files, which do not store their number.
        sweeps: number of sweeps per frame: its file and the ones before it; more than one requires poses.txt and
            times.txt.
        image_tolerance: seconds that points and their image may be apart, where the files of both are named by their
            own times (`data_prep/image_times.py`).

    Raises:
        UserError: the folder does not exist or has no point files, or names are invalid or ambiguous in the cache.
        UsageError: columns lack x, y or z, name one twice, or are None with .bin files; another value is out of range.
    """

    def __init__(
        self,
        root: Path,
        points: PointOptions = AS_USUAL,
        sweeps: int = 1,
        image_tolerance: float = IMAGE_TOLERANCE,
    ) -> None:
        if not root.is_dir():
            raise UserError(f"{root}: no such folder")
        if not 0 <= image_tolerance < float("inf"):
            raise UsageError(f"image-tolerance: {image_tolerance} is not a number of seconds")
        self.root, self.sweeps, self.image_tolerance = root, sweeps, image_tolerance
        self.layout = PointLayout().with_options(points)
        if sweeps < 1:
            raise UsageError(f"sweeps: {sweeps} is not positive")
        _refuse_compressed(root)
        if not self._scenes:
            raise UserError(f"{root}: no point files ({' '.join(ENDINGS)}) in it or in its folders")
        _check_names(self._scenes)
        raw = next((file for files in self._scenes.values() for file in files if file.suffix.lower() == ".bin"), None)
        if points.columns is None and raw is not None:
            raise UsageError(
                f"columns: {raw} does not store names of its columns; name all: --columns x,y,z,intensity,-"
            )

    def options(self) -> dict[str, Any]:
        read: dict[str, Any] = {"read": list(self.layout.columns), "intensity_max": self.layout.intensity_max}
        read |= self.layout.changes(PointLayout())
        if self.sweeps > 1:
            read["sweeps"] = self.sweeps
        if self.image_tolerance != IMAGE_TOLERANCE:
            read["image_tolerance"] = self.image_tolerance
        return {"dataset": "folder", "version": "1", "columns": list(self.columns()), **read}

    def classes(self) -> dict[str, list[str]]:
        return {"label": [IGNORE], "box": []}

    def columns(self) -> tuple[str, ...]:
        own = (*XYZ, *self.layout.features)
        return (*own, TIME) if self.sweeps > 1 else own

    def splits(self) -> dict[str, list[str]]:
        path = self.root / SPLITS
        if not path.is_file():
            return {"train": list(self._scenes)}
        return read_splits(path)

    def absent(self) -> list[str]:
        wanted = {f"{POSES} (each frame's pose is the identity)": POSES, f"{CALIBRATION} (no images)": CALIBRATION}
        counts = {
            what: sum(not (self._home(scene) / file).is_file() for scene in self._scenes)
            for what, file in wanted.items()
        }
        absent = [f"{what} of {count} of {len(self._scenes)} scenes" for what, count in counts.items() if count]
        closed = [path for path in self.root.iterdir() if path.is_dir() and not may_enter(path)]
        absent += [f"{path} (no permission to read the folder)" for path in closed]
        return absent + [
            f"use of {unused} of {total} images in {folder} (no point file has their name or is near in time)"
            for scene in self._scenes
            for folder, unused, total in self._unused_images(scene)
        ]

    def _unused_images(self, scene: str) -> list[tuple[Path, int, int]]:
        """Image folders with images of no frame: the folder, their number, and the number of all images."""
        found = []
        for camera, used in self._images[scene].items():
            folder = self._home(scene) / "images" / camera
            images, files = _image_files(folder), set(used.values())
            unused = sum(path not in files for path in images)
            if unused:
                found.append((folder, unused, len(images)))
        return found

    def frames(self, split: str | None) -> list[FrameName]:
        scenes = of_split(self, split, self._scenes, self.root)
        return [self._frame_name(scene, row) for scene in scenes for row in range(len(self._scenes[scene]))]

    def _frame_name(self, scene: str, row: int) -> FrameName:
        times = self._times[scene]
        microseconds = 0 if times is None else round(1e6 * times[row])
        return FrameName(_token(scene, self._scenes[scene][row]), scene, microseconds)

    def source(self, frame: FrameName) -> FolderSource:
        row = self._rows[frame.scene, frame.token]
        key = self._source(frame.scene, row)
        if self.sweeps == 1:
            return key
        times, poses = self._times[frame.scene], self._poses[frame.scene]
        if times is None or poses is None:
            missing = self._home(frame.scene) / (TIMES if times is None else POSES)
            raise UserError(f"{missing}: no such file; sweeps are merged by poses and times")
        before = range(row - 1, max(row - self.sweeps, -1), -1)
        return replace(key, earlier=tuple((self._source(frame.scene, r), times[row] - times[r]) for r in before))

    def _source(self, scene: str, row: int) -> FolderSource:
        """The file in a row of a scene, without earlier sweeps."""
        file, home, poses = self._scenes[scene][row], self._home(scene), self._poses[scene]
        return FolderSource(
            file=file,
            layout=self.layout,
            global_from_lidar=np.eye(4) if poses is None else rigid(home / POSES, f"pose {row}", poses[row]),
            cameras=tuple(
                CameraFile(name, images[file.stem], *self._calibrations[scene][name])
                for name, images in self._images[scene].items()
                if file.stem in images
            ),
        )

    @cached_property
    def _scenes(self) -> dict[str, list[Path]]:
        """Scene -> its point files, both in natural order of names."""
        own = _point_files(self.root)
        if own:
            return {self.root.resolve().name: own}
        folders = natural_order(path for path in self.root.iterdir() if path.is_dir())
        scenes = {folder.name: _point_files(folder) for folder in folders if may_enter(folder)}
        return {name: files for name, files in scenes.items() if files}

    def _home(self, scene: str) -> Path:
        """The folder of a scene, with its poses, times, calibration and images."""
        folder = self._scenes[scene][0].parent
        return folder.parent if folder.name == "points" else folder

    @cached_property
    def _rows(self) -> dict[tuple[str, str], int]:
        """Scene and token -> row of its file in the scene."""
        return {
            (scene, _token(scene, file)): row for scene, files in self._scenes.items() for row, file in enumerate(files)
        }

    @cached_property
    def _poses(self) -> dict[str, list[list[float]] | None]:
        found: dict[str, list[list[float]] | None] = {}
        for scene, files in self._scenes.items():
            path = self._home(scene) / POSES
            found[scene] = poses = read_numbers(path) if path.is_file() else None
            if poses is not None and len(poses) != len(files):
                raise UserError(f"{path}: holds {len(poses)} poses, but the scene has {len(files)} point files")
        return found

    @cached_property
    def _times(self) -> dict[str, list[float] | None]:
        """Scene -> seconds of each file; None without times."""
        found: dict[str, list[float] | None] = {}
        for scene, files in self._scenes.items():
            path = self._home(scene) / TIMES
            rows = read_numbers(path) if path.is_file() else None
            if rows is not None:
                times = [row[0] for row in rows]
                increasing = all(0 <= first < second < 1e11 for first, second in pairwise(times))
                if len(times) != len(files) or any(len(row) != 1 for row in rows) or not increasing:
                    raise UserError(
                        f"{path}: expected {len(files)} lines of one number, increasing seconds, one per point "
                        f"file, found {len(times)} lines"
                    )
            found[scene] = None if rows is None else times
        return found

    @cached_property
    def _calibrations(self) -> dict[str, dict[str, Any]]:
        return {scene: read_calibration(self._home(scene) / CALIBRATION) for scene in self._scenes}

    @cached_property
    def _images(self) -> dict[str, dict[str, dict[str, Path]]]:
        """Scene -> camera -> name of a file of points -> its image: of the same name, or else near in time."""
        found: dict[str, dict[str, dict[str, Path]]] = {}
        for scene, points in self._scenes.items():
            found[scene] = {}
            for camera in self._calibrations[scene]:
                images = _image_files(self._home(scene) / "images" / camera)
                named = {image.stem: image for image in reversed(images)}
                same = {file.stem: named[file.stem] for file in points if file.stem in named}
                others = [file for file in points if file.stem not in same]
                left = [image for image in images if image.stem not in same]
                found[scene][camera] = same | matched_by_time(others, left, self.image_tolerance)
        return found


def _image_files(folder: Path) -> list[Path]:
    """The images in a folder, in natural order of names; of those that differ by their ending, .jpg comes first."""
    return natural_order(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_ENDINGS)


def _refuse_compressed(root: Path) -> None:
    packed = next(
        (path for pattern in ("*", "*/*", "*/points/*") for path in root.glob(f"{pattern}.[lL][aA][zZ]")), None
    )
    if packed is not None:
        raise UserError(f"{packed}: is compressed (LAZ); unpack it to LAS first, for example with laszip or PDAL")


def _token(scene: str, file: Path) -> str:
    return f"{scene}-{file.stem}"


def _check_names(scenes: Mapping[str, Sequence[Path]]) -> None:
    """Reject names that would fail for single frames, or give two frames the same name.

    Raises:
        UserError: the name of a scene or a file is invalid in the cache, or two files have the same token.
    """
    known: dict[str, Path] = {}
    for scene, files in scenes.items():
        for file in files:
            token = _token(scene, file)
            try:
                frame_file(scene, token)
            except UserError as error:
                raise UserError(f"{file}: {error}; rename the file or its folder") from None
            if token in known:
                raise UserError(f"{file}: has the frame name {token!r} of {known[token]}; rename one of them")
            known[token] = file


def read_calibration(path: Path) -> dict[str, tuple]:
    """Camera -> intrinsic [3, 3] and camera_from_lidar [4, 4]; empty without the file.

    Raises:
        UserError: a name or a matrix is wrong.
    """
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected an object with cameras as keys")
    cameras = {}
    for name, entry in content.items():
        if not CAMERA_NAME.fullmatch(name):
            raise UserError(f"{path}: camera name {name!r}: expected only letters, digits, _ and -")
        if isinstance(entry, dict):
            _check_keys(path, name, entry)
        matrices = []
        for field, shape in (("intrinsic", (3, 3)), ("camera_from_lidar", (4, 4))):
            try:
                matrix = np.array(entry[field], np.float64)
            except (KeyError, TypeError, ValueError, OverflowError):
                matrix = np.empty(0)
            if matrix.shape != shape:
                raise UserError(f"{path}: camera {name!r} has no {field} of {shape[0]} x {shape[1]} numbers")
            matrices.append(matrix)
        what = f"camera {name!r}"
        cameras[name] = pinhole(path, what, matrices[0]), rigid(path, f"camera_from_lidar of {what}", matrices[1])
    return cameras


def _check_keys(path: Path, camera: str, entry: Mapping[str, Any]) -> None:
    """Reject entries that would be ignored: non-zero lens distortion, and unknown keys."""
    for key, value in entry.items():
        if key in ("intrinsic", "camera_from_lidar") or (key == "distortion" and not np.any(value)):
            continue
        advice = "undistort the images first" if key == "distortion" else "remove it"
        raise UserError(
            f"{path}: camera {camera!r} has {key!r}, but only intrinsic and camera_from_lidar of an undistorted image "
            f"are used; {advice}"
        )


def _point_files(folder: Path) -> list[Path]:
    """The point files in a folder, or else in its folder `points`."""
    for place in (folder, folder / "points"):
        files = natural_order(path for path in place.glob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        for first, second in pairwise(files):
            if first.stem == second.stem:
                raise UserError(f"{first}: {second.name} has the same name; a frame is one file")
        if files:
            return files
    return []

"""One frame of a folder of point files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.images import check_image
from data_prep.left_out import is_measured
from data_prep.point_files.layout import XYZ, PointLayout
from data_prep.projection import PinholeCamera
from data_prep.reader import RawFrame, Sweep
from data_prep.sweeps import FARTHEST
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes
from pc_ssl.geometry import invert

COARSE = 2.0**14  # metres; float32 resolution is coarser than 1 mm beyond
WIDE = 2000.0  # metres; larger than the extent of any sweep
COARSE_FILES = "files of float32 coordinates coarser than 1 mm (write float64, or subtract an offset first)"
WIDE_FILES = f"files whose points span over {WIDE:g} m (are their coordinates millimetres?)"


@dataclass(frozen=True)
class CameraFile:
    """A camera's image and calibration: intrinsic [3, 3] and camera_from_lidar [4, 4]."""

    name: str
    file: Path
    intrinsic: NDArray[np.float64]
    camera_from_lidar: NDArray[np.float64]


@dataclass(frozen=True)
class FolderSource:
    """Reads one frame.

    Args:
        file: point file.
        layout: of the file.
        global_from_lidar: [4, 4].
        cameras: the cameras with an image.
        earlier: sources of the sweeps before this frame's, the latest first, and how many seconds before it each began;
            None: sweeps are not merged.
    """

    file: Path
    layout: PointLayout
    global_from_lidar: NDArray[np.float64]
    cameras: tuple[CameraFile, ...]
    earlier: tuple[tuple[FolderSource, float], ...] | None = None

    def read(self) -> RawFrame:
        """Points [N, 3 + F]: x, y, z, then the other columns in the order of `columns`; intensity and colours in [0,
        1].

        Coordinates too large for float32, as in a map frame, are shifted to a corner of the cloud, and the shift is
        part of global_from_lidar. Points that are not returns are left out (`is_measured`).

        Raises:
            UserError: a file is missing or damaged, or holds values out of range.
        """
        columns = self.layout.read(self.file)
        with np.errstate(invalid="ignore"):  # a damaged file's signalling NaN
            xyz = np.stack([columns[axis] for axis in XYZ], 1).astype(np.float64)
        measured, left_out = is_measured(self.file, xyz)
        if left_out:
            xyz = xyz[measured]
            columns = {name: values[measured] for name, values in columns.items()}
        features = self.layout.scaled(self.file, columns)
        frame_from_cloud = np.eye(4)
        frame_from_cloud[:3, 3] = self._origin(xyz)
        points = np.column_stack([xyz - frame_from_cloud[:3, 3], *features]).astype(np.float32)
        global_from_cloud = self.global_from_lidar @ frame_from_cloud
        contents = {camera.name: read_bytes(camera.file) for camera in self.cameras}
        return RawFrame(
            points=points,
            ego_pose=global_from_cloud,
            global_from_lidar=global_from_cloud,
            cameras={
                camera.name: PinholeCamera(
                    *check_image(camera.file, contents[camera.name]),
                    camera.intrinsic,
                    camera.camera_from_lidar @ frame_from_cloud,
                )
                for camera in self.cameras
            },
            images=contents,
            image_names={camera.name: f"{self.file.stem}_{camera.name}" for camera in self.cameras},
            left_out=left_out | self._doubts(columns["x"].dtype, xyz),
            merges_sweeps=self.earlier is not None,
            earlier=[source.as_sweep(invert(global_from_cloud), lag_s) for source, lag_s in self.earlier or ()],
        )

    def as_sweep(self, key_from_global: NDArray[np.float64], lag_s: float) -> Sweep:
        """The points as a sweep before a keyframe's.

        Raises:
            UserError: the file is missing or damaged.
        """
        raw = replace(self, cameras=(), earlier=None).read()
        return Sweep(raw.points, key_from_global @ raw.global_from_lidar, lag_s)

    def _origin(self, xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        """[3] whole metres; zero for coordinates in a sensor frame."""
        low, high = xyz.min(axis=0), xyz.max(axis=0)
        if np.abs([low, high]).max() <= FARTHEST:
            return np.zeros(3)
        if (high - low).max() > FARTHEST or np.abs([low, high]).max() > 1e9:
            raise UserError(
                f"{self.file}: points range from {low.tolist()} to {high.tolist()}, expected at most {FARTHEST:g} m; "
                "are these the file's columns, and metres?"
            )
        return np.floor(low)

    def _doubts(self, dtype: np.dtype, xyz: NDArray[np.float64]) -> dict[str, int]:
        """Warnings for the user about points that are kept."""
        doubts = {
            COARSE_FILES: dtype == np.float32 and np.abs(xyz).max() >= COARSE,
            WIDE_FILES: np.ptp(xyz, axis=0).max() > WIDE,
        }
        return {phrase: 1 for phrase, raised in doubts.items() if raised}

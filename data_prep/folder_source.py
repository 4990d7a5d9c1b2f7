"""One frame of a folder of point files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.images import check_image
from data_prep.left_out import is_measured
from data_prep.point_files import Columns, read_columns
from data_prep.projection import PinholeCamera
from data_prep.reader import RawFrame
from data_prep.sweeps import FARTHEST
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

XYZ = ("x", "y", "z")
COLORS = ("red", "green", "blue")


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
        file: of the points.
        columns: as `read_columns` takes them.
        intensity_max: that the sensor gives.
        global_from_lidar: [4, 4].
        cameras: those with an image.
    """

    file: Path
    columns: tuple[str, ...]
    intensity_max: float
    global_from_lidar: NDArray[np.float64]
    cameras: tuple[CameraFile, ...]

    def read(self) -> RawFrame:
        """Points [N, 3 + F]: x, y, z, then the other columns as they are named; intensity and colours in [0, 1].

        Coordinates too large for float32, as in a map's frame, are counted from a corner of the cloud, and
        global_from_lidar says where that is. Points that are not measurements are left out (`is_measured`).

        Raises:
            UserError: a file is missing or damaged, or holds values out of range.
        """
        columns = read_columns(self.file, self.columns)
        with np.errstate(invalid="ignore"):  # a damaged file's signalling NaN
            xyz = np.stack([columns[axis] for axis in XYZ], 1).astype(np.float64)
        measured, left_out = is_measured(self.file, xyz)
        if left_out:
            xyz = xyz[measured]
            columns = {name: values[measured] for name, values in columns.items()}
        with np.errstate(all="ignore"):  # `_feature` refuses what is not a number, and says more than numpy's warning
            features = [self._feature(name, columns) for name in columns if name not in (*XYZ, "-")]
        frame_from_cloud = np.eye(4)
        frame_from_cloud[:3, 3] = self._origin(xyz)
        points = np.column_stack([xyz - frame_from_cloud[:3, 3], *features]).astype(np.float32)
        contents = {camera.name: read_bytes(camera.file) for camera in self.cameras}
        return RawFrame(
            points=points,
            label=None,
            box=None,
            box_class=None,
            ego_pose=self.global_from_lidar @ frame_from_cloud,
            global_from_lidar=self.global_from_lidar @ frame_from_cloud,
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
            left_out=left_out,
        )

    def _origin(self, xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        """[3] whole metres; zero if the coordinates are a sensor's own."""
        low, high = xyz.min(axis=0), xyz.max(axis=0)
        if np.abs([low, high]).max() <= FARTHEST:
            return np.zeros(3)
        if (high - low).max() > FARTHEST or np.abs([low, high]).max() > 1e9:
            raise UserError(
                f"{self.file}: points lie between {low.tolist()} and {high.tolist()}, expected up to {FARTHEST:g} m; "
                "are these the file's columns?"
            )
        return np.floor(low)

    def _feature(self, name: str, columns: Columns) -> NDArray[np.float64]:
        """[N] a column as a feature."""
        values = columns[name]
        scale = 1.0
        if name == "intensity":
            scale = self.intensity_max
        elif name in COLORS and values.dtype.kind in "iu":
            scale = float(np.iinfo(values.dtype).max)
        feature = values.astype(np.float64) / scale
        least, most = (0.0, 1.0) if name in (*COLORS, "intensity") else (-1e30, 1e30)
        bad = ~((feature >= least) & (feature <= most))  # also true for NaN
        if bad.any():
            advice = "; the largest that the sensor gives: --intensity-max" if name == "intensity" else ""
            raise UserError(
                f"{self.file}: {name} of point {int(bad.argmax())} is {values[bad.argmax()]:g}, expected "
                f"{least * scale:g} to {most * scale:g}{advice}"
            )
        return feature

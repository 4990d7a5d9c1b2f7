"""One frame of a folder of point files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.images import check_image
from data_prep.left_out import is_measured
from data_prep.point_files import read_columns
from data_prep.projection import PinholeCamera
from data_prep.reader import RawFrame, Sweep
from data_prep.sweeps import FARTHEST
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes
from pc_ssl.geometry import invert

XYZ = ("x", "y", "z")
COLORS = ("red", "green", "blue", "diffuse_red", "diffuse_green", "diffuse_blue")
MOST_RING, LARGEST = 255, 1e30  # of a feature
COARSE = 2.0**14  # metres; float32 numbers beyond are more than 1 mm apart
WIDE = 2000.0  # metres that no single sweep spans
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
        file: of the points.
        columns: as `read_columns` takes them.
        intensity_max: that the sensor gives.
        color_max: of colours; None: 1 for floating point, the largest number of the type for integers.
        intensity_clip: whether larger intensities count as intensity_max; they are refused otherwise.
        global_from_lidar: [4, 4].
        cameras: those with an image.
        earlier: sources of the sweeps before this frame's, the latest first, and how many seconds before it each began;
            None: sweeps are not merged.
    """

    file: Path
    columns: tuple[str, ...]
    intensity_max: float
    global_from_lidar: NDArray[np.float64]
    cameras: tuple[CameraFile, ...]
    color_max: float | None = None
    intensity_clip: bool = False
    earlier: tuple[tuple[FolderSource, float], ...] | None = None

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
            features = [self._feature(name, values) for name, values in columns.items() if name not in (*XYZ, "-")]
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
        """[3] whole metres; zero if the coordinates are a sensor's own."""
        low, high = xyz.min(axis=0), xyz.max(axis=0)
        if np.abs([low, high]).max() <= FARTHEST:
            return np.zeros(3)
        if (high - low).max() > FARTHEST or np.abs([low, high]).max() > 1e9:
            raise UserError(
                f"{self.file}: points range from {low.tolist()} to {high.tolist()}, expected up to {FARTHEST:g} m; "
                "are these the file's columns, and metres?"
            )
        return np.floor(low)

    def _doubts(self, dtype: np.dtype, xyz: NDArray[np.float64]) -> dict[str, int]:
        """What the user should look at, though nothing is left out for it."""
        doubts = {
            COARSE_FILES: dtype == np.float32 and np.abs(xyz).max() >= COARSE,
            WIDE_FILES: np.ptp(xyz, axis=0).max() > WIDE,
        }
        return {phrase: 1 for phrase, raised in doubts.items() if raised}

    def _feature(self, name: str, values: NDArray) -> NDArray[np.float64]:
        """[N] a column as a feature."""
        if name in COLORS:
            return self._color(name, values)
        if name == "intensity":
            if self.intensity_clip:
                values = np.minimum(values, self.intensity_max)
            advice = "the largest that the sensor gives: --intensity-max; to cut off larger ones: --intensity-clip"
            return self._within(name, values, self.intensity_max, advice) / self.intensity_max
        if name == "ring":
            advice = "as a whole number; are these the file's columns? --columns"
            return self._within(name, values, MOST_RING, advice, whole=True)
        bad = ~(np.abs(values.astype(np.float64)) <= LARGEST)  # also true for NaN
        if bad.any():
            row = int(bad.argmax())
            raise UserError(f"{self.file}: {name} of point {row} is {values[row]:g}, expected up to {LARGEST:g}")
        return values.astype(np.float64)

    def _color(self, name: str, values: NDArray) -> NDArray[np.float64]:
        """[N] in [0, 1]."""
        integer = values.dtype.kind in "iu"
        most = self.color_max or (float(np.iinfo(values.dtype).max) if integer else 1.0)
        if self.color_max is None and values.dtype == np.uint16 and 0 < values.max(initial=0) <= 255:
            raise UserError(
                f"{self.file}: {name} holds 16-bit numbers up to {values.max()}, which would be black; are they 8-bit "
                "colours? --color-max 255, or --color-max 65535 if they are not"
            )
        return self._within(name, values, most, "the largest value of a colour: --color-max 255") / most

    def _within(
        self, name: str, values: NDArray, most: float, advice: str, *, whole: bool = False
    ) -> NDArray[np.float64]:
        bad = ~((values >= 0) & (values <= most))  # also true for NaN
        if whole:
            bad |= values != np.rint(values)
        if bad.any():
            row = int(bad.argmax())
            raise UserError(f"{self.file}: {name} of point {row} is {values[row]:g}, expected 0 to {most:g}; {advice}")
        return values.astype(np.float64)

"""The interface between data sets and the pipeline: a data set is one file with a `Reader`, listed in READERS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_prep.projection import PinholeCamera
from data_prep.regions.mount import SensorMount
from pc_ssl.errors import UserError
from pc_ssl.files import read_json


@dataclass(frozen=True)
class FrameName:
    """One keyframe of a data set."""

    token: str
    scene: str
    timestamp_us: int


@dataclass(frozen=True)
class Sweep:
    """A sweep earlier than the keyframe's.

    Args:
        points: [N, 3 + F] float32, the columns of the keyframe's points, in the LiDAR frame at the time of this sweep.
        key_from_sweep: [4, 4] float64, from that frame to the keyframe's, through the global frame.
        lag_s: seconds from this sweep to the keyframe's.
    """

    points: NDArray[np.float32]
    key_from_sweep: NDArray[np.float64]
    lag_s: float


@dataclass(frozen=True)
class RawFrame:
    """One recorded keyframe, before regions and pairs.

    Args:
        points: [N, 3 + F] float32: x y z (metres, LiDAR frame at the time of the keyframe, z up), then features, such
            as intensity in [0, 1]; `Reader.columns` names them.
        ego_pose: [4, 4] float64 global_from_ego at the time of the LiDAR.
        global_from_lidar: [4, 4] float64.
        label: [N] uint8 index into the data set's label classes, 0 ignore; None if the data set has none.
        box: [M, 9] float32 x y z l w h yaw vx vy, LiDAR frame (metres, radians, metres per second; NaN: velocity
            unknown); None if the data set has none.
        box_class: [M] uint8 index into the data set's box classes; None with `box`.
        cameras: by name; cameras with a depth image may raise UserError when points are paired.
        images: the recorded JPEG or PNG file of each camera.
        image_names: a unique name of each image in the data set, to find files of other tools.
        instance: [N] int32 object number of each point, 0 for none; None if the data set has none.
        box_attribute: [M] uint8 index into the data set's attributes, 0 none; None if the data set has none.
        box_points: [M] int32 number of LiDAR and radar returns in each box according to the annotations; None if
            unknown.
        box_global: [M, 12] float64 the recorded box in the global frame, for evaluation: x y z w l h, quaternion w x y
            z, vx vy (NaN: unknown); None if the data set's benchmark does not need it.
        bev_map: [K, rows, columns] bool, the data set's map classes in bird's-eye view, LiDAR frame; row 0 has the
            lowest y, column 0 the lowest x; None without a map.
        mount: mounting of the LiDAR, for ground segmentation.
        region: [N] int32 regions of the data set, by name; 0..R - 1, -1 for none.
        merges_sweeps: whether earlier sweeps are merged. Points of the cache then have an additional column, the time
            lag in seconds (0 for the keyframe's sweep), and frames have the tensor `keyframe`.
        earlier: these sweeps, the latest first; fewer or none at the start of the recording.
        left_out: counts of left-out data by reason, such as "points at (0, 0, 0), ..." or "views without a pose". They
            are summed and reported by the run, not stored in the cache.
    """

    points: NDArray[np.float32]
    ego_pose: NDArray[np.float64]
    global_from_lidar: NDArray[np.float64]
    label: NDArray[np.uint8] | None = None
    box: NDArray[np.float32] | None = None
    box_class: NDArray[np.uint8] | None = None
    cameras: Mapping[str, PinholeCamera] = field(default_factory=dict)
    images: Mapping[str, bytes] = field(default_factory=dict)
    image_names: Mapping[str, str] = field(default_factory=dict)
    instance: NDArray[np.int32] | None = None
    box_attribute: NDArray[np.uint8] | None = None
    box_points: NDArray[np.int32] | None = None
    box_global: NDArray[np.float64] | None = None
    bev_map: NDArray[np.bool_] | None = None
    mount: SensorMount = field(default_factory=SensorMount)
    region: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    merges_sweeps: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    earlier: Sequence[Sweep] = ()


class Source(Protocol):
    """The files of one keyframe; small and picklable, so that another process can read it without the tables."""

    def read(self) -> RawFrame:
        """Read the sensors' files.

        Raises:
            UserError: a file is missing or damaged; a one-line message with the file and the reason.
        """
        ...


class Reader(Protocol):
    """One data set on disk."""

    def options(self) -> dict[str, Any]:
        """The selection of data: "dataset", "version" and the reader's settings, as JSON values."""
        ...

    def classes(self) -> dict[str, list[str]]:
        """Class names: "label" of points (index 0 is "ignore") and "box" of boxes."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the cache's points: x y z, then intensity, ..., and time if sweeps are merged."""
        ...

    def splits(self) -> dict[str, list[str]]:
        """Scene names of each split."""
        ...

    def absent(self) -> list[str]:
        """Optional parts of the data set that this copy lacks, one phrase each; the others are prepared."""
        ...

    def frames(self, split: str | None) -> Sequence[FrameName]:
        """The keyframes of a split, a key of `splits()` (None: all), scene by scene, in time order.

        Raises:
            UserError: no scene of the split is in this copy.
        """
        ...

    def source(self, frame: FrameName) -> Source:
        """The files of a keyframe.

        Raises:
            UserError: the tables lack something that the frame needs.
        """
        ...


def of_split(reader: Reader, split: str | None, scenes: Iterable[str], where: Path) -> list[str]:
    """The scenes of a split of the reader (None: all), in order; `where` they are listed, for errors.

    Raises:
        UserError: no scene of the split exists.
    """
    if split is None:
        return list(scenes)
    wanted = set(reader.splits()[split])
    found = [scene for scene in scenes if scene in wanted]
    if not found:
        raise UserError(f"{where}: no scene of split {split!r} found")
    return found


def read_splits(path: Path) -> dict[str, list[str]]:
    """Read a JSON file with the scene names of each split.

    Raises:
        UserError: it cannot be read, or has another format.
    """
    splits = read_json(path)
    if not isinstance(splits, dict):
        raise UserError(f"{path}: expected an object of split names, each with a list of scene names")
    for name, scenes in splits.items():
        if not isinstance(scenes, list) or not all(isinstance(scene, str) for scene in scenes):
            raise UserError(f"{path}: split {name!r} is not a list of scene names")
    return splits

"""The interface between a data set and the pipeline: a new data set is one file with a `Reader`, named in READERS."""

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
    """A sweep before the keyframe's.

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
    """One keyframe as it was recorded, before regions and pairs.

    Args:
        points: [N, 3 + F] float32: x y z (metres, LiDAR frame at the time of the keyframe, z up), then features, such
            as intensity in [0, 1]; `Reader.columns` names them.
        ego_pose: [4, 4] float64 global_from_ego at the time of the LiDAR.
        global_from_lidar: [4, 4] float64.
        label: [N] uint8 index into the data set's label classes, 0 ignore; None if the data set has none.
        box: [M, 9] float32 x y z l w h yaw vx vy, LiDAR frame (metres, radians, metres per second; NaN: velocity
            unknown); None if the data set has none.
        box_class: [M] uint8 index into the data set's box classes; None with `box`.
        cameras: by name; one that decodes a depth image as it pairs points may raise UserError then.
        images: the recorded JPEG or PNG file of each camera.
        image_names: a name of each image that no other in the data set has, to find files of other tools by.
        instance: [N] int32 number of the object that a point belongs to, 0 none; None if the data set has none.
        box_attribute: [M] uint8 index into the data set's attributes, 0 none; None if the data set has none.
        box_points: [M] int32 returns of LiDAR and radar in each box, as its annotators counted them; None if the data
            set does not say.
        box_global: [M, 12] float64 the recorded box in the global frame, for evaluation: x y z w l h, quaternion w x y
            z, vx vy (NaN: unknown); None if the data set's benchmark does not need it.
        bev_map: [K, rows, columns] bool, the data set's map classes seen from above, LiDAR frame; row 0 has the lowest
            y, column 0 the lowest x; None without a map.
        mount: how the LiDAR is mounted, for ground segmentation.
        region: [N] int32 of each way to cut regions that the data set itself brings, by its name; 0..R - 1, -1 none.
        merges_sweeps: whether earlier sweeps were asked for. The cache's frame then has one column more, the time lag
            in seconds (0 for the keyframe's own sweep), and says which points are the keyframe's.
        earlier: these sweeps, the latest first; fewer or none where the recording begins.
        left_out: what of the recording was left out, such as "points at (0, 0, 0), ..." or "views without a pose", with
            its count; the run sums and reports it, the cache does not store it.
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
    """The files of one keyframe: small and picklable, so that it can be read in another process without the tables."""

    def read(self) -> RawFrame:
        """Read the sensors' files.

        Raises:
            UserError: a file is missing or damaged; one line that names the file and what is wrong.
        """
        ...


class Reader(Protocol):
    """One data set on disk."""

    def options(self) -> dict[str, Any]:
        """What selects the data: "dataset", "version" and the reader's own settings, as JSON values."""
        ...

    def classes(self) -> dict[str, list[str]]:
        """Class names: "label" of points (index 0 is "ignore") and "box" of boxes."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the cache's points: x y z, then intensity, ..., and time if sweeps are merged."""
        ...

    def splits(self) -> dict[str, list[str]]:
        """Scene names of each split that a user may name."""
        ...

    def absent(self) -> list[str]:
        """What the data set could have but this copy has not, one phrase each; the rest is prepared all the same."""
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
    """Those of the scenes that belong to a split of the reader (None: all), in their order; `where` they are listed.

    Raises:
        UserError: none of the split's scenes is there.
    """
    if split is None:
        return list(scenes)
    wanted = set(reader.splits()[split])
    found = [scene for scene in scenes if scene in wanted]
    if not found:
        raise UserError(f"{where}: no scene of split {split!r} is there")
    return found


def read_splits(path: Path) -> dict[str, list[str]]:
    """Read a JSON file of scene names for each split.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    splits = read_json(path)
    if not isinstance(splits, dict):
        raise UserError(f"{path}: expected an object of split names, each with a list of scene names")
    for name, scenes in splits.items():
        if not isinstance(scenes, list) or not all(isinstance(scene, str) for scene in scenes):
            raise UserError(f"{path}: split {name!r} is not a list of scene names")
    return splits

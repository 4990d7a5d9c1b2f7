"""The data sets that can be prepared: a new one is its reader's file and a line in READERS.

reader = READERS["nuscenes"].make(Path("/data/nuscenes"), version="v1.0-trainval", sweeps=10)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.reader import Reader


@dataclass(frozen=True)
class DataSet:
    """How a data set is read, and what is prepared of it where the user does not choose.

    Args:
        make: root and the data set's own options, by name -> reader; its signature says which options there are.
        regions: names of region generators.
        ground: how ground is found, a key of `data_prep.regions.GROUNDS`.
    """

    make: Callable[..., Reader]
    regions: tuple[str, ...] = ("dbscan",)
    ground: str = "strips"


def _nuscenes(root: Path, version: str, sweeps: int = 1) -> Reader:
    from data_prep.nuscenes import NuScenesReader

    return NuScenesReader(root, version, sweeps)


def _scannet(root: Path, frame_step: int = 20, images: bool = True) -> Reader:
    from data_prep.scannet import ScanNetReader

    return ScanNetReader(root, frame_step, images)


def _folder(
    root: Path,
    columns: Sequence[str] | None = None,
    intensity_max: float = 1.0,
    color_max: float | None = None,
    intensity_clip: bool = False,
) -> Reader:
    from data_prep.folder import FolderReader

    return FolderReader(root, columns, intensity_max, color_max, intensity_clip)


def _kitti(root: Path) -> Reader:
    from data_prep.kitti import KittiReader

    return KittiReader(root)


READERS: dict[str, DataSet] = {
    "nuscenes": DataSet(_nuscenes),
    "scannet": DataSet(_scannet, regions=("graph",), ground="floor"),
    "folder": DataSet(_folder),
    "kitti": DataSet(_kitti),
}

__all__ = ["READERS", "DataSet"]

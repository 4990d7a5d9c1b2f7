"""The data sets that can be prepared. To add one, add a reader's file and an entry in READERS.

reader = READERS["nuscenes"].make(Path("/data/nuscenes"), version="v1.0-trainval", sweeps=10)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.point_options import PointOptions
from pc_ssl.errors import UsageError

if TYPE_CHECKING:  # the command line lists the options of each data set: its help must not load the readers
    from data_prep.reader import Reader

AS_USUAL = PointOptions()
POINT_OPTIONS = tuple(field.name for field in fields(PointOptions))
OF_EVERY_READER = ("root", "cache", "read_only")  # parameters that are not options of a data set
FLAGS = {"images": "no-images"}  # options with another name on the command line


@dataclass(frozen=True)
class DataSet:
    """Reader and default stages of a data set.

    Args:
        make: makes the reader from the root and the data set's options, which are the parameters of its signature; the
            fields of a parameter `points` are options of their own. A parameter `cache` receives the cache's folder,
            for an index that later runs reuse, and `read_only` whether writing there is forbidden.
        regions: default region generators.
        ground: default ground method, a key of `data_prep.regions.GROUNDS`.
    """

    make: Callable[..., Reader]
    regions: tuple[str, ...] = ("dbscan",)
    ground: str = "strips"

    @property
    def options(self) -> dict[str, bool]:
        """The data set's options -> whether each is required."""
        parameters = inspect.signature(self.make).parameters.values()
        own = {p.name: p.default is p.empty for p in parameters if p.name not in OF_EVERY_READER}
        return own | (dict.fromkeys(POINT_OPTIONS, False) if own.pop("points", None) is not None else {})

    def reader(self, root: Path, options: Mapping[str, Any]) -> Reader:
        """The reader of a root with these options, by name.

        Raises:
            UsageError: a value is out of range.
            UserError: the root does not hold the data set.
        """
        of_points = {name: value for name, value in options.items() if name in POINT_OPTIONS}
        others = {name: value for name, value in options.items() if name not in POINT_OPTIONS}
        return self.make(root, **({"points": PointOptions(**of_points)} if of_points else {}), **others)


def _nuscenes(
    root: Path,
    version: str,
    sweeps: int = 1,
    images: bool = True,
    classes: Path | None = None,
    points: PointOptions = AS_USUAL,
    *,
    cache: Path | None = None,
    read_only: bool = False,
) -> Reader:
    from data_prep.nuscenes import NuScenesReader
    from data_prep.nuscenes_index import INDEX
    from data_prep.sweeps import LAYOUT

    index = None if cache is None else cache / INDEX
    return NuScenesReader(
        root,
        version,
        sweeps,
        index=index,
        keep_index=not read_only,
        images=images,
        classes=classes,
        layout=LAYOUT.with_options(points),
    )


def _scannet(root: Path, frame_step: int = 20, images: bool = True) -> Reader:
    from data_prep.scannet import ScanNetReader

    return ScanNetReader(root, frame_step, images)


def _folder(root: Path, points: PointOptions = AS_USUAL, sweeps: int = 1, image_tolerance: float = 0.05) -> Reader:
    from data_prep.folder import FolderReader

    return FolderReader(root, points, sweeps, image_tolerance)


def _kitti(root: Path, points: PointOptions = AS_USUAL) -> Reader:
    from data_prep.kitti import LAYOUT, KittiReader

    return KittiReader(root, LAYOUT.with_options(points))


READERS: dict[str, DataSet] = {
    "nuscenes": DataSet(_nuscenes),
    "scannet": DataSet(_scannet, regions=("graph",), ground="floor"),
    "folder": DataSet(_folder),
    # On real frames strips miss a far cyclist that Patchwork++ and RANSAC find; Patchwork++ is an extra.
    "kitti": DataSet(_kitti, ground="ransac"),
}


def make_reader(
    name: str, root: Path, options: Mapping[str, Any], *, cache: Path, read_only: bool
) -> tuple[DataSet, Reader]:
    """Make the reader of a data set, a key of READERS.

    Args:
        name: of the data set.
        root: its root folder.
        options: the data set's options by name.
        cache: folder of the cache to prepare.
        read_only: whether writing there is forbidden.

    Raises:
        UsageError: the data set or an option is unknown, or a required option is missing.
        UserError: the root does not hold the data set.
    """
    if name not in READERS:
        nearest = get_close_matches(name, READERS, n=1)
        advice = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UsageError(f"dataset: unknown {name!r}; {advice}known: {', '.join(READERS)}")
    data = READERS[name]
    for option in options:
        if option not in data.options:
            raise UsageError(
                f"{_flag(option)}: not an option of {name}; data sets with it: {', '.join(data_sets_with(option))}"
            )
    missing = next((option for option, needed in data.options.items() if needed and option not in options), None)
    if missing is not None:
        raise UsageError(f"{_flag(missing)}: required for {name}")
    given = inspect.signature(data.make).parameters
    of_run = {key: value for key, value in (("cache", cache), ("read_only", read_only)) if key in given}
    return data, data.reader(root, {**options, **of_run})


def data_sets_with(option: str) -> list[str]:
    """Names of the data sets that have an option, such as "sweeps"."""
    return [name for name, data in READERS.items() if option in data.options]


def _flag(option: str) -> str:
    """`frame_step` -> `frame-step`, as on the command line."""
    return FLAGS.get(option, option.replace("_", "-"))


__all__ = ["READERS", "DataSet", "data_sets_with", "make_reader"]

"""The data sets that can be prepared. To add one, add a reader's file and an entry in READERS.

reader = READERS["nuscenes"].make(Path("/data/nuscenes"), version="v1.0-trainval", sweeps=10)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from data_prep.reader import Reader
from pc_ssl.errors import UsageError

OF_EVERY_READER = ("root", "cache", "read_only")  # parameters that are not options of a data set
FLAGS = {"images": "no-images"}  # options with another name on the command line


@dataclass(frozen=True)
class DataSet:
    """Reader and default stages of a data set.

    Args:
        make: makes the reader from the root and the data set's options, which are the parameters of its signature. A
            parameter `cache` receives the cache's folder, for an index that later runs reuse, and `read_only` whether
            writing there is forbidden.
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
        return {p.name: p.default is p.empty for p in parameters if p.name not in OF_EVERY_READER}


def _nuscenes(
    root: Path,
    version: str,
    sweeps: int = 1,
    images: bool = True,
    classes: Path | None = None,
    columns: Sequence[str] | None = None,
    intensity_max: float | None = None,
    color_max: float | None = None,
    intensity_clip: bool = False,
    *,
    cache: Path | None = None,
    read_only: bool = False,
) -> Reader:
    from data_prep.nuscenes import NuScenesReader
    from data_prep.nuscenes_index import INDEX
    from data_prep.point_files.layout import layout_of
    from data_prep.sweeps import LAYOUT

    index = None if cache is None else cache / INDEX
    layout = layout_of(LAYOUT, columns, intensity_max, intensity_clip, color_max)
    return NuScenesReader(
        root, version, sweeps, index=index, keep_index=not read_only, images=images, classes=classes, layout=layout
    )


def _scannet(root: Path, frame_step: int = 20, images: bool = True) -> Reader:
    from data_prep.scannet import ScanNetReader

    return ScanNetReader(root, frame_step, images)


def _folder(
    root: Path,
    columns: Sequence[str] | None = None,
    intensity_max: float = 1.0,
    color_max: float | None = None,
    intensity_clip: bool = False,
    sweeps: int = 1,
    image_tolerance: float = 0.05,
) -> Reader:
    from data_prep.folder import FolderReader

    return FolderReader(root, columns, intensity_max, color_max, intensity_clip, sweeps, image_tolerance)


def _kitti(
    root: Path,
    columns: Sequence[str] | None = None,
    intensity_max: float | None = None,
    color_max: float | None = None,
    intensity_clip: bool = False,
) -> Reader:
    from data_prep.kitti import LAYOUT, KittiReader
    from data_prep.point_files.layout import layout_of

    return KittiReader(root, layout_of(LAYOUT, columns, intensity_max, intensity_clip, color_max))


READERS: dict[str, DataSet] = {
    "nuscenes": DataSet(_nuscenes),
    "scannet": DataSet(_scannet, regions=("graph",), ground="floor"),
    "folder": DataSet(_folder),
    "kitti": DataSet(_kitti),
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
            takers = [other for other, of in READERS.items() if option in of.options]
            raise UsageError(f"{_flag(option)}: not an option of {name}; data sets with it: {', '.join(takers)}")
    missing = next((option for option, needed in data.options.items() if needed and option not in options), None)
    if missing is not None:
        raise UsageError(f"{_flag(missing)}: required for {name}")
    given = inspect.signature(data.make).parameters
    of_run = {key: value for key, value in (("cache", cache), ("read_only", read_only)) if key in given}
    return data, data.make(root, **options, **of_run)


def _flag(option: str) -> str:
    """`frame_step` -> `frame-step`, as on the command line."""
    return FLAGS.get(option, option.replace("_", "-"))


__all__ = ["READERS", "DataSet", "make_reader"]

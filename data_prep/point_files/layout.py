"""Layout of point files: columns, and full-scale values of intensity and colours."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.point_files import UNNAMED, read_columns
from data_prep.point_files.columns import Columns, ColumnsError
from data_prep.point_options import PointOptions
from pc_ssl.errors import UsageError

XYZ = ("x", "y", "z")
SKIPPED = "-"  # a column to skip
COLORS = ("red", "green", "blue", "diffuse_red", "diffuse_green", "diffuse_blue")
RING = (-1.0, 255.0)  # -1: unknown
LARGEST = 1e30  # of a feature


@dataclass(frozen=True)
class PointLayout:
    """Layout of point files, used by all readers.

    Args:
        columns: names, including x, y and z. For .bin, .npy and .npz files all columns in order, "-" for columns to
            skip; for other formats the columns to read: NAME, or NAME=COLUMN for a column COLUMN of the file.
        intensity_max: the largest intensity of the sensor, scaled to 1.
        intensity_clip: whether to clip larger intensities to `intensity_max`; they are an error otherwise.
        intensity_tanh: whether to compress intensities without a largest value to tanh(intensity / `intensity_max`),
            as is common for Waymo, whose intensities have no upper limit.
        color_max: the largest value of a colour; None: 1 for floating point, the type's largest number for integers.
        checked: columns that are only read to validate the file, such as nuScenes' ring.

    Raises:
        UsageError: `columns` lacks x, y or z or names one twice, a largest value is not positive, or intensities are to
            be both clipped and compressed.
    """

    columns: tuple[str, ...] = (*XYZ, "intensity")
    intensity_max: float = 1.0
    intensity_clip: bool = False
    intensity_tanh: bool = False
    color_max: float | None = None
    checked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = [_name(column) for column in self.columns if column != SKIPPED]
        if not set(XYZ) <= set(named) or len(set(named)) != len(named):
            raise UsageError(f"columns: got {', '.join(self.columns)}, expected x, y, z and others, each once")
        for option, value in (("intensity-max", self.intensity_max), ("color-max", self.color_max)):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{option}: {value} is not positive")
        if self.intensity_clip and self.intensity_tanh:
            raise UsageError("intensity-clip: not with intensity-tanh; choose one of them")

    def with_options(self, options: PointOptions) -> PointLayout:
        """This default layout of a data set with the user's options.

        Raises:
            UsageError: an option is out of range.
        """
        given = {name: value for name, value in vars(options).items() if value is not None}
        named = tuple(given.pop("columns", self.columns))
        return replace(self, columns=named, checked=tuple(name for name in self.checked if name in named), **given)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, in the order of their columns."""
        names = (_name(column) for column in self.columns if column != SKIPPED)
        return tuple(name for name in names if name not in (*XYZ, *self.checked))

    def changes(self, usual: PointLayout) -> dict[str, Any]:
        """Differences from the default layout of a data set, as JSON values for the manifest."""
        now = {field.name: getattr(self, field.name) for field in fields(self)}
        values = {name: value for name, value in now.items() if value != getattr(usual, name)}
        named = {("read" if name == "columns" else name): value for name, value in values.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}

    def read(self, path: Path) -> Columns:
        """The columns of a file, by name; their values are checked by `scaled`.

        Raises:
            UserError: the file is missing or damaged.
            ColumnsError: it has other columns.
        """
        named = path.suffix.lower() not in UNNAMED
        return read_columns(path, [column for column in self.columns if not (named and column == SKIPPED)])

    def scaled(self, path: Path, columns: Columns) -> list[NDArray[np.float64]]:
        """Each of `features` [N] float64; intensity and colours in [0, 1]. `path` is for errors.

        Raises:
            ColumnsError: a value is out of range, or is not a number.
        """
        with np.errstate(all="ignore"):  # values that are not finite are reported below
            values = {name: self._feature(path, name, columns[name]) for name in (*self.features, *self.checked)}
        return [values[name] for name in self.features]

    def _feature(self, path: Path, name: str, values: NDArray) -> NDArray[np.float64]:
        if name in COLORS:
            return self._color(path, name, values)
        if name == "intensity":
            return self._intensity(path, values)
        if name == "ring":
            advice = f"as a whole number; are {' '.join(self.columns)} the file's columns? --columns"
            return _within(path, name, values, RING, advice, whole=True)
        bad = ~(np.abs(values.astype(np.float64)) <= LARGEST)  # also True for NaN
        if bad.any():
            row = int(bad.argmax())
            raise ColumnsError(f"{path}: {name} of point {row} is {values[row]:g}, expected at most {LARGEST:g}")
        return values.astype(np.float64)

    def _intensity(self, path: Path, values: NDArray) -> NDArray[np.float64]:
        advice = f"are {' '.join(self.columns)} the file's columns? --columns"
        if self.intensity_tanh:
            return np.tanh(_within(path, "intensity", values, (0.0, LARGEST), advice) / self.intensity_max)
        if self.intensity_clip:
            values = np.minimum(values, self.intensity_max)
        advice = (
            "the sensor's largest intensity: --intensity-max; to clip larger ones: --intensity-clip; to compress "
            f"intensities without a largest value: --intensity-tanh; {advice}"
        )
        return _within(path, "intensity", values, (0.0, self.intensity_max), advice) / self.intensity_max

    def _color(self, path: Path, name: str, values: NDArray) -> NDArray[np.float64]:
        integer = values.dtype.kind in "iu"
        most = self.color_max or (float(np.iinfo(values.dtype).max) if integer else 1.0)
        if self.color_max is None and values.dtype == np.uint16 and 0 < values.max(initial=0) <= 255:
            raise ColumnsError(
                f"{path}: {name} holds 16-bit numbers up to {values.max()}, nearly black; are they 8-bit colours? "
                "--color-max 255, or --color-max 65535 if they are not"
            )
        return _within(path, name, values, (0.0, most), "the largest value of a colour: --color-max 255") / most


def _name(column: str) -> str:
    return column.partition("=")[0]


def _within(
    path: Path, name: str, values: NDArray, limits: tuple[float, float], advice: str, *, whole: bool = False
) -> NDArray[np.float64]:
    least, most = limits
    bad = ~((values >= least) & (values <= most))  # also True for NaN
    if whole:
        bad |= values != np.rint(values)
    if bad.any():
        row = int(bad.argmax())
        raise ColumnsError(
            f"{path}: {name} of point {row} is {values[row]:g}, expected {least:g} to {most:g}; {advice}"
        )
    return values.astype(np.float64)

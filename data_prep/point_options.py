"""The user's options for point files, the same for every reader of raw point files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PointOptions:
    """Columns and scales; None: the data set's default. The fields are those of `point_files.layout.PointLayout`."""

    columns: Sequence[str] | None = None
    intensity_max: float | None = None
    intensity_clip: bool | None = None
    intensity_tanh: bool | None = None
    color_max: float | None = None

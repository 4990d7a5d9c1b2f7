"""The labels available to a downstream run, and its evaluation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.data.annotations import (
    DrawnAnnotations,
    FewLabels,
    ListedAnnotations,
    read_annotations,
    read_scene_list,
)
from pc_ssl.data.cache import Cache
from pc_ssl.data.fractions import FractionRule, label_frames, label_scenes
from pc_ssl.data.label_counts import label_counts
from pc_ssl.errors import UsageError
from pc_ssl.files import sha256_of
from pc_ssl.protocols import SceneTransform


@dataclass(frozen=True)
class Labels:
    """Scenes with labels for training, and scenes for evaluation.

    Args:
        fraction: labelled share of the training scenes, 1 / n, or of the training frames with FractionRule.FRAMES.
        rule: which scenes or frames the fraction selects.
        offset: shifts the selection by this many scenes; 0 gives the published scenes.
        label_seed: of the selection of frames by FractionRule.FRAMES.
        train_split: split of the cache that the labelled scenes are taken from.
        val_split: split for evaluation.
        scene_list: file that names the labelled scenes, instead of a fraction.
        points: labelled points of each scene: their number, or the file that names them; None: all points.

    Raises:
        UsageError: options that exclude each other.
    """

    fraction: float = 1.0
    rule: FractionRule = FractionRule.SLIDR
    offset: int = 0
    label_seed: int = 0
    train_split: str = "train"
    val_split: str = "val"
    scene_list: Path | None = None
    points: int | Path | None = None

    def __post_init__(self) -> None:
        if self.scene_list is not None and (self.fraction != 1 or self.offset):
            raise UsageError("label-scenes: names the scenes; it cannot be combined with --labels or --label-offset")
        if self.label_seed and not self.selects_frames:
            raise UsageError("label-seed: selects frames; expected --label-rule frames without --label-scenes")
        if self.offset and self.selects_frames:
            raise UsageError("label-offset: shifts scenes; with --label-rule frames choose another --label-seed")
        if self.label_seed < 0:
            raise UsageError(f"label-seed: expected a number from 0, got {self.label_seed}")

    @property
    def selects_frames(self) -> bool:
        """Whether single frames are labelled rather than whole scenes."""
        return self.rule is FractionRule.FRAMES and self.scene_list is None

    @property
    def unit(self) -> str:
        """What the fraction counts, in messages."""
        return "frames" if self.selects_frames else "scenes"

    def scenes(self, cache: Cache) -> tuple[str, ...]:
        """The scenes with labels, in the order of the split.

        Raises:
            UserError: the cache has no such split, or the fraction or the list does not fit it.
        """
        if self.selects_frames:
            return self.scenes_of(cache, self.rows(cache))
        split = self._split(cache)
        if self.scene_list is not None:
            return read_scene_list(self.scene_list, split)
        return label_scenes(split, self.fraction, rule=self.rule, offset=self.offset)

    def rows(self, cache: Cache) -> list[int]:
        """The rows of the cache that are labelled frames, ascending.

        Raises:
            UserError: as `scenes`.
        """
        if self.selects_frames:
            split = cache.indices(self.train_split)
            counts = label_counts(cache, split)
            chosen = label_frames([cache.frames[row].scene for row in split], counts, self.fraction, self.label_seed)
            return [split[position] for position in chosen]
        scenes = set(self.scenes(cache))
        return [row for row in cache.indices(self.train_split) if cache.frames[row].scene in scenes]

    def scenes_of(self, cache: Cache, rows: Sequence[int]) -> tuple[str, ...]:
        """The scenes of frames of the cache, in the order of the split."""
        scenes = {cache.frames[row].scene for row in rows}
        return tuple(scene for scene in self._split(cache) if scene in scenes)

    def _split(self, cache: Cache) -> Sequence[str]:
        """All scenes of the training split."""
        rows = cache.indices(self.train_split)  # checks the name
        found = list(dict.fromkeys(cache.frames[row].scene for row in rows))
        return cache.manifest.splits.get(self.train_split, found)  # `ALL_FRAMES` is not listed there

    def transforms(self, seed: int) -> tuple[SceneTransform, ...]:
        """Transforms that remove all other labels; if only their number is given, `seed` selects the kept ones.

        Raises:
            UserError: the list of points cannot be read.
        """
        if self.points is None:
            return ()
        if isinstance(self.points, int):
            return (FewLabels(DrawnAnnotations(self.points, seed)),)
        return (FewLabels(ListedAnnotations(self.points, read_annotations(self.points))),)

    def settings(self) -> dict[str, Any]:
        """Settings of the run, as JSON values; files by their checksums."""
        values: dict[str, Any] = {
            "labels": self.fraction,
            "label_rule": self.rule.value,
            "label_offset": self.offset,
            "train_split": self.train_split,
            "val_split": self.val_split,
        }
        if self.selects_frames:
            values["label_seed"] = self.label_seed
        if self.scene_list is not None:
            values["label_scenes"] = sha256_of(self.scene_list)
        if self.points is not None:
            values["label_points"] = self.points if isinstance(self.points, int) else sha256_of(self.points)
        return values

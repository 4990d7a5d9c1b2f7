"""The labels available to a downstream run, and its evaluation split."""

from __future__ import annotations

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
from pc_ssl.data.fractions import FractionRule, label_scenes
from pc_ssl.errors import UsageError
from pc_ssl.files import sha256_of
from pc_ssl.protocols import SceneTransform


@dataclass(frozen=True)
class Labels:
    """Scenes with labels for training, and scenes for evaluation.

    Args:
        fraction: labelled share of the training scenes, 1 / n.
        rule: which scenes the fraction selects.
        offset: shifts the selection by this many scenes; 0 gives the published scenes.
        train_split: split of the cache that the labelled scenes are taken from.
        val_split: split for evaluation.
        scene_list: file that names the labelled scenes, instead of a fraction.
        points: labelled points of each scene: their number, or the file that names them; None: all points.

    Raises:
        UsageError: both a fraction and a list of scenes.
    """

    fraction: float = 1.0
    rule: FractionRule = FractionRule.SLIDR
    offset: int = 0
    train_split: str = "train"
    val_split: str = "val"
    scene_list: Path | None = None
    points: int | Path | None = None

    def __post_init__(self) -> None:
        if self.scene_list is not None and (self.fraction != 1 or self.offset):
            raise UsageError("label-scenes: names the scenes; it cannot be combined with --labels or --label-offset")

    def scenes(self, cache: Cache) -> tuple[str, ...]:
        """The labelled scenes, in the order of the split.

        Raises:
            UserError: the cache has no such split, or the fraction or the list does not fit it.
        """
        cache.indices(self.train_split)
        split = cache.manifest.splits[self.train_split]
        if self.scene_list is not None:
            return read_scene_list(self.scene_list, split)
        return label_scenes(split, self.fraction, rule=self.rule, offset=self.offset)

    def rows(self, cache: Cache) -> list[int]:
        """The rows of the cache that are frames of labelled scenes."""
        scenes = set(self.scenes(cache))
        return [row for row in cache.indices(self.train_split) if cache.frames[row].scene in scenes]

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
        if self.scene_list is not None:
            values["label_scenes"] = sha256_of(self.scene_list)
        if self.points is not None:
            values["label_points"] = self.points if isinstance(self.points, int) else sha256_of(self.points)
        return values

"""Point segmentation: mean intersection over union as defined by nuScenes-lidarseg.

Counts are collected over all points of all frames before any ratio is taken. Points labelled `ignore` (class 0) are not
counted, whatever the prediction. A class that is neither labelled nor predicted anywhere has no IoU and is left
out of the mean, as in the devkit (SLidR's code counts it as 1); a class that is predicted but labelled nowhere counts
as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.evaluation.class_counts import ClassCounts, scenes_from_dict
from pc_ssl.evaluation.resampling import Scores, Times, check_times, mean_of_known, ratio
from pc_ssl.structures import IGNORE


@dataclass(frozen=True)
class SegmentationResult:
    """Counts over a split.

    Args:
        class_names: names of the K classes, `ignore` left out.
        confusion: [K][K] points; rows are labels, columns predictions.
        num_frames: number of evaluated frames.
        scenes: scene -> its counts of points.
    """

    class_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    num_frames: int
    scenes: Mapping[str, ClassCounts] = field(default_factory=dict)

    score_name: ClassVar[str] = "miou"

    @property
    def true_positive(self) -> tuple[int, ...]:
        return tuple(row[k] for k, row in enumerate(self.confusion))

    @property
    def labelled(self) -> tuple[int, ...]:
        """Points labelled as each class: true positives and false negatives."""
        return tuple(sum(row) for row in self.confusion)

    @property
    def predicted(self) -> tuple[int, ...]:
        """Points predicted as each class: true positives and false positives."""
        return tuple(sum(column) for column in zip(*self.confusion, strict=True))

    @property
    def iou(self) -> tuple[float | None, ...]:
        """TP / (TP + FP + FN) of each class; None where the class is neither labelled nor predicted."""
        return _iou(ClassCounts(self.true_positive, self.labelled, self.predicted))

    @property
    def miou(self) -> float:
        """Mean of the defined IoUs, in [0, 1]."""
        return _mean(self.iou)

    @property
    def scene_miou(self) -> dict[str, float]:
        """mIoU of each scene that has a labelled point, from that scene's counts alone."""
        return {name: _mean(_iou(counts)) for name, counts in self.scenes.items() if any(counts.labelled)}

    @property
    def scene_names(self) -> tuple[str, ...]:
        """The scenes whose counts are known, S of them; none in results of earlier versions."""
        return tuple(self.scenes)

    def resampled(self, times: Times) -> dict[str, Scores]:
        """ "miou" [B] of resamples [B, S] of `scene_names`; NaN without any point.

        Raises:
            ValueError: `times` is not [B, S] of integers that are not negative.
        """
        check_times(times, self.scene_names)
        shape = (len(self.scenes), len(self.class_names))
        hit = np.array([counts.true_positive for counts in self.scenes.values()], np.int64).reshape(shape)
        union = np.array([counts.union for counts in self.scenes.values()], np.int64).reshape(shape)
        return {"miou": mean_of_known(ratio(times @ hit, times @ union))}

    @property
    def score(self) -> float:
        """mIoU: the number by which runs are chosen."""
        return self.miou

    @property
    def headline(self) -> str:
        return f"mIoU {100 * self.miou:.1f} %"

    def table(self) -> str:
        """Lines of text: IoU and labelled points of each class, and the mean."""
        width = max(len(name) for name in self.class_names)
        lines = [f"{'class':{width}}    IoU %   labelled points"]
        for name, iou, labelled in zip(self.class_names, self.iou, self.labelled, strict=True):
            value = "-" if iou is None else f"{100 * iou:.1f}"
            lines.append(f"{name:{width}}  {value:>7}  {labelled:>16,}")
        lines.append(f"{'mean':{width}}  {100 * self.miou:7.1f}  {sum(self.labelled):>16,}")
        return "\n".join(lines)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SegmentationResult:
        """The result that `as_dict` gave."""
        confusion = tuple(tuple(row) for row in content["confusion"])
        return cls(tuple(content["iou"]), confusion, content["num_frames"], scenes_from_dict(content))

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "miou": self.miou,
            "iou": dict(zip(self.class_names, self.iou, strict=True)),
            "labelled_points": dict(zip(self.class_names, self.labelled, strict=True)),
            "predicted_points": dict(zip(self.class_names, self.predicted, strict=True)),
            "confusion": [list(row) for row in self.confusion],
            "num_frames": self.num_frames,
            "scenes": {name: counts.as_dict() for name, counts in self.scenes.items()},
        }


def _iou(counts: ClassCounts) -> tuple[float | None, ...]:
    pairs = zip(counts.true_positive, counts.union, strict=True)
    return tuple(hit / union if union else None for hit, union in pairs)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


class SegmentationMetric:
    """Counts predictions against labels, one frame at a time.

    Args:
        class_names: names by class index; index 0 is `ignore`.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._confusion = torch.zeros(len(class_names), len(class_names), dtype=torch.int64)
        self._scenes: dict[str, Tensor] = {}
        self._num_frames = 0

    def update(self, prediction: Tensor, label: Tensor, scene: str | None = None) -> None:
        """Count one frame.

        Args:
            prediction: [N] integer in 1..K.
            label: [N] integer in 0..K, 0 means ignore.
            scene: of the frame; None: the frame is counted for the whole split only.

        Raises:
            ValueError: lengths differ, or a class is out of range.
        """
        size = len(self.class_names)
        prediction, label = prediction.cpu().long(), label.cpu().long()
        if prediction.shape != label.shape or prediction.ndim != 1:
            raise ValueError(f"prediction {tuple(prediction.shape)} and label {tuple(label.shape)} must both be [N]")
        for name, value, lowest in (("prediction", prediction, 1), ("label", label, 0)):
            if len(value) and not (lowest <= int(value.min()) and int(value.max()) < size):
                raise ValueError(f"{name} must be in {lowest}..{size - 1}, got {value.min()}..{value.max()}")
        counts = torch.bincount(label * size + prediction, minlength=size * size).view(size, size)
        self._confusion += counts
        if scene is not None:
            self._scenes[scene] = self._scenes.get(scene, 0) + counts
        self._num_frames += 1

    def result(self) -> SegmentationResult:
        """The result over the frames counted so far.

        Raises:
            UserError: no frame has a labelled point.
        """
        kept = [k for k in range(len(self.class_names)) if k != IGNORE]
        confusion = self._confusion[kept][:, kept]
        if int(confusion.sum()) == 0:
            raise UserError(f"segmentation: none of the {self._num_frames} frames has a labelled point")
        return SegmentationResult(
            class_names=tuple(self.class_names[k] for k in kept),
            confusion=tuple(tuple(row) for row in confusion.tolist()),
            num_frames=self._num_frames,
            scenes={name: _class_counts(counts[kept][:, kept]) for name, counts in self._scenes.items()},
        )


def _class_counts(confusion: Tensor) -> ClassCounts:
    return ClassCounts.of(confusion.diagonal(), confusion.sum(dim=1), confusion.sum(dim=0))

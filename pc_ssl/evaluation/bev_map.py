"""BEV map segmentation: IoU of each class at its best threshold.

As BEVFusion evaluates (mit-han-lab/bevfusion, mmdet3d/datasets/nuscenes_dataset.py): cells of all frames are counted
together at thresholds 0.35, 0.40, ..., 0.65; a class's IoU is that at the threshold where it is highest, chosen on the
evaluated split itself, and the mean is over classes. Cells that the ground-truth map does not cover are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.evaluation.class_counts import ClassCounts, ThresholdCounts, scenes_from_dict
from pc_ssl.evaluation.resampling import Scores, Times, check_times, mean_of_known, ratio

THRESHOLDS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65)


@dataclass(frozen=True)
class BevMapResult:
    """Counts over a split, in cells.

    Args:
        class_names: names of the K classes.
        hit: [T][K] cells of the class that are predicted at each of THRESHOLDS.
        predicted: [T][K] cells predicted.
        labelled: [K] cells of the class.
        known: number of counted cells, per class.
        num_frames: keyframes.
        scenes: scene -> its counts of cells, predicted at the best thresholds of the whole split.
        scene_counts: scene -> its counts of cells at each threshold; empty in results of earlier versions.
    """

    class_names: tuple[str, ...]
    hit: tuple[tuple[int, ...], ...]
    predicted: tuple[tuple[int, ...], ...]
    labelled: tuple[int, ...]
    known: int
    num_frames: int
    scenes: Mapping[str, ClassCounts] = field(default_factory=dict)
    scene_counts: Mapping[str, ThresholdCounts] = field(default_factory=dict)

    score_name: ClassVar[str] = "miou"

    @property
    def iou_at(self) -> tuple[tuple[float | None, ...], ...]:
        """[T][K] in [0, 1]; None for a class without cells."""
        return tuple(
            tuple(h / (p + n - h) if n else None for h, p, n in zip(hit, predicted, self.labelled, strict=True))
            for hit, predicted in zip(self.hit, self.predicted, strict=True)
        )

    @property
    def iou(self) -> tuple[float | None, ...]:
        """[K] at the best threshold of each class; None for a class without cells."""
        columns = zip(*self.iou_at, strict=True)
        return tuple(max((value for value in column if value is not None), default=None) for column in columns)

    @property
    def best_threshold(self) -> tuple[float | None, ...]:
        """[K] the lowest of those where the class's IoU is highest; None for a class without cells."""
        return tuple(
            None if best is None else THRESHOLDS[[row[k] for row in self.iou_at].index(best)]
            for k, best in enumerate(self.iou)
        )

    @property
    def miou(self) -> float:
        """Mean over the classes that have cells, in [0, 1]."""
        values = [value for value in self.iou if value is not None]
        return sum(values) / len(values)

    @property
    def scene_miou(self) -> dict[str, float]:
        """mIoU of each scene over the classes that have cells in it; scenes without any are left out."""
        means = {}
        for name, counts in self.scenes.items():
            pairs = zip(counts.true_positive, counts.union, counts.labelled, strict=True)
            values = [hit / union for hit, union, labelled in pairs if labelled]
            if values:
                means[name] = sum(values) / len(values)
        return means

    @property
    def scene_names(self) -> tuple[str, ...]:
        """The scenes whose counts are known, S of them; none in results of earlier versions."""
        return tuple(self.scene_counts)

    def resampled(self, times: Times) -> dict[str, Scores]:
        """ "miou" [B] of resamples [B, S] of `scene_names`, each class at its best threshold in the resample.

        Raises:
            ValueError: `times` is not [B, S] of integers that are not negative.
        """
        check_times(times, self.scene_names)
        rows, shape = list(self.scene_counts.values()), (len(THRESHOLDS), len(self.class_names))

        def added(values: list[Any], shape: tuple[int, ...]) -> NDArray[np.int64]:
            flat = np.array(values, np.int64).reshape(len(rows), -1 if rows else math.prod(shape))
            return (times @ flat).reshape(len(times), *shape)

        hit, predicted = added([row.hit for row in rows], shape), added([row.predicted for row in rows], shape)
        labelled = added([row.labelled for row in rows], shape[1:])[:, None]
        iou = ratio(hit, np.where(labelled > 0, predicted + labelled - hit, 0))
        return {"miou": mean_of_known(iou.max(axis=1))}

    @property
    def score(self) -> float:
        """mIoU: the number by which runs are chosen."""
        return self.miou

    @property
    def headline(self) -> str:
        return f"map mIoU {100 * self.miou:.1f} %"

    def table(self) -> str:
        """Lines of text: IoU, threshold and cells of each class, and the mean."""
        width = max(len(name) for name in self.class_names)
        lines = [f"{'class':{width}}    IoU %  threshold            cells"]
        for name, iou, best, cells in zip(self.class_names, self.iou, self.best_threshold, self.labelled, strict=True):
            value, at = ("-", "-") if iou is None else (f"{100 * iou:.1f}", f"{best:g}")
            lines.append(f"{name:{width}}  {value:>7}  {at:>9}  {cells:>15,}")
        return "\n".join([*lines, f"{'mean':{width}}  {100 * self.miou:7.1f}  {'':9}  {self.known:>15,} known"])

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BevMapResult:
        """The result that `as_dict` gave."""
        return cls(
            tuple(content["labelled"]),
            tuple(tuple(row) for row in content["hit"]),
            tuple(tuple(row) for row in content["predicted"]),
            tuple(content["labelled"].values()),
            content["known"],
            content["num_frames"],
            scenes_from_dict(content),
            {name: ThresholdCounts.from_dict(counts) for name, counts in content.get("scene_counts", {}).items()},
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "miou": self.miou,
            "iou": dict(zip(self.class_names, self.iou, strict=True)),
            "best_threshold": dict(zip(self.class_names, self.best_threshold, strict=True)),
            "labelled": dict(zip(self.class_names, self.labelled, strict=True)),
            "thresholds": list(THRESHOLDS),
            "hit": [list(row) for row in self.hit],
            "predicted": [list(row) for row in self.predicted],
            "known": self.known,
            "num_frames": self.num_frames,
            "scenes": {name: counts.as_dict() for name, counts in self.scenes.items()},
            "scene_counts": {name: counts.as_dict() for name, counts in self.scene_counts.items()},
        }


class BevMapMetric:
    """Counts predictions against ground-truth maps, one frame at a time.

    Args:
        class_names: names of the K classes.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        shape = (len(THRESHOLDS), len(class_names))
        self._hit, self._predicted = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
        self._labelled = torch.zeros(len(class_names), dtype=torch.int64)
        self._known = self._num_frames = 0
        self._scenes: dict[str, list[Tensor]] = {}  # hit [T, K], predicted [T, K], labelled [K]

    def update(self, probability: Tensor, mask: Tensor, known: Tensor, scene: str | None = None) -> None:
        """Count one frame.

        Args:
            probability: [K, H, W] in [0, 1]; predicted if at least a threshold.
            mask: [K, H, W] bool.
            known: [H, W] bool: cells to count.
            scene: of the frame; None: the frame is counted for the whole split only.

        Raises:
            ValueError: shapes do not match.
        """
        expected = (len(self.class_names), *known.shape)
        if probability.shape != expected or mask.shape != expected:
            raise ValueError(f"need {expected}, got {tuple(probability.shape)} and {tuple(mask.shape)}")
        value, truth = probability.cpu()[:, known.cpu()], mask.cpu()[:, known.cpu()]
        guesses = [value >= threshold for threshold in THRESHOLDS]
        hit = torch.stack([(guess & truth).sum(dim=1) for guess in guesses])
        predicted, labelled = torch.stack([guess.sum(dim=1) for guess in guesses]), truth.sum(dim=1)
        self._hit += hit
        self._predicted += predicted
        self._labelled += labelled
        if scene is not None:
            before = self._scenes.get(scene, [torch.zeros_like(x) for x in (hit, predicted, labelled)])
            self._scenes[scene] = [old + new for old, new in zip(before, (hit, predicted, labelled), strict=True)]
        self._known += int(known.sum())
        self._num_frames += 1

    def result(self) -> BevMapResult:
        """The result over the frames counted so far.

        Raises:
            UserError: no known cell belongs to any class.
        """
        if int(self._labelled.sum()) == 0:
            raise UserError(f"map segmentation: no class covers a known cell in any of {self._num_frames} frames")
        result = BevMapResult(
            class_names=self.class_names,
            hit=tuple(map(tuple, self._hit.tolist())),
            predicted=tuple(map(tuple, self._predicted.tolist())),
            labelled=tuple(self._labelled.tolist()),
            known=self._known,
            num_frames=self._num_frames,
        )
        # A class without cells has no best threshold: its counts do not enter a mean, whatever the row.
        best = torch.tensor([0 if t is None else THRESHOLDS.index(t) for t in result.best_threshold])[None]
        scenes = {
            name: ClassCounts.of(hit.gather(0, best)[0], labelled, predicted.gather(0, best)[0])
            for name, (hit, predicted, labelled) in self._scenes.items()
        }
        counts = {name: ThresholdCounts.of(*of_scene) for name, of_scene in self._scenes.items()}
        return replace(result, scenes=scenes, scene_counts=counts)

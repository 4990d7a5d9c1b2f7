"""Indoor detection: average precision at IoU 0.25 and 0.5, as reported for ScanNet since VoteNet.

Qi et al., "Deep Hough Voting for 3D Object Detection in Point Clouds", ICCV 2019. Predictions of all rooms are sorted
by score; one is correct if its IoU with a box of its class reaches the threshold, and no prediction of higher score
matched the box. The average precision is the area under precision over recall, with precision made monotonically
decreasing (PASCAL VOC 2010). Boxes are compared as boxes along the axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.heads.indoor_detection import along_axes, overlaps
from pc_ssl.structures import Boxes3D

THRESHOLDS = (0.25, 0.5)


@dataclass(frozen=True)
class IndoorDetectionResult:
    """Result over a split.

    Args:
        class_names: names of the K classes.
        average_precision: [T][K] in [0, 1] at each of the T thresholds; None for a class without boxes.
        boxes: [K] boxes of the data set.
        predictions: [K] predicted boxes.
        num_frames: number of evaluated rooms.
    """

    class_names: tuple[str, ...]
    average_precision: tuple[tuple[float | None, ...], ...]
    boxes: tuple[int, ...]
    predictions: tuple[int, ...]
    num_frames: int

    score_name: ClassVar[str] = f"map@{THRESHOLDS[0]:g}"

    @property
    def mean_average_precision(self) -> tuple[float, ...]:
        """At each threshold, over the classes that have boxes."""
        known = [[value for value in row if value is not None] for row in self.average_precision]
        return tuple(sum(row) / len(row) for row in known)

    @property
    def score(self) -> float:
        """Mean average precision at the lower threshold: the number by which runs are chosen."""
        return self.mean_average_precision[0]

    @property
    def headline(self) -> str:
        pairs = zip(THRESHOLDS, self.mean_average_precision, strict=True)
        return ", ".join(f"mAP@{threshold:g} {100 * value:.1f} %" for threshold, value in pairs)

    def table(self) -> str:
        """Lines of text: average precision and boxes of each class, and the means."""
        width = max(len(name) for name in (*self.class_names, "class"))
        lines = ["  ".join([f"{'class':{width}}", *(f"AP@{t:g} %" for t in THRESHOLDS), "   boxes"])]
        for k, name in enumerate(self.class_names):
            values = ("-" if row[k] is None else f"{100 * (row[k] or 0):.1f}" for row in self.average_precision)
            lines.append("  ".join([f"{name:{width}}", *(f"{value:>9}" for value in values), f"{self.boxes[k]:>8}"]))
        means = (f"{100 * value:>9.1f}" for value in self.mean_average_precision)
        return "\n".join([*lines, "  ".join([f"{'mean':{width}}", *means, f"{sum(self.boxes):>8}"])])

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> IndoorDetectionResult:
        """The result that `as_dict` gave."""
        return cls(
            tuple(content["boxes"]),
            tuple(tuple(content["average_precision"][f"{t:g}"].values()) for t in THRESHOLDS),
            tuple(content["boxes"].values()),
            tuple(content["predictions"].values()),
            content["num_frames"],
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        by_class = [dict(zip(self.class_names, row, strict=True)) for row in self.average_precision]
        return {
            "map": {f"{t:g}": value for t, value in zip(THRESHOLDS, self.mean_average_precision, strict=True)},
            "average_precision": {f"{t:g}": row for t, row in zip(THRESHOLDS, by_class, strict=True)},
            "boxes": dict(zip(self.class_names, self.boxes, strict=True)),
            "predictions": dict(zip(self.class_names, self.predictions, strict=True)),
            "num_frames": self.num_frames,
        }


class IndoorDetectionMetric:
    """Collects predictions and boxes, one room at a time.

    Args:
        class_names: names of the K classes.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._num_frames = 0
        self._boxes = [0] * len(class_names)
        # of each class: scores, and for each threshold whether the prediction is correct
        self._scores: list[list[float]] = [[] for _ in class_names]
        self._right: list[list[list[bool]]] = [[[] for _ in THRESHOLDS] for _ in class_names]

    def update(self, prediction: Boxes3D, truth: Boxes3D) -> None:
        """Count one room.

        Args:
            prediction: with scores.
            truth: boxes of the data set, in the same frame.

        Raises:
            ValueError: the predictions have no scores.
        """
        if prediction.score is None:
            raise ValueError("predictions need scores")
        self._num_frames += 1
        for k in range(len(self.class_names)):
            found, expected = prediction[prediction.label == k].to("cpu"), truth[truth.label == k].to("cpu")
            assert found.score is not None
            order = found.score.argsort(descending=True, stable=True)
            overlap = overlaps(along_axes(found.box[order]), along_axes(expected.box))
            self._boxes[k] += len(expected)
            self._scores[k] += found.score[order].tolist()
            for number, threshold in enumerate(THRESHOLDS):
                self._right[k][number] += _matched(overlap, threshold)

    def result(self) -> IndoorDetectionResult:
        """The result over the rooms counted so far.

        Raises:
            UserError: no room has a box.
        """
        if not any(self._boxes):
            raise UserError(f"detection: none of the {self._num_frames} frames has a box")
        precision = tuple(
            tuple(
                _average_precision(self._scores[k], self._right[k][number], self._boxes[k]) if self._boxes[k] else None
                for k in range(len(self.class_names))
            )
            for number in range(len(THRESHOLDS))
        )
        counts = tuple(len(scores) for scores in self._scores)
        return IndoorDetectionResult(self.class_names, precision, tuple(self._boxes), counts, self._num_frames)


def _matched(overlap: Tensor, threshold: float) -> list[bool]:
    """Whether each prediction, by descending score, is the first to match its best-overlapping box by the threshold."""
    taken: set[int] = set()
    right = []
    for row in overlap:
        best = int(row.argmax()) if len(row) else -1
        hit = best >= 0 and bool(row[best] >= threshold) and best not in taken
        if hit:
            taken.add(best)
        right.append(hit)
    return right


def _average_precision(scores: Sequence[float], right: Sequence[bool], boxes: int) -> float:
    order = torch.tensor(scores, dtype=torch.float64).argsort(descending=True, stable=True)
    hits = torch.tensor(right, dtype=torch.float64)[order].cumsum(0)
    if len(hits) == 0:
        return 0.0
    recall = hits / boxes
    precision = hits / torch.arange(1, len(hits) + 1)
    falling = precision.flip(0).cummax(0).values.flip(0)
    return float((recall.diff(prepend=recall.new_zeros(1)) * falling).sum())

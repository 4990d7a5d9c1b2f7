"""Agreement of regions with annotated objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ObjectRecall:
    """Of `objects` boxes with enough points, `found` have a matching region. Results of several frames add up."""

    found: int
    objects: int

    @property
    def recall(self) -> float:
        """Share of the objects found; NaN without objects."""
        return self.found / self.objects if self.objects else float("nan")

    def __add__(self, other: ObjectRecall) -> ObjectRecall:
        return ObjectRecall(self.found + other.found, self.objects + other.objects)


def object_recall(
    inside: NDArray[np.bool_], region: NDArray[np.int32], min_points: int = 10, iou: float = 0.5
) -> ObjectRecall:
    """Count the boxes for which some region's points have an intersection over union of `iou` with the box's points.

    Args:
        inside: [M, N] bool, see `geometry.points_in_boxes`.
        region: [N] int32, 0..R - 1, -1 for none.
        min_points: boxes with fewer points are left out.
        iou: intersection over union of two sets of points, at least.
    """
    region_size = np.bincount(region[region >= 0], minlength=1)
    found = objects = 0
    for of in inside:
        if of.sum() < min_points:
            continue
        objects += 1
        of_box = region[of]
        shared = np.bincount(of_box[of_box >= 0], minlength=len(region_size))
        found += bool((shared >= iou * (of.sum() + region_size - shared)).any())
    return ObjectRecall(found, objects)


@dataclass(frozen=True)
class Purity:
    """Of `points` in regions, `pure` belong to the majority object of their region. Results add up."""

    pure: int
    points: int

    @property
    def purity(self) -> float:
        """Share of pure points; NaN without regions."""
        return self.pure / self.points if self.points else float("nan")

    def __add__(self, other: Purity) -> Purity:
        return Purity(self.pure + other.pure, self.points + other.points)


def region_purity(inside: NDArray[np.bool_], region: NDArray[np.int32]) -> Purity:
    """Purity of regions with respect to annotated objects and background.

    Args:
        inside: [M, N] bool, see `geometry.points_in_boxes`; a point belongs to the first box that it is in, or to the
            background, which is one more object.
        region: [N] int32, 0..R - 1, -1 for none.
    """
    objects, points = inside.shape
    owner = np.where(inside.any(axis=0), inside.argmax(axis=0) + 1, 0) if objects else np.zeros(points, np.int64)
    some = region >= 0
    shared = np.zeros((region.max(initial=-1) + 1, objects + 1), np.int64)
    np.add.at(shared, (region[some], owner[some]), 1)
    return Purity(int(shared.max(axis=1).sum()), int(some.sum()))

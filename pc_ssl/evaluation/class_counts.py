"""Counts behind an intersection over union, kept per scene so that scores can be resampled over scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class ClassCounts:
    """Points or map cells of one scene, by class.

    Args:
        true_positive: [K] labelled as the class and predicted as it.
        labelled: [K] labelled as the class.
        predicted: [K] predicted as the class.
    """

    true_positive: tuple[int, ...]
    labelled: tuple[int, ...]
    predicted: tuple[int, ...]

    @classmethod
    def of(cls, true_positive: Tensor, labelled: Tensor, predicted: Tensor) -> ClassCounts:
        """From three tensors [K] of integers."""
        return cls(tuple(true_positive.tolist()), tuple(labelled.tolist()), tuple(predicted.tolist()))

    @property
    def union(self) -> tuple[int, ...]:
        """[K] labelled as the class, predicted as it, or both."""
        counts = zip(self.true_positive, self.labelled, self.predicted, strict=True)
        return tuple(label + guess - hit for hit, label, guess in counts)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ClassCounts:
        """The counts that `as_dict` gave."""
        return cls(**{name: tuple(values) for name, values in content.items()})

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {name: list(values) for name, values in asdict(self).items()}


@dataclass(frozen=True)
class ThresholdCounts:
    """Map cells of one scene, by threshold and class.

    Args:
        hit: [T][K] cells of the class that are predicted at each of T thresholds.
        predicted: [T][K] cells predicted.
        labelled: [K] cells of the class.
    """

    hit: tuple[tuple[int, ...], ...]
    predicted: tuple[tuple[int, ...], ...]
    labelled: tuple[int, ...]

    @classmethod
    def of(cls, hit: Tensor, predicted: Tensor, labelled: Tensor) -> ThresholdCounts:
        """From tensors [T, K], [T, K] and [K] of integers."""
        return cls(tuple(map(tuple, hit.tolist())), tuple(map(tuple, predicted.tolist())), tuple(labelled.tolist()))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ThresholdCounts:
        """The counts that `as_dict` gave."""
        rows = {name: tuple(map(tuple, content[name])) for name in ("hit", "predicted")}
        return cls(rows["hit"], rows["predicted"], tuple(content["labelled"]))

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "hit": [list(row) for row in self.hit],
            "predicted": [list(row) for row in self.predicted],
            "labelled": list(self.labelled),
        }


def scenes_from_dict(content: Mapping[str, Any]) -> dict[str, ClassCounts]:
    """Scene -> counts, from field "scenes" of a result; results of earlier versions hold none."""
    return {name: ClassCounts.from_dict(counts) for name, counts in content.get("scenes", {}).items()}

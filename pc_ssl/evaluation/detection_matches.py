"""Which predicted boxes are right, by scene, and nuScenes' scores of any resample of the scenes.

A box is matched within its frame, so that the matches of a scene do not depend on other scenes, while precision and
recall are of all scenes together. The rules and constants are those of the devkit's configuration `detection_cvpr_2019`
(nuscenes/eval/detection/algo.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pc_ssl.evaluation.resampling import Scores, Times

if TYPE_CHECKING:
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionBox

ERRORS = ("trans", "scale", "orient", "vel", "attr")  # metres, 1 - IoU, radians, m/s, 1 - accuracy
MAP_WEIGHT = 5  # of the mean average precision in NDS, relative to 1 for each of the errors
ERROR_THRESHOLD_M = 2.0  # distance between centres up to which errors are measured
RECALLS = np.linspace(0, 1, 101)
FIRST = 11  # of RECALLS: those above the least recall, 0.1
MIN_PRECISION = 0.1


@dataclass(frozen=True)
class ClassMatches:
    """The boxes of one class in one scene.

    Args:
        boxes: counted ground-truth boxes.
        with_velocity: those of them whose velocity is known.
        with_attribute: those of them that have an attribute.
        score: [N] of the N counted predictions, float32 values.
        matched: [N] bit t is set if the prediction is right at threshold t.
        errors: [M] of the M predictions that are right at ERROR_THRESHOLD_M, in the order of `score`: the five ERRORS;
            None where the annotation lacks the value.
    """

    boxes: int
    with_velocity: int
    with_attribute: int
    score: tuple[float, ...]
    matched: tuple[int, ...]
    errors: tuple[tuple[float | None, ...], ...]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ClassMatches:
        """The matches that `as_dict` gave."""
        return cls(
            content["boxes"],
            content["with_velocity"],
            content["with_attribute"],
            tuple(np.array(content["score"], np.float32).tolist()),
            tuple(content["matched"]),
            tuple(map(tuple, content["errors"])),
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; scores with the digits that a float32 needs."""
        return {
            "boxes": self.boxes,
            "with_velocity": self.with_velocity,
            "with_attribute": self.with_attribute,
            "score": [float(str(value)) for value in np.array(self.score, np.float32)],
            "matched": list(self.matched),
            "errors": [list(row) for row in self.errors],
        }


SceneMatches = Mapping[str, ClassMatches]  # by class


def match_scene(
    truth: EvalBoxes, found: EvalBoxes, tokens: Sequence[str], names: Sequence[str], thresholds_m: Sequence[float]
) -> dict[str, ClassMatches]:
    """Match the boxes of a scene's frames as the devkit does, by descending score to the nearest free box.

    Args:
        truth: counted ground-truth boxes, by frame.
        found: counted predictions, by frame.
        tokens: the frames of the scene.
        names: classes.
        thresholds_m: distances between centres.
    """
    matches = {}
    for name in names:
        score, matched, errors = list[float](), list[int](), list[tuple[float | None, ...]]()
        boxes: list[DetectionBox] = []
        for token in tokens:
            own = [box for box in truth[token] if box.detection_name == name]
            guesses = [box for box in found[token] if box.detection_name == name]
            pairs = [_pairs(own, guesses, threshold) for threshold in thresholds_m]
            at = pairs[list(thresholds_m).index(ERROR_THRESHOLD_M)]
            score += [box.detection_score for box in guesses]
            matched += [sum(1 << t for t, of in enumerate(pairs) if k in of) for k in range(len(guesses))]
            errors += [_errors(own[at[k]], guesses[k], name) for k in range(len(guesses)) if k in at]
            boxes += own
        matches[name] = ClassMatches(
            boxes=len(boxes),
            with_velocity=sum(bool(np.isfinite(box.velocity).all()) for box in boxes),
            with_attribute=sum(box.attribute_name != "" for box in boxes),
            score=tuple(np.array(score, np.float32).tolist()),
            matched=tuple(matched),
            errors=tuple(errors),
        )
    return matches


def _pairs(own: Sequence[DetectionBox], guesses: Sequence[DetectionBox], threshold: float) -> dict[int, int]:
    """Prediction -> box, of one frame and class."""
    from nuscenes.eval.common.utils import center_distance

    pairs: dict[int, int] = {}
    free = set(range(len(own)))
    for k in sorted(range(len(guesses)), key=lambda k: (guesses[k].detection_score, k), reverse=True):
        distances = {box: center_distance(own[box], guesses[k]) for box in sorted(free)}
        nearest = min(distances, key=lambda box: distances[box], default=None)
        if nearest is not None and distances[nearest] < threshold:
            pairs[k] = nearest
            free.remove(nearest)
    return pairs


def _errors(box: DetectionBox, guess: DetectionBox, name: str) -> tuple[float | None, ...]:
    from nuscenes.eval.common.utils import attr_acc, center_distance, scale_iou, velocity_l2, yaw_diff

    period = np.pi if name == "barrier" else 2 * np.pi  # a barrier has no front
    values = (
        center_distance(box, guess), 1 - scale_iou(box, guess), yaw_diff(box, guess, period=period),
        velocity_l2(box, guess), 1 - attr_acc(box, guess),
    )  # fmt: skip
    return tuple(float(value) if np.isfinite(value) else None for value in values)


class ResampledDetection:
    """The predictions of S scenes, pooled by class and sorted by score.

    Args:
        scenes: matches of each scene.
        undefined: class -> errors that are not defined for it.
        thresholds_m: the distances of the matches.
    """

    def __init__(
        self, scenes: Sequence[SceneMatches], undefined: Mapping[str, Sequence[str]], thresholds_m: Sequence[float]
    ) -> None:
        self.classes = {
            name: _Pool([scene[name] for scene in scenes], undefined[name], thresholds_m) for name in undefined
        }

    def scores(self, times: Times) -> dict[str, Scores]:
        """ "nds", "map", and over the classes and errors that a resample annotates "nds_annotated", "map_annotated".

        Args:
            times: [B, S] how often each scene is in each resample.

        Returns:
            [B] each; NaN for a resample without boxes.
        """
        rows = [self._score(once) for once in times]
        names = ("nds", "map", "nds_annotated", "map_annotated")
        return {name: np.array([row[k] for row in rows], np.float64) for k, name in enumerate(names)}

    def _score(self, times: NDArray[np.int64]) -> tuple[float, float, float, float]:
        found = [pool.measured(times) for pool in self.classes.values()]
        shown = [of for of in found if of.boxes]
        if not shown:
            return (np.nan,) * 4
        precision = float(np.mean([of.average_precision for of in found]))
        own = float(np.mean([of.average_precision for of in shown]))
        errors = [_known_mean([of.errors[k] for of in found]) for k in range(len(ERRORS))]
        annotated = [_known_mean([of.errors[k] for of in shown if of.annotated[k]]) for k in range(len(ERRORS))]
        return _nds(precision, [1.0 if e is None else e for e in errors]), precision, _nds(own, annotated), own


@dataclass(frozen=True)
class _Measured:
    boxes: int
    average_precision: float
    errors: tuple[float, ...]  # NaN: not defined
    annotated: tuple[bool, ...]  # whether any box is annotated with it


class _Pool:
    def __init__(self, scenes: Sequence[ClassMatches], undefined: Sequence[str], thresholds_m: Sequence[float]) -> None:
        counts = [(of.boxes, of.with_velocity, of.with_attribute) for of in scenes]
        self.counts = np.array(counts, np.int64).reshape(-1, 3)
        score = np.array([value for of in scenes for value in of.score], np.float64)
        order = np.lexsort((np.arange(len(score)), score))[::-1]  # of equal scores the last first, as in the devkit
        scene = np.repeat(np.arange(len(scenes)), [len(of.score) for of in scenes])
        matched = np.array([value for of in scenes for value in of.matched], np.int64)
        self.at = list(thresholds_m).index(ERROR_THRESHOLD_M)
        errors = np.full((len(score), len(ERRORS)), np.nan)
        rows = [row for of in scenes for row in of.errors]
        errors[(matched >> self.at) & 1 == 1] = np.array(rows, np.float64).reshape(-1, len(ERRORS))
        self.score, self.scene, self.errors = score[order], scene[order], errors[order]
        self.hits = [((matched[order] >> t) & 1).astype(bool) for t in range(len(thresholds_m))]
        self.defined = np.array([name not in undefined for name in ERRORS])

    def measured(self, times: NDArray[np.int64]) -> _Measured:
        boxes, velocities, attributes = (int(value) for value in times @ self.counts)
        counts = {"vel": velocities, "attr": attributes}
        annotated = tuple(bool(self.defined[k]) and counts.get(name, boxes) > 0 for k, name in enumerate(ERRORS))
        errors = np.where(self.defined, 1.0, np.nan)
        if boxes == 0:
            return _Measured(0, 0.0, tuple(errors), annotated)
        rows = np.repeat(np.arange(len(self.score)), times[self.scene])
        score, precisions = self.score[rows], []
        for t, of in enumerate(self.hits):
            hit = of[rows]
            if not hit.any():
                precisions.append(0.0)
                continue
            right = hit.cumsum().astype(np.float64)
            recall = right / boxes
            precision = np.interp(RECALLS, recall, right / np.arange(1, len(hit) + 1), right=0)
            precisions.append(float((precision[FIRST:] - MIN_PRECISION).clip(0).mean()) / (1 - MIN_PRECISION))
            if t == self.at:
                confidence = np.interp(RECALLS, recall, score, right=0)
                errors = np.where(self.defined, _at_recalls(self.errors[rows][hit], score[hit], confidence), np.nan)
        return _Measured(boxes, float(np.mean(precisions)), tuple(errors), annotated)


def _at_recalls(errors: Scores, score: Scores, confidence: Scores) -> Scores:
    """[5] mean over the recalls that are reached of each error's cumulative mean; 1 where too few are."""
    reached = np.flatnonzero(confidence)
    if len(reached) == 0 or reached[-1] < FIRST:
        return np.ones(errors.shape[1])
    known = ~np.isnan(errors)
    count = known.cumsum(axis=0)
    mean = np.divide(np.nancumsum(errors, axis=0), count, out=np.zeros(errors.shape), where=count != 0)
    mean[:, ~known.any(axis=0)] = 1.0
    columns = [np.interp(confidence[::-1], score[::-1], column[::-1])[::-1] for column in mean.T]
    return np.array([float(np.mean(column[FIRST : reached[-1] + 1])) for column in columns])


def _known_mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _nds(precision: float, errors: Sequence[float | None]) -> float:
    scores = [max(0.0, 1.0 - error) for error in errors if error is not None]
    return (MAP_WEIGHT * precision + sum(scores)) / (MAP_WEIGHT + len(scores))

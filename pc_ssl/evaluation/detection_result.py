"""nuScenes' detection score, with the counts that it is computed from."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from pc_ssl.evaluation.detection_matches import ERRORS, MAP_WEIGHT, ClassMatches, ResampledDetection, SceneMatches
from pc_ssl.evaluation.resampling import Scores, Times, check_times


@dataclass(frozen=True)
class ClassDetection:
    """One class.

    Args:
        name: of nuScenes' ten.
        boxes: counted ground-truth boxes: within the class's range of the vehicle and with returns of LiDAR or radar.
        with_velocity: those of them whose velocity is known.
        with_attribute: those of them that have an attribute.
        predictions: within the class's range.
        average_precision: [T] in [0, 1] at each distance threshold.
        errors: of ERRORS over the matched boxes, 1 if no box was matched; None: not defined for the class.
        precision: [T][101] at recalls 0, 0.01, ..., 1; empty for a class without boxes.
    """

    name: str
    boxes: int
    with_velocity: int
    with_attribute: int
    predictions: int
    average_precision: tuple[float, ...]
    errors: Mapping[str, float | None]
    precision: tuple[tuple[float, ...], ...]

    @property
    def mean_average_precision(self) -> float:
        """Over the distance thresholds."""
        return statistics.fmean(self.average_precision)

    def annotated_error(self, name: str) -> float | None:
        """One of ERRORS; None if it is not defined for the class, or no counted box is annotated with it."""
        annotated = {"vel": self.with_velocity, "attr": self.with_attribute}.get(name, self.boxes)
        return self.errors[name] if annotated else None


@dataclass(frozen=True)
class DistanceDetection:
    """Results between two distances from the vehicle.

    Args:
        nearest_m: metres.
        farthest_m: metres.
        boxes: number per class of counted ground-truth boxes.
        predictions: number per class.
        average_precision: of each class, mean over the distance thresholds; None where there are no boxes.
    """

    nearest_m: float
    farthest_m: float
    boxes: Mapping[str, int]
    predictions: Mapping[str, int]
    average_precision: Mapping[str, float | None]

    @property
    def mean_average_precision(self) -> float | None:
        """Over the classes with boxes in this range; None if there are none."""
        return _mean(self.average_precision.values())


@dataclass(frozen=True)
class AnnotatedScore:
    """NDS and mean average precision over the classes and errors that a split annotates."""

    nds: float
    mean_average_precision: float
    classes: tuple[str, ...]
    errors: Mapping[str, float | None]


@dataclass(frozen=True)
class DetectionResult:
    """Result over a split.

    Args:
        nds: nuScenes' detection score as the devkit computes it.
        mean_average_precision: over ten classes and the thresholds, as the devkit computes it.
        classes: each of nuScenes' ten.
        distances: parts of the range.
        thresholds_m: T distances between centres within which a prediction is right.
        num_frames: number of evaluated keyframes.
        scenes: scene -> which of its predictions are right; empty in results of earlier versions.
    """

    nds: float
    mean_average_precision: float
    classes: tuple[ClassDetection, ...]
    distances: tuple[DistanceDetection, ...]
    thresholds_m: tuple[float, ...]
    num_frames: int
    scenes: Mapping[str, SceneMatches] = field(default_factory=dict)

    score_name: ClassVar[str] = "nds"

    @property
    def annotated(self) -> AnnotatedScore:
        """The score over the classes that have boxes; an error without annotation is left out of NDS."""
        shown = [of for of in self.classes if of.boxes]
        precision = statistics.fmean(of.mean_average_precision for of in shown)
        errors = {name: _mean(of.annotated_error(name) for of in shown) for name in ERRORS}
        scores = [max(0.0, 1.0 - error) for error in errors.values() if error is not None]
        nds = (MAP_WEIGHT * precision + sum(scores)) / (MAP_WEIGHT + len(scores))
        return AnnotatedScore(nds, precision, tuple(of.name for of in shown), errors)

    @property
    def scene_names(self) -> tuple[str, ...]:
        """The scenes whose matches are known, S of them; none in results of earlier versions."""
        return tuple(self.scenes)

    def resampled(self, times: Times) -> dict[str, Scores]:
        """ "nds", "map", "nds_annotated" and "map_annotated" [B] of resamples [B, S] of `scene_names`; NaN without
        boxes.

        Raises:
            ValueError: `times` is not [B, S] of integers that are not negative.
        """
        check_times(times, self.scene_names)
        undefined = {of.name: [name for name, error in of.errors.items() if error is None] for of in self.classes}
        return ResampledDetection(list(self.scenes.values()), undefined, self.thresholds_m).scores(times)

    @property
    def score(self) -> float:
        """NDS: the number by which runs are chosen."""
        return self.nds

    @property
    def headline(self) -> str:
        return f"NDS {100 * self.nds:.1f} %, mAP {100 * self.mean_average_precision:.1f} %"

    def table(self) -> str:
        """Lines of text: average precision, errors and boxes of each class, and the means."""
        width = max(len(of.name) for of in self.classes)
        lines = [f"{'class':{width}}    AP %  " + "  ".join(f"{name:>6}" for name in ERRORS) + "     boxes  found"]
        for of in self.classes:
            errors = "  ".join(_text(of.errors[name]) for name in ERRORS)
            precision = f"{100 * of.mean_average_precision:6.1f}" if of.boxes else "     -"
            lines.append(f"{of.name:{width}}  {precision}  {errors}  {of.boxes:>8,}  {of.predictions:>5,}")
        for part in self.distances:
            mean = part.mean_average_precision
            what = f"{part.nearest_m:g}-{part.farthest_m:g} m: mAP {'-' if mean is None else f'{100 * mean:.1f}'} %"
            lines.append(f"{what} over the classes with boxes there ({sum(part.boxes.values()):,} boxes)")
        own = self.annotated
        lines += [
            f"{self.headline} over nuScenes' {len(self.classes)} classes",
            f"NDS {100 * own.nds:.1f} %, mAP {100 * own.mean_average_precision:.1f} % over what is annotated here: "
            f"{len(own.classes)} classes, without {_names(n for n, e in own.errors.items() if e is None)} errors",
        ]
        return "\n".join(lines)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DetectionResult:
        """The result that `as_dict` gave."""
        classes = tuple(
            ClassDetection(
                **{
                    **of,
                    "average_precision": tuple(of["average_precision"]),
                    "precision": tuple(tuple(curve) for curve in of["precision"]),
                }
            )
            for of in content["classes"]
        )
        distances = tuple(DistanceDetection(**part) for part in content["distances"])
        scores = (content["nds"], content["map"])
        scenes = {
            scene: {name: ClassMatches.from_dict(of) for name, of in matches.items()}
            for scene, matches in content.get("scenes", {}).items()
        }
        return cls(*scores, classes, distances, tuple(content["thresholds_m"]), content["num_frames"], scenes)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        own = self.annotated
        return {
            "nds": self.nds,
            "map": self.mean_average_precision,
            "annotated": {"nds": own.nds, "map": own.mean_average_precision, "classes": list(own.classes),
                          "errors": dict(own.errors)},
            "classes": [asdict(of) for of in self.classes],
            "distances": [asdict(part) for part in self.distances],
            "thresholds_m": list(self.thresholds_m),
            "num_frames": self.num_frames,
            "scenes": {scene: {name: of.as_dict() for name, of in matches.items()}
                       for scene, matches in self.scenes.items()},
        }  # fmt: skip


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _text(value: float | None) -> str:
    return "     -" if value is None else f"{value:6.3f}"


def _names(names: Any) -> str:
    return ", ".join(names) or "no"

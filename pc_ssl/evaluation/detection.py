"""nuScenes detection metrics: mean average precision and NDS, by the devkit's own functions.

Caesar et al., "nuScenes: A multimodal dataset for autonomous driving", CVPR 2020, Sec. 3.1, in the configuration
`detection_cvpr_2019`. The devkit filters boxes (by distance from the vehicle, boxes without returns, cycles in racks),
matches and averages; its look-ups in the data set's tables are answered from the cache here, so that any split of any
cache of nuScenes' format can be evaluated.

The devkit averages over all ten classes: a class without boxes in the split has average precision 0, and an undefined
error (a velocity without a second keyframe) is set to 1. `DetectionResult.annotated` is the same score over
the classes and errors that the split annotates.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pc_ssl.data.cache import MANIFEST, Cache, Frame
from pc_ssl.errors import UserError
from pc_ssl.evaluation.detection_matches import match_scene
from pc_ssl.evaluation.detection_result import ClassDetection, DetectionResult, DistanceDetection
from pc_ssl.evaluation.nuscenes_results import attribute_name, global_poses, recorded_poses, result_boxes, write_results
from pc_ssl.extras import extra
from pc_ssl.heads.attributes import ATTRIBUTES, NUSCENES_CLASSES
from pc_ssl.structures import Boxes3D

if TYPE_CHECKING:
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionBox, DetectionMetricDataList, DetectionMetrics

CONFIGURATION = "detection_cvpr_2019"
BICYCLE_RACK = "bicycle_rack"
DISTANCES_M = ((0.0, 20.0), (20.0, 35.0), (35.0, 50.0))  # from the vehicle, for which results are reported separately
TENSORS = ("box", "box_class", "box_attribute", "box_points")


def check_nuscenes(cache: Cache, class_names: Sequence[str]) -> None:
    """Check that boxes of these classes can be evaluated on the cache with nuScenes' metrics.

    Raises:
        UserError: the cache's boxes or attributes are not nuScenes', or a predicted class is not one of its ten.
    """
    path, classes = cache.path / MANIFEST, cache.manifest.classes
    missing = [name for name in (*NUSCENES_CLASSES, BICYCLE_RACK) if name not in classes["box"]]
    if missing:
        raise UserError(
            f"{path}: classes of boxes are {', '.join(classes['box']) or 'none'}; NDS needs nuScenes' classes, "
            f"without {', '.join(missing)} it is not defined; prepare a nuScenes recording (again)"
        )
    if tuple(classes.get("attribute", ())) != ATTRIBUTES:
        raise UserError(f"{path}: attributes are {classes.get('attribute')}, expected nuScenes' {list(ATTRIBUTES)}")
    if tuple(class_names) != tuple(classes["box"][: len(class_names)]) or set(class_names) - set(NUSCENES_CLASSES):
        raise UserError(
            f"{path}: the task predicts {', '.join(class_names)}, but the cache's boxes are, in this order, "
            f"{', '.join(classes['box'])}"
        )


class DetectionMetric:
    """Collects predictions and boxes, one frame at a time.

    Args:
        cache: holds the frames.
        class_names: labels of predictions are indices into it.

    Raises:
        UserError: as `check_nuscenes`.
    """

    def __init__(self, cache: Cache, class_names: Sequence[str]) -> None:
        with extra("nuscenes", "nuScenes' detection metric"):
            from nuscenes.eval.common.data_classes import EvalBoxes

        check_nuscenes(cache, class_names)
        self.cache, self.class_names = cache, tuple(class_names)
        self._tables = _Tables()
        self._truth, self._found = EvalBoxes(), EvalBoxes()
        self._results: dict[str, list[dict[str, Any]]] = {}
        self._scenes: dict[str, list[str]] = {}  # the tokens of each scene's frames

    def update(self, frame: Frame, prediction: Boxes3D) -> None:
        """Count one frame.

        Args:
            frame: of the cache.
            prediction: in the LiDAR frame, with scores.

        Raises:
            UserError: the frame lacks boxes, attributes or counts of returns.
        """
        from nuscenes.eval.detection.data_classes import DetectionBox

        for key in TENSORS:
            if key not in frame:
                raise UserError(f"{frame.path}: the frame has no {key!r}, which NDS needs; prepare the recording again")
        global_from_lidar = frame["global_from_lidar"].numpy()
        truth = Boxes3D(frame["box"], frame["box_class"].long(), frame["box_attribute"].long())
        self._results[frame.token] = result_boxes(frame.token, prediction, self.class_names, global_from_lidar)
        self._found.add_boxes(frame.token, [DetectionBox.deserialize(box) for box in self._results[frame.token]])
        annotated, racks = self._annotated(frame, truth, global_from_lidar)
        self._truth.add_boxes(frame.token, annotated)
        self._tables.add(frame.token, frame["ego_pose"].numpy(), racks)
        self._scenes.setdefault(frame.scene, []).append(frame.token)

    def _annotated(
        self, frame: Frame, truth: Boxes3D, global_from_lidar: NDArray[np.float64]
    ) -> tuple[list[DetectionBox], list[dict[str, Any]]]:
        """The devkit's boxes of a frame's annotations, and its bicycle racks."""
        from nuscenes.eval.detection.data_classes import DetectionBox

        assert truth.attribute is not None
        boxes, racks = [], []
        rows = (truth.label.tolist(), truth.attribute.tolist(), frame["box_points"].tolist())
        recorded = frame.get("box_global")  # caches from before it had a name hold the boxes of the LiDAR frame alone
        poses = global_poses(truth, global_from_lidar) if recorded is None else recorded_poses(recorded.numpy())
        for pose, label, attribute, points in zip(poses, *rows, strict=True):
            name = self.cache.manifest.classes["box"][label]
            if name == BICYCLE_RACK:
                racks.append(pose)
            if name in NUSCENES_CLASSES:
                content = {"sample_token": frame.token, "num_pts": points, "detection_name": name, **pose}
                boxes.append(DetectionBox.deserialize(content | {"attribute_name": attribute_name(attribute)}))
        return boxes, racks

    def write_results(self, path: Path, *, use_lidar: bool, use_camera: bool) -> None:
        """Write the predictions so far as a nuScenes results file.

        Raises:
            UserError: the file cannot be written.
        """
        write_results(path, self._results, use_lidar=use_lidar, use_camera=use_camera)

    def result(self) -> DetectionResult:
        """The result over the frames counted so far.

        Raises:
            UserError: no ground-truth box is counted.
        """
        from nuscenes.eval.common.config import config_factory

        config = config_factory(CONFIGURATION)
        truth, found = (self._counted(boxes, config.class_range) for boxes in (self._truth, self._found))
        if not truth.all:
            raise UserError(
                f"{self.cache.path}: none of {len(self._results)} frames has a box of nuScenes' classes that counts: "
                "within range, and with returns"
            )
        metrics, curves = _judged(config, truth, found)
        return DetectionResult(
            nds=metrics.nd_score,
            mean_average_precision=metrics.mean_ap,
            classes=tuple(_of_class(name, metrics, curves, truth, found) for name in config.class_names),
            distances=tuple(_of_distance(config, truth, found, *limits) for limits in DISTANCES_M),
            thresholds_m=tuple(config.dist_ths),
            num_frames=len(self._results),
            scenes={
                scene: match_scene(truth, found, tokens, config.class_names, config.dist_ths)
                for scene, tokens in self._scenes.items()
            },
        )

    def _counted(self, boxes: EvalBoxes, ranges: dict[str, float]) -> EvalBoxes:
        """A copy filtered as by the devkit, with distances from the vehicle."""
        from nuscenes.eval.common.data_classes import EvalBoxes
        from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes

        copy = EvalBoxes()
        for token in boxes.sample_tokens:
            copy.add_boxes(token, list(boxes[token]))
        add_center_dist(self._tables, copy)
        return filter_eval_boxes(self._tables, copy, ranges) if copy.all else copy


class _Tables:
    """The records of nuScenes' tables that the devkit's functions read; a sample's token identifies all of them."""

    def __init__(self) -> None:
        self._ego: dict[str, list[float]] = {}
        self._racks: dict[str, dict[str, dict[str, Any]]] = {}

    def add(self, token: str, global_from_ego: NDArray[np.float64], racks: Sequence[dict[str, Any]]) -> None:
        self._ego[token] = global_from_ego[:3, 3].tolist()
        category = {"category_name": "static_object.bicycle_rack"}
        self._racks[token] = {f"{token}/{number}": {**rack, **category} for number, rack in enumerate(racks)}

    def get(self, table: str, token: str) -> dict[str, Any]:
        """The record of a table, with the fields that are read."""
        if table == "sample":
            return {"data": {"LIDAR_TOP": token}, "anns": list(self._racks[token])}
        if table == "sample_data":
            return {"ego_pose_token": token}
        if table == "ego_pose":
            return {"translation": self._ego[token]}
        return self._racks[token.rpartition("/")[0]][token]


def _judged(config: Any, truth: EvalBoxes, found: EvalBoxes) -> tuple[DetectionMetrics, DetectionMetricDataList]:
    """The devkit's evaluation of filtered boxes."""
    from nuscenes.eval.detection.evaluate import DetectionEval

    judge = DetectionEval.__new__(DetectionEval)  # the constructor reads tables and a file
    judge.cfg, judge.gt_boxes, judge.pred_boxes, judge.verbose = config, truth, found, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means over errors that no class has
        return judge.evaluate()


def _of_class(
    name: str, metrics: DetectionMetrics, curves: DetectionMetricDataList, truth: EvalBoxes, found: EvalBoxes
) -> ClassDetection:
    own = [box for box in truth.all if box.detection_name == name]
    thresholds = metrics.cfg.dist_ths
    errors = {metric.removesuffix("_err"): value for metric, value in metrics._label_tp_errors[name].items()}
    return ClassDetection(
        name=name,
        boxes=len(own),
        with_velocity=sum(bool(np.isfinite(box.velocity).all()) for box in own),
        with_attribute=sum(box.attribute_name != "" for box in own),
        predictions=sum(box.detection_name == name for box in found.all),
        average_precision=tuple(metrics.get_label_ap(name, threshold) for threshold in thresholds),
        errors={metric: float(value) if np.isfinite(value) else None for metric, value in errors.items()},
        precision=tuple(tuple(curves[name, threshold].precision.tolist()) for threshold in thresholds) if own else (),
    )


def _of_distance(config: Any, truth: EvalBoxes, found: EvalBoxes, nearest: float, farthest: float) -> DistanceDetection:
    """Boxes and predictions between two distances from the vehicle, each filtered by its own distance."""
    from nuscenes.eval.common.data_classes import EvalBoxes

    near, guessed = EvalBoxes(), EvalBoxes()
    for source, target in ((truth, near), (found, guessed)):
        for token in source.sample_tokens:
            target.add_boxes(token, [box for box in source[token] if nearest <= box.ego_dist < farthest])
    metrics, _ = _judged(config, near, guessed)
    counts = {name: sum(box.detection_name == name for box in near.all) for name in config.class_names}
    return DistanceDetection(
        nearest_m=nearest,
        farthest_m=farthest,
        boxes=counts,
        predictions={name: sum(box.detection_name == name for box in guessed.all) for name in config.class_names},
        average_precision={
            name: float(metrics.mean_dist_aps[name]) if counts[name] else None for name in config.class_names
        },
    )

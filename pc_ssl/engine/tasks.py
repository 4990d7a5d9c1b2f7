"""The downstream tasks, and how each is checked against a cache, trained and evaluated: a table by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.config import RunConfig
from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.data.class_balance import class_balanced_rows, classes_of_boxes
from pc_ssl.engine.batches import Batches, predicted
from pc_ssl.engine.segmentation import check_classes, evaluate_points
from pc_ssl.errors import UserError
from pc_ssl.evaluation.bev_map import BevMapMetric, BevMapResult
from pc_ssl.evaluation.detection import DetectionMetric, check_nuscenes
from pc_ssl.evaluation.detection_result import DetectionResult
from pc_ssl.evaluation.indoor_detection import IndoorDetectionMetric, IndoorDetectionResult
from pc_ssl.evaluation.run_result import Result
from pc_ssl.heads.attributes import NUSCENES_CLASSES
from pc_ssl.heads.bev_map import MapTask
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.heads.indoor_detection import IndoorDetectionTask
from pc_ssl.heads.segmentation import SegmentationTask

NUSCENES_RESULTS = "nuscenes_results.json"  # predicted boxes in the format of nuScenes' benchmark, next to the result


@dataclass(frozen=True)
class TaskKind:
    """How the engine handles one class of tasks.

    Args:
        check: (config, task, cache): raises UserError if the task does not match the cache.
        evaluate: (task in eval mode, cache, frames and their batches, folder for further files or None).
        rows: (task, cache, rows, seed): the rows to train on, resampled if the task is class-balanced.
    """

    check: Callable[[RunConfig, Any, Cache], None]
    evaluate: Callable[[Any, Cache, Batches, Path | None], Result]
    rows: Callable[[Any, Cache, Sequence[int], int], Sequence[int]] = lambda task, cache, rows, seed: rows


def task_kind(config: RunConfig, task: Any) -> TaskKind:
    """The task's entry of the table.

    Raises:
        UserError: the task's class is not in the table.
    """
    for known, kind in TASK_KINDS.items():
        if isinstance(task, known):
            return kind
    names = ", ".join(known.__name__ for known in TASK_KINDS)
    raise UserError(f"{config.path}: task is {type(task).__name__}, expected one of {names}")


def _check_boxes(config: RunConfig, task: DetectionTask, cache: Cache) -> None:
    check_nuscenes(cache, task.class_names)


def _evaluate_boxes(task: DetectionTask, cache: Cache, batches: Batches, folder: Path | None) -> DetectionResult:
    metric = DetectionMetric(cache, task.class_names)
    for frame, batch in batches:
        metric.update(frame, predicted(task, frame, batch))
    result = metric.result()
    if folder is not None:
        branches = {"use_lidar": task.backbone.lidar is not None, "use_camera": task.backbone.uses_cameras}
        metric.write_results(folder / NUSCENES_RESULTS, **branches)
    return result


def _balanced_rows(task: DetectionTask | MapTask, cache: Cache, rows: Sequence[int], seed: int) -> Sequence[int]:
    if not task.class_balanced:
        return rows
    # Maps are balanced by the classes of boxes too, as in BEVFusion, whose map training wraps the same CBGSDataset.
    num_classes = len(task.class_names if isinstance(task, DetectionTask) else NUSCENES_CLASSES)
    drawn = class_balanced_rows(classes_of_boxes(cache, rows), num_classes, seed)
    if not drawn:
        raise UserError(f"{cache.path}: none of the {len(rows)} labelled frames shows a class to balance")
    return [rows[number] for number in drawn]


def _check_map(config: RunConfig, task: MapTask, cache: Cache) -> None:
    path, grid = cache.path / MANIFEST, cache.manifest.options.get("bev_map")
    classes = tuple(cache.manifest.classes.get("map", ()))
    if not isinstance(grid, dict) or not classes:
        raise UserError(f"{path}: the cache has no maps; only nuScenes with its map expansion has")
    if classes != tuple(task.class_names):
        raise UserError(
            f"{path}: classes of the map are {', '.join(classes)}, the task's {', '.join(task.class_names)}"
        )
    cells = round(2 * grid["reach"] / grid["cell_size"])
    if (task.head.reach, task.head.cells) != (grid["reach"], cells):
        raise UserError(
            f"{config.path}: task.head has {task.head.cells} cells over +-{task.head.reach:g} m, but the maps of "
            f"{cache.path} have {cells} over +-{grid['reach']:g} m"
        )


def _evaluate_map(task: MapTask, cache: Cache, batches: Batches, _: Path | None) -> BevMapResult:
    metric = BevMapMetric(task.class_names)
    for frame, batch in batches:
        assert batch.bev_map is not None
        metric.update(predicted(task, frame, batch), batch.bev_map.mask[0], batch.bev_map.known[0], frame.scene)
    return metric.result()


def _check_rooms(config: RunConfig, task: IndoorDetectionTask, cache: Cache) -> None:
    if tuple(cache.manifest.classes["box"]) != task.class_names:
        raise UserError(
            f"{cache.path / MANIFEST}: classes of boxes are {', '.join(cache.manifest.classes['box']) or 'none'}, the "
            f"task's {', '.join(task.class_names)}"
        )


def _evaluate_rooms(task: IndoorDetectionTask, cache: Cache, batches: Batches, _: Path | None) -> IndoorDetectionResult:
    metric = IndoorDetectionMetric(task.class_names)
    for frame, batch in batches:
        assert batch.boxes is not None
        metric.update(predicted(task, frame, batch), batch.boxes[0])
    return metric.result()


TASK_KINDS: dict[type, TaskKind] = {
    SegmentationTask: TaskKind(check_classes, evaluate_points),
    DetectionTask: TaskKind(_check_boxes, _evaluate_boxes, _balanced_rows),
    MapTask: TaskKind(_check_map, _evaluate_map, _balanced_rows),
    IndoorDetectionTask: TaskKind(_check_rooms, _evaluate_rooms),
}

"""Sections about a downstream run: its scores, and its predictions for one frame, by class of task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pc_ssl.data.cache import Cache
from pc_ssl.engine.batches import evaluation_batches, predicted
from pc_ssl.evaluation.bev_map import BevMapResult
from pc_ssl.evaluation.detection_result import ERRORS, DetectionResult
from pc_ssl.evaluation.indoor_detection import THRESHOLDS as OVERLAPS
from pc_ssl.evaluation.indoor_detection import IndoorDetectionResult
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.evaluation.segmentation import SegmentationResult
from pc_ssl.heads.bev_map import MapTask
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.report import html, sections
from pc_ssl.report.bev_map import maps_from_above
from pc_ssl.report.boxes import DrawnBoxes, boxes_from_above, boxes_on_image, precision_over_recall
from pc_ssl.report.pictures import png
from pc_ssl.structures import Boxes3D, SensorBatch

DRAWN_SCORE = 0.2  # predictions with a lower score are not drawn: there are many, and they hide the rest


def scores(run: RunResult) -> list[str]:
    """The result, class by class."""
    result = run.result
    if isinstance(result, SegmentationResult):
        return sections.classes({"IoU %": [run]})
    if isinstance(result, DetectionResult):
        return _of_boxes(result)
    if isinstance(result, BevMapResult):
        return _of_map(result)
    return _of_rooms(result)


def pictures(task: Any, cache: Cache, row: int) -> list[str]:
    """The task's predictions for one frame of the cache, with the annotations.

    Raises:
        UserError: the frame is damaged, or outside the network's grid.
    """
    drawings: dict[type, Callable[[Any, Cache, int], list[str]]] = {
        SegmentationTask: _points,
        DetectionTask: _boxes,
        MapTask: _map,
    }
    return next((draw(task, cache, row) for kind, draw in drawings.items() if isinstance(task, kind)), [])


def _of_boxes(result: DetectionResult) -> list[str]:
    rows = [
        [
            of.name,
            f"{of.boxes:,}",
            f"{of.predictions:,}",
            f"{100 * of.mean_average_precision:.1f}" if of.boxes else "-",
            *(_number(of.errors[name], 3) for name in ERRORS),
            *(_number(part.average_precision[of.name], 1, 100) for part in result.distances),
        ]
        for of in result.classes
    ]
    parts = [f"AP % {part.nearest_m:g}-{part.farthest_m:g} m" for part in result.distances]
    own = result.annotated
    return [
        html.heading("Classes"),
        html.table(
            ["class", "boxes", "predictions", "AP %", *(f"{name} error" for name in ERRORS), *parts],
            rows,
            f"By nuScenes' devkit over {result.num_frames} keyframes: {result.headline}. Boxes count within range and "
            f"with returns. Over the {len(own.classes)} classes that have boxes, and the errors that they tell, it is "
            f"NDS {100 * own.nds:.1f} %, mAP {100 * own.mean_average_precision:.1f} %.",
        ),
        html.picture(png(precision_over_recall(result)), "Precision over recall by distance between centres."),
    ]


def _of_map(result: BevMapResult) -> list[str]:
    columns = (result.class_names, result.labelled, result.iou, result.best_threshold)
    rows = [
        [name, f"{cells:,}", _number(iou, 1, 100), _number(at, 2)]
        for name, cells, iou, at in zip(*columns, strict=True)
    ]
    rows.append(["mean over the classes", f"{sum(result.labelled):,}", f"{100 * result.miou:.1f}", ""])
    text = f"IoU over {result.num_frames} keyframes and {result.known:,} known cells, at each class's best threshold."
    return [html.heading("Classes"), html.table(["class", "cells", "IoU %", "threshold"], rows, text)]


def _of_rooms(result: IndoorDetectionResult) -> list[str]:
    rows = [
        [name, f"{result.boxes[k]:,}", *(_number(of[k], 1, 100) for of in result.average_precision)]
        for k, name in enumerate(result.class_names)
    ]
    columns = ["class", "boxes", *(f"AP@{overlap:g} %" for overlap in OVERLAPS)]
    return [html.heading("Classes"), html.table(columns, rows, f"Over {result.num_frames} rooms: {result.headline}.")]


def _points(task: SegmentationTask, cache: Cache, row: int) -> list[str]:
    return [
        *sections.predictions(cache, row, {"predictions": task}),
        *sections.features(cache, row, {"features": task}),
    ]


def _boxes(task: DetectionTask, cache: Cache, row: int) -> list[str]:
    batch, found = _predicted(task, cache, row)
    assert batch.boxes is not None
    frame, names = cache[row], task.class_names
    truth = batch.boxes[0]
    shown = found[found.score >= DRAWN_SCORE]
    panels = {
        "annotated boxes": _drawn(truth[truth.label < len(names)]),
        f"predicted boxes, score {DRAWN_SCORE:g} or more": _drawn(shown),
    }
    xyz = frame["points"].numpy()[:, :3]
    text = f"Keyframe {frame.token} of {frame.scene}: a stroke points to the front, dots lead where it is in a second."
    parts = [html.heading("Boxes"), html.picture(png(boxes_from_above(xyz, panels, names)), text)]
    cameras = [key.removeprefix("image/") for key in frame.keys() if key.startswith("image/")]  # noqa: SIM118
    if cameras:
        best = max(cameras, key=lambda name: len(frame[f"point/{name}"]))
        figure = boxes_on_image(
            frame[f"image/{best}"].numpy().tobytes(),
            frame[f"intrinsic/{best}"].numpy(),
            frame[f"camera_from_lidar/{best}"].numpy(),
            panels,
            names,
        )
        parts.append(html.picture(png(figure), f"The boxes that {best} sees."))
    return parts


def _map(task: MapTask, cache: Cache, row: int) -> list[str]:
    batch, found = _predicted(task, cache, row)
    assert batch.bev_map is not None
    mask, known = batch.bev_map.mask[0].numpy(), batch.bev_map.known[0].numpy()
    figure = maps_from_above(found.numpy(), mask, known, task.class_names, task.head.reach)
    frame = cache[row]
    return [
        html.heading("Map"),
        html.picture(png(figure), f"Keyframe {frame.token} of {frame.scene}: predicted above, recorded below."),
    ]


def _predicted(task: Any, cache: Cache, row: int) -> tuple[SensorBatch, Any]:
    ((frame, batch),) = evaluation_batches(task.eval(), cache, [row], torch.device("cpu"))
    return batch, predicted(task, frame, batch)


def _drawn(boxes: Boxes3D) -> DrawnBoxes:
    score = None if boxes.score is None else boxes.score.numpy()
    return DrawnBoxes(boxes.box.numpy(), boxes.label.numpy().astype(np.int64), score)


def _number(value: float | None, digits: int, scale: float = 1) -> str:
    return "-" if value is None else f"{scale * value:.{digits}f}"

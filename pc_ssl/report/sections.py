"""Sections of a report page: each turns a cache, runs or results into pieces of HTML."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.engine.batches import evaluation_batches, predicted
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.report import html
from pc_ssl.report.curves import read_log, terms_over_steps
from pc_ssl.report.pictures import (
    classes_from_above,
    features_from_above,
    png,
    points_on_image,
    regions_from_above,
    superpixels_on_image,
)
from pc_ssl.structures import PointBatch

REGION = "region/"
CAMERA = "pixel/"
SUPERPIXEL = "superpixel/"


def contents(cache: Cache) -> list[str]:
    """What a cache holds: splits, classes, tensors of its first frame."""
    manifest = cache.manifest
    size = sum(entry.bytes for entry in cache.frames) / 1e6
    rows = [
        [name, str(len(scenes)), str(len(cache.indices(name))) if scenes else "0"]
        for name, scenes in manifest.splits.items()
    ]
    tensors = ", ".join(cache[0].keys())
    return [
        html.heading("Contents"),
        html.paragraph(f"{manifest.dataset} {manifest.version}: {len(cache)} keyframes, {size:.0f} MB."),
        html.table(["split", "scenes", "keyframes"], rows, "Splits that the cache holds."),
        html.paragraph(f"Tensors of the first frame: {tensors}."),
    ]


def frames(cache: Cache) -> list[str]:
    """What the first frame, the middle one and the last one hold; a picture that was shown already is left out."""
    parts, shown = list[str](), set[str]()
    for index in sorted({0, len(cache) // 2, len(cache) - 1}):
        frame = cache[index]
        found = [*regions(frame), *labels(frame, cache.class_names), *superpixels(frame)]
        new = [part for part in found if html.png_of(part) not in shown]
        shown |= {html.png_of(part) for part in new}
        parts += [html.heading(f"Keyframe {frame.token} of {frame.scene}"), *new] if new else []
    return parts


def labels(frame: Frame, class_names: Sequence[str]) -> list[str]:
    """The class of each point from above, where the frame has labels."""
    if "label" not in frame or len(class_names) < 2:
        return []
    picture = png(classes_from_above(_xyz(frame), {"labels": frame["label"].numpy()}, class_names))
    return [html.picture(picture, f"Labels, keyframe {frame.token} of {frame.scene}.")]


def superpixels(frame: Frame) -> list[str]:
    """The superpixels of the first camera, per generator."""
    found = {key.split("/")[1]: key for key in reversed(list(frame)) if key.startswith(SUPERPIXEL)}
    parts = []
    for generator, key in sorted(found.items()):
        camera = key.rpartition("/")[2]
        figure = superpixels_on_image(frame[f"image/{camera}"].numpy().tobytes(), frame[key].numpy())
        parts.append(html.picture(png(figure), f"Superpixels of {generator} on {camera}, keyframe {frame.token}."))
    return parts


def regions(frame: Frame) -> list[str]:
    """The regions of one frame from above, and its points on the image that sees most of them: per generator."""
    generators = [key.removeprefix(REGION) for key in frame.keys() if key.startswith(REGION)]  # noqa: SIM118
    xyz, ground = _xyz(frame), frame["ground"].numpy()
    box = frame["box"].numpy() if "box" in frame else None
    parts = []
    for generator in generators:
        region = frame[REGION + generator].numpy()
        above = png(regions_from_above(xyz, region, ground, box))
        parts.append(html.picture(above, f"Regions of {generator}, keyframe {frame.token} of {frame.scene}."))
        camera = _camera_that_sees_most(frame, region)
        if camera is not None:
            parts.append(html.picture(_on_image(frame, camera, xyz, region), f"The points that {camera} sees."))
    return parts


def training(runs: Mapping[str, Path]) -> list[str]:
    """The logged terms of training runs.

    Args:
        runs: title -> folder of the run.

    Raises:
        UserError: a folder holds no log.
    """
    logs = {title: read_log(folder / "log.jsonl") for title, folder in runs.items()}
    rows = []
    for title, log in logs.items():
        last = log[-1]
        per_step = statistics.mean(float(line["seconds"] or 0) for line in log[1:] or log)
        rows.append(
            [title, str(last["step"]), _number(log[0].get("loss")), _number(last.get("loss")), f"{per_step:.2f}"]
        )
    return [
        html.heading("Training"),
        html.table(["run", "steps", "first loss", "last loss", "seconds a step"], rows, "Losses are of single steps."),
        html.picture(
            png(terms_over_steps(logs)), "Each term that the run logged, its gradient's norm and learning rate."
        ),
    ]


def features(cache: Cache, index: int, networks: Mapping[str, SegmentationTask]) -> list[str]:
    """The backbones' features of one frame: principal components as colours.

    Args:
        cache: where the frame is.
        index: of the frame.
        networks: title -> task whose backbone to show.
    """
    frame = cache[index]
    panels = {title: _features(task, frame) for title, task in networks.items()}
    return [
        html.heading("Features"),
        html.picture(
            png(features_from_above(_xyz(frame), panels)),
            f"Features of the backbone, keyframe {frame.token} of {frame.scene} from above: the first three "
            "principal components of their directions as red, green and blue. Equal colours mean similar features "
            "within a panel; between panels colours mean nothing.",
        ),
    ]


def predictions(cache: Cache, index: int, networks: Mapping[str, SegmentationTask]) -> list[str]:
    """Predicted classes and labels of one frame.

    Args:
        cache: where the frame is; it has labels.
        index: of the frame.
        networks: title -> trained task.
    """
    frame = cache[index]
    panels: dict[str, NDArray] = {"labels": frame["label"].numpy()}
    for title, task in networks.items():
        ((_, batch),) = evaluation_batches(task.eval(), cache, [index], torch.device("cpu"))
        panels[title] = predicted(task, frame, batch).numpy()
    picture = png(classes_from_above(_xyz(frame), panels, cache.class_names))
    return [
        html.heading("Predictions"),
        html.picture(picture, f"Labels and predictions, keyframe {frame.token} of {frame.scene} from above."),
    ]


def classes(runs: Mapping[str, Sequence[RunResult]]) -> list[str]:
    """IoU of each class.

    Args:
        runs: title -> runs over seeds; all evaluated on the same frames.
    """
    first = next(iter(runs.values()))[0].segmentation
    rows = [
        [name, f"{first.labelled[k]:,}", *(_mean_iou([run.segmentation.iou[k] for run in of]) for of in runs.values())]
        for k, name in enumerate(first.class_names)
    ]
    means = (f"{100 * statistics.mean(run.segmentation.miou for run in of):.1f}" for of in runs.values())
    rows.append(["mean over the classes", f"{sum(first.labelled):,}", *means])
    return [
        html.heading("Classes"),
        html.table(
            ["class", "labelled points", *runs],
            rows,
            f"IoU in percent over {first.num_frames} evaluated keyframes, mean over the runs; - means that the "
            "class is neither labelled nor predicted.",
        ),
    ]


def _cameras(frame: Frame) -> list[str]:
    """Names of the cameras of a frame."""
    return [key.removeprefix(CAMERA) for key in frame.keys() if key.startswith(CAMERA)]  # noqa: SIM118


def _camera_that_sees_most(frame: Frame, region: NDArray) -> str | None:
    """The camera with the most points inside regions; None if no camera sees any point."""
    seen = {camera: int((region[frame[f"point/{camera}"].numpy()] >= 0).sum()) for camera in _cameras(frame)}
    seen = {camera: count for camera, count in seen.items() if len(frame[f"point/{camera}"])}
    return max(seen, key=lambda camera: seen[camera], default=None)


def _on_image(frame: Frame, camera: str, xyz: NDArray, region: NDArray) -> bytes:
    point = frame[f"point/{camera}"].numpy()
    camera_from_lidar = frame[f"camera_from_lidar/{camera}"].numpy()
    depth = xyz[point] @ camera_from_lidar[2, :3] + camera_from_lidar[2, 3]
    image = frame[f"image/{camera}"].numpy().tobytes()
    return png(points_on_image(image, frame[f"pixel/{camera}"].numpy(), depth, region[point], camera))


@torch.no_grad()
def _features(task: SegmentationTask, frame: Frame) -> NDArray:
    """Of unit length, as contrastive losses compare them: raw ones grow with the density of points."""
    points = PointBatch.pack([frame["points"]])
    feature: Tensor = task.eval().backbone(points).at_points(points)
    return torch.nn.functional.normalize(feature, dim=1).numpy()


def _xyz(frame: Frame) -> NDArray[np.float32]:
    return frame["points"].numpy()[:, :3]


def _mean_iou(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * statistics.mean(known):.1f}" if known else "-"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"

"""Point segmentation among the downstream tasks: linear probe, evaluation, and heads from text embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pc_ssl.config import RunConfig
from pc_ssl.data.cache import Cache
from pc_ssl.engine.batches import Batches, Transforms, evaluation_batches, predicted
from pc_ssl.engine.weights import read_tensors
from pc_ssl.errors import UserError
from pc_ssl.evaluation.segmentation import SegmentationMetric, SegmentationResult
from pc_ssl.heads.linear_probe import estimate_batch_norm, fit_linear, labelled_features
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.voxelize import OutsideGrid
from pc_ssl.structures import SegmentationBatch

# The linear probe's data: enough points for a stable optimum, few enough to hold their features in memory.
PROBE_POINTS_PER_FRAME = 2000
PROBE_POINTS = 1_000_000
BATCH_NORM_FRAMES = 64

TEXT = "text"  # text embeddings of the classes, in the weights of a pretraining with CLIP


def check_classes(config: RunConfig, task: SegmentationTask, cache: Cache) -> None:
    """Check that the task has as many classes as the cache's point labels.

    Raises:
        UserError: the numbers differ.
    """
    if task.head.out_features + 1 != len(cache.class_names):
        raise UserError(
            f"{config.path}: task.num_classes is {task.head.out_features + 1}, but {cache.path} has "
            f"{len(cache.class_names)} classes: {', '.join(cache.class_names) or 'no labels'}"
        )


def evaluate_points(task: SegmentationTask, cache: Cache, batches: Batches, _: Path | None) -> SegmentationResult:
    """Predict every point of the frames and count against their labels.

    Raises:
        UserError: a frame has no labels or no point in the backbone's grid, or none has a labelled point.
    """
    metric = SegmentationMetric(cache.class_names)
    for frame, batch in batches:
        metric.update(predicted(task, frame, batch), batch.label, frame.scene)
    return metric.result()


def fit_probe(
    task: SegmentationTask,
    cache: Cache,
    rows: Sequence[int],
    seed: int,
    device: torch.device,
    transforms: Transforms = (),
) -> dict[str, Any]:
    """Fit the task's head to the features of its frozen backbone, on scenes changed by `transforms`; returns statistics
    of the fit.

    Raises:
        UserError: a frame has no labels or no point in the backbone's grid, or no point has a label.
    """
    backbone = task.to(device).get_submodule("backbone").eval()
    some = rows[:: -(-len(rows) // BATCH_NORM_FRAMES)]
    generator = torch.Generator().manual_seed(seed)
    per_frame = min(PROBE_POINTS_PER_FRAME, max(1, PROBE_POINTS // len(rows)))
    features, labels, token = [], [], ""

    def batches(rows: Sequence[int], what: str) -> Iterator[SegmentationBatch]:
        nonlocal token
        for frame, batch in evaluation_batches(task, cache, rows, device, transforms, what):
            token = frame.token
            yield batch

    try:
        estimate_batch_norm(backbone, (batch.points for batch in batches(some, "statistics")), device)
        for batch in batches(rows, "features"):
            feature, label = labelled_features(task.backbone, batch.points, batch.label.cpu(), per_frame, generator)
            features.append(feature)
            labels.append(label)
    except OutsideGrid as error:
        raise UserError(f"frame {token}: {error}") from error
    fit = fit_linear(torch.cat(features).to(device), torch.cat(labels).to(device), task.head.out_features + 1)
    task.head = fit.head
    return {
        "points": sum(map(len, labels)),
        "loss": fit.loss,
        "largest_gradient": fit.gradient,
        "iterations": fit.iterations,
    }


def head_from_texts(task: SegmentationTask, cache: Cache, weights: Path) -> None:
    """Set the task's head from the text embeddings of a pretraining.

    Raises:
        UserError: the weights hold no text embeddings, or of another number of classes.
    """
    tensors, _ = read_tensors(weights)
    needed = (TEXT, "semantic_layer.weight", "semantic_layer.bias")
    if any(name not in tensors for name in needed):
        raise UserError(
            f"{weights}: holds no {', '.join(needed)}; only CLIP2Scene's pretraining stores text embeddings of classes"
        )
    text, weight, bias = (tensors[name] for name in needed)
    if len(text) != task.head.out_features:
        raise UserError(f"{weights}: holds texts of {len(text)} classes, but {cache.path} has {task.head.out_features}")
    task.head.load_state_dict({"weight": text @ weight, "bias": text @ bias})

"""Point segmentation among the downstream tasks: linear probe, evaluation, and heads from text embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pc_ssl.config import RunConfig
from pc_ssl.data.cache import Cache
from pc_ssl.engine.batches import Batches, Transforms, predicted
from pc_ssl.engine.probe_features import labelled_features
from pc_ssl.engine.weights import read_tensors
from pc_ssl.errors import UserError
from pc_ssl.evaluation.segmentation import SegmentationMetric, SegmentationResult
from pc_ssl.heads.linear_probe import fit_linear, uniform_sample
from pc_ssl.heads.segmentation import SegmentationTask

# The linear probe's data: enough points for a stable optimum, few enough to hold their features in memory.
PROBE_POINTS_PER_FRAME = 2000
PROBE_POINTS = 1_000_000

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
    per_frame = min(PROBE_POINTS_PER_FRAME, max(1, PROBE_POINTS // len(rows)))
    sample = labelled_features(
        task,
        cache,
        rows,
        seed,
        device,
        lambda label, generator: uniform_sample(label, per_frame, generator),
        transforms,
    )
    fit = fit_linear(sample.feature.to(device), sample.label.to(device), task.head.out_features + 1)
    task.head = fit.head
    return {
        "points": len(sample.label),
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

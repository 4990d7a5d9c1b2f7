"""Linear probes as published: a linear classifier trained by gradient descent on the features of a frozen backbone.

The backbone is in eval mode and is not trained. Augmentation and the number of steps are those of the config (`views`
and `train.steps`); the loss is cross-entropy + Lovasz-Softmax over labelled points. The protocols:

slidr    SLidR (valeoai/SLidR, config/semseg_nuscenes.yaml and README): SGD at 0.05, momentum 0.9, dampening 0.1, weight
         decay 1e-4, a cosine, batches of 16, one labelled point for each voxel of 0.1 m. Our voxels are cartesian.
scalr    ScaLR (valeoai/ScaLR, configs/downstream/nuscenes/WI_768_linprob.yaml and finetune.py): AdamW at 1e-3, weight
         decay 0.003, a warm-up over a tenth of the run and a cosine to 1e-5, batches of 8, at most 20,000 points of a
         frame, batch normalisation before a classifier that starts at zero.
sonata   Sonata (Pointcept/Pointcept, configs/sonata/semseg-sonata-v1m1-0a-scannet-lin.py): AdamW at 2e-3, weight decay
         0.02, one cycle that rises over a twentieth of the run, batches of 24, gradients of at most 3, one labelled
         point for each voxel of 0.02 m. Its colour augmentation, jitter and elastic distortion are not implemented
         here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pc_ssl.config import RunConfig
from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import StepBatches
from pc_ssl.engine.batches import Transforms
from pc_ssl.engine.schedule import Cosine, OneCycle, Schedule
from pc_ssl.errors import UserError
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.losses.lovasz import lovasz_softmax
from pc_ssl.models.networks import grids_of
from pc_ssl.models.voxelize import OutsideGrid
from pc_ssl.progress import track
from pc_ssl.structures import IGNORE, SegmentationBatch


@dataclass(frozen=True)
class ProbeProtocol:
    """How the classifier is trained.

    Args:
        optimizer: "sgd" or "adamw".
        learning_rate: peak.
        weight_decay: of all weights of the classifier.
        schedule: of the learning rate.
        batch_size: frames of a step; all labelled frames if there are fewer.
        momentum: of SGD.
        dampening: of SGD.
        clip_norm: largest norm of the gradient; None: no clipping.
        voxel_size: edge of the voxels, metres; one point per voxel is used; None: all points.
        max_points: of a frame, sampled at random; None: all.
        normalised: whether batch normalisation precedes the classifier, which is then initialised to zero.
    """

    optimizer: Literal["sgd", "adamw"]
    learning_rate: float
    weight_decay: float
    schedule: Schedule
    batch_size: int
    momentum: float = 0.0
    dampening: float = 0.0
    clip_norm: float | None = None
    voxel_size: float | None = None
    max_points: int | None = None
    normalised: bool = False


PROTOCOLS = {
    "slidr": ProbeProtocol("sgd", 0.05, 1e-4, Cosine(), 16, momentum=0.9, dampening=0.1, voxel_size=0.1),
    "scalr": ProbeProtocol(
        "adamw", 1e-3, 0.003, Cosine(warmup_share=0.1, floor=0.01), 8, max_points=20_000, normalised=True
    ),
    "sonata": ProbeProtocol("adamw", 2e-3, 0.02, OneCycle(rise=0.05, end=1e-4), 24, clip_norm=3.0, voxel_size=0.02),
}


def train_probe(
    config: RunConfig,
    task: SegmentationTask,
    cache: Cache,
    rows: Sequence[int],
    seed: int,
    device: torch.device,
    protocol: ProbeProtocol,
    transforms: Transforms = (),
) -> dict[str, Any]:
    """Train the task's head on the features of its frozen backbone; returns statistics of the training.

    Args:
        config: with the number of steps.
        task: its backbone does not change.
        cache: with labels.
        rows: of the labelled frames.
        seed: of order, augmentation and sampled points.
        device: to compute on.
        protocol: one of PROTOCOLS.
        transforms: applied to the scenes before the views.

    Raises:
        UserError: a frame has no labels or no point in the backbone's grid.
    """
    steps, batch_size = config.build("train").steps, min(protocol.batch_size, len(rows))
    scenes = CacheScenes(cache, rows, None, task.views, transforms, grids_of(task))
    task.to(device).eval()
    head = _classifier(task.head, protocol).to(device).train()
    optimizer = _optimizer(head, protocol)
    generator = torch.Generator().manual_seed(seed)
    loss, outside = torch.zeros(()), list[str]()
    for step, draws in enumerate(track(StepBatches(len(rows), batch_size, seed, 0, steps), total=steps, what="probe")):
        batch = SegmentationBatch.pack([scenes[draw] for draw in draws]).to(device)
        chosen = trained_points(batch, protocol, generator)
        if len(chosen) < 2:
            continue  # batch normalisation needs two
        try:
            with torch.no_grad():
                feature = task.backbone(batch.points).at_points(batch.points, chosen).float()
        except OutsideGrid as error:
            outside.append(f"frames {', '.join(batch.tokens)}: {error}")
            if len(outside) == steps:
                raise UserError(f"{outside[0]}; so it is in all {steps} steps") from error
            continue
        for group in optimizer.param_groups:
            group["lr"] = protocol.learning_rate * protocol.schedule.factors(step, steps).learning_rate
        logits, target = head(feature), batch.label[chosen] - 1
        loss = nn.functional.cross_entropy(logits, target) + lovasz_softmax(logits.softmax(dim=1), target)
        optimizer.zero_grad()
        loss.backward()
        if protocol.clip_norm is not None:
            nn.utils.clip_grad_norm_(head.parameters(), protocol.clip_norm)
        optimizer.step()
    task.head = folded(head)
    return {"steps": steps, "batch_size": batch_size, "loss": loss.item()}


def trained_points(batch: SegmentationBatch, protocol: ProbeProtocol, generator: torch.Generator) -> Tensor:
    """[S] int64 rows of the labelled points that are trained on: the first of each voxel, or a random sample."""
    rows = torch.arange(len(batch.label), device=batch.label.device)
    if protocol.voxel_size is not None:
        place = (batch.points.xyz / protocol.voxel_size).floor().long()
        cell = torch.cat([batch.points.frame_index()[:, None], place], dim=1)
        voxels, voxel = cell.unique(dim=0, return_inverse=True)
        first = rows.new_full((len(voxels),), len(rows))
        rows = first.scatter_reduce(0, voxel, rows, "amin").sort().values
    if protocol.max_points is not None:
        parts = []
        for start, stop in zip(batch.points.offsets[:-1].tolist(), batch.points.offsets[1:].tolist(), strict=True):
            drawn = torch.randperm(stop - start, generator=generator)[: protocol.max_points]
            parts.append(drawn.to(rows.device) + start)
        rows = torch.cat(parts)
    return rows[batch.label[rows] != IGNORE]


def folded(head: nn.Module) -> nn.Linear:
    """The classifier as one linear layer: batch normalisation (running statistics) is folded in."""
    if isinstance(head, nn.Linear):
        return head
    assert isinstance(head, nn.Sequential)
    norm, linear = head
    assert isinstance(norm, nn.BatchNorm1d)
    assert isinstance(linear, nn.Linear)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        linear.bias.add_(linear.weight @ (norm.bias - norm.running_mean * scale))
        linear.weight.mul_(scale)
    return linear


def _classifier(head: nn.Linear, protocol: ProbeProtocol) -> nn.Module:
    if not protocol.normalised:
        return head
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(nn.BatchNorm1d(head.in_features), head)


def _optimizer(head: nn.Module, protocol: ProbeProtocol) -> torch.optim.Optimizer:
    if protocol.optimizer == "adamw":
        return torch.optim.AdamW(head.parameters(), protocol.learning_rate, weight_decay=protocol.weight_decay)
    return torch.optim.SGD(
        head.parameters(),
        protocol.learning_rate,
        momentum=protocol.momentum,
        dampening=protocol.dampening,
        weight_decay=protocol.weight_decay,
    )

"""Checks of backbones, heads and methods: one forward and backward pass, and three steps of training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pc_ssl.doctor import networks as small
from pc_ssl.doctor.checks import Check, Values
from pc_ssl.doctor.scenes import CELL, CLASSES, REACH, scenes
from pc_ssl.heads import (
    BevMapHead,
    CenterPointHead,
    DetectionTask,
    IndoorDetectionTask,
    MapTask,
    SegmentationTask,
    TransFusionHead,
)
from pc_ssl.methods import METHODS, JointViews
from pc_ssl.models import BevEncoder, grids_of
from pc_ssl.protocols import Batch, Method, Task
from pc_ssl.structures import CameraBatch, PointBatch
from pc_ssl.views import Augmentation, ForegroundViews, PairViews, ScanPairViews, SensorViews, SingleView

STEPS, LEARNING_RATE = 3, 0.01
KINDS = ("car", "truck", "bus")
PAIRS = PairViews(small.AUGMENTATION, inside=64, outside=64)
PIXELS = SensorViews(augmentation=small.AUGMENTATION, images=small.IMAGES, pairs=True)
SUPERPIXELS = SensorViews(augmentation=small.AUGMENTATION, images=small.IMAGES, pairs=True, superpixel="slic")
CHANNELS = {"hidden_channels": 16, "embedding_channels": 16}
# Rounding grows over steps of training: this is a hundred times what one float32 operation loses.
OF_TRAINING = 1e-3


def methods() -> Mapping[str, Callable[[], Any]]:
    """Every method of `METHODS`, small, without random numbers in the forward pass."""
    cells = ScanPairViews(Augmentation(), cell_size=1.5, cells=64, keyframes_apart=1)
    foreground = ForegroundViews(small.AUGMENTATION, foreground=64, background=64)
    joint = JointViews(small.DRAWN, small.AUGMENTATION)
    build: dict[str, Callable[..., Any]] = {
        "bev_contrast": lambda of: of(small.unet(), cells, **CHANNELS),
        "bev_distill": lambda of: of(small.lift_splat(), small.second(), small.DRAWN),
        "clip2scene": lambda of: of(small.unet(), small.SmallClip(), PIXELS, cell_size=1.0),
        "fac": lambda of: of(small.unet(), foreground, **CHANNELS),
        "point_contrast": lambda of: of(small.unet(), PAIRS, embedding_channels=16),
        "ppkt": lambda of: of(small.unet(), small.pixel_features(), PIXELS),
        "prc": lambda of: of(small.second(), PAIRS, **CHANNELS),
        "rad": lambda of: of(small.lift_splat(), small.second(), small.DRAWN, **CHANNELS),
        "scalr": lambda of: of(small.unet(), small.pixel_features(), PIXELS),
        "seg_contrast": lambda of: of(small.unet(), PAIRS, **CHANNELS, dropout=0.0, queue_size=64),
        "sim_ipu": lambda of: of(small.fused(), joint, **CHANNELS),
        "slidr": lambda of: of(small.unet(), small.pixel_features(), SUPERPIXELS),
    }
    return {name: functools.partial(build[name], method) for name, method in METHODS.items()}


def heads() -> Mapping[str, Callable[[], Any]]:
    """Every task, with each of its heads."""

    def detection(head: type[CenterPointHead | TransFusionHead], **options: Any) -> DetectionTask:
        encoder = BevEncoder(small.pillars())
        views = SensorViews(augmentation=small.AUGMENTATION, boxes=True)
        return DetectionTask(encoder, head(encoder.out_channels, KINDS, **options), views)

    def map_task() -> MapTask:
        encoder = BevEncoder(small.second())
        views = SensorViews(augmentation=small.AUGMENTATION, bev_map=True)
        return MapTask(encoder, BevMapHead(encoder.out_channels, reach=REACH, cell_size=CELL), views)

    def indoors() -> IndoorDetectionTask:
        views = SensorViews(augmentation=small.AUGMENTATION, boxes=True)
        return IndoorDetectionTask(small.unet(), views, KINDS, level_sizes=(1.0, 2.0), hidden_channels=8)

    return {
        "center_point": lambda: detection(CenterPointHead, groups="one", shared_channels=8),
        "transfusion": lambda: detection(
            TransFusionHead, small_classes=(), channels=8, queries=8, attention_heads=2, hidden_channels=8, dropout=0.0
        ),
        "bev_map": map_task,
        "indoor_detection": indoors,
        "segmentation": lambda: SegmentationTask(small.unet(), SingleView(small.AUGMENTATION), CLASSES + 1),
    }


def backbones() -> Mapping[str, Callable[[], nn.Module]]:
    """Every backbone of `BACKBONES`."""
    return {
        "sparse_unet": small.unet, "second": small.second, "point_pillars": small.pillars,
        "lift_splat": small.lift_splat, "bev_encoder": small.fused,
    }  # fmt: skip


def training_checks() -> list[Check]:
    """Backbones, heads and methods."""
    passes = [
        Check("backbone", name, functools.partial(_pass, build), tolerance=1e-4) for name, build in backbones().items()
    ]
    steps = [
        Check(group, name, functools.partial(_steps, build), tolerance=OF_TRAINING)
        for group, found in (("head", heads()), ("method", methods()))
        for name, build in found.items()
    ]
    return [*passes, *steps]


def _pass(build: Callable[[], nn.Module], device: torch.device) -> Values:
    """Summaries of the features at the points and of the gradients of all weights."""
    network: Any = small.fixed_weights(build()).to(device).train()
    points = PointBatch.pack([scene.points for scene in scenes()]).to(device)
    cameras = _cameras().to(device)
    if isinstance(network, BevEncoder):
        features = network(points, cameras)
    else:
        features = network(cameras if network.uses_cameras else points)
    feature = features.at_points(points)
    feature.square().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return {
        "features": summary(feature.detach()),
        "gradients": torch.stack([gradient.norm() for gradient in gradients]),
    }


def _steps(build: Callable[[], Any], device: torch.device) -> Values:
    """Losses of three steps of gradient descent on one batch, and the norm of the weights after them."""
    module: Method | Task = build()
    network = small.fixed_weights(_as_module(module)).to(device).train()
    batch = batch_of(module).to(device)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=LEARNING_RATE)
    torch.manual_seed(0)
    losses = []
    for _ in range(STEPS):
        loss = network(batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach().float())
    norms = [parameter.detach().float().norm() for parameter in trained]
    return {"losses": torch.stack(losses), "weights": torch.stack(norms)}


def batch_of(module: Method | Task) -> Batch:
    """The two keyframes as a batch of a method or a task."""
    grids = grids_of(module)
    return module.collate(
        [module.views(scene, np.random.default_rng(number), grids) for number, scene in enumerate(scenes())]
    )


def summary(feature: Tensor) -> Tensor:
    """Mean, mean magnitude and 14 entries of a tensor."""
    flat = feature.flatten().float()
    place = torch.linspace(0, len(flat) - 1, 14, device=flat.device).long()
    return torch.cat([flat.mean()[None], flat.abs().mean()[None], flat[place]])


def _cameras() -> CameraBatch:
    views = SensorViews(images=small.IMAGES, train=False)
    samples: Sequence[Any] = [views(scene, np.random.default_rng(0)) for scene in scenes()]
    return CameraBatch.pack([sample.cameras for sample in samples])


def _as_module(module: object) -> nn.Module:
    assert isinstance(module, nn.Module)
    return module

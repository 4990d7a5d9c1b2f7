"""Checks of the ops, against the loops of `ops/reference.py` in float64."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from pc_ssl import ops
from pc_ssl.doctor.checks import Check, Values
from pc_ssl.ops import plain
from pc_ssl.ops.reference import (
    nms_reference,
    region_gather_reference,
    region_softmax_reference,
    rotated_iou_reference,
    sparse_conv_reference,
)
from pc_ssl.ops.region_pool import Reduce

POINTS, CHANNELS, REGIONS, BOXES = 20_000, 16, 64, 60


def op_checks() -> list[Check]:
    """One for each op and reduction, forward and backward."""
    pools = [
        Check(
            "op", f"region_pool {reduce}", functools.partial(_pool, reduce), functools.partial(_pool_reference, reduce),
            functools.partial(_pool_plain, reduce) if reduce in ("mean", "sum") else None,
        )
        for reduce in ("mean", "sum", "max", "min")
    ]  # fmt: skip
    return [
        *pools,
        Check("op", "region_gather", _gather, _gather_reference),
        Check("op", "region_softmax", _softmax, _softmax_reference),
        Check("op", "rotated_iou_bev", functools.partial(_iou, False), functools.partial(_iou_reference, False)),
        Check("op", "rotated_iou_3d", functools.partial(_iou, True), functools.partial(_iou_reference, True)),
        Check("op", "rotated_nms", _nms, _nms_reference, tolerance=0.0),
        Check("op", "circle_nms", _circle, _circle_reference, tolerance=0.0),
        Check("op", "sparse_conv", _convolution, _convolution_reference),
    ]


@functools.cache
def _cloud() -> tuple[Tensor, Tensor]:
    """Features [N, C] float32 and regions [N] in -1..R - 1, one of them empty."""
    rng = np.random.RandomState(0)
    region = rng.randint(-1, REGIONS, POINTS)
    region[region == 5] = -1
    return torch.from_numpy(rng.normal(size=(POINTS, CHANNELS))).float(), torch.from_numpy(region)


@functools.cache
def _boxes() -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [M, 7], scores [M], all distinct, and classes [M]."""
    rng = np.random.RandomState(1)
    box = np.column_stack(
        [
            rng.uniform(-8, 8, (BOXES, 2)), rng.uniform(-1, 1, BOXES), rng.uniform(1, 5, (BOXES, 3)),
            rng.uniform(-3, 3, BOXES),
        ]
    )  # fmt: skip
    score = rng.permutation(BOXES) / BOXES
    return torch.from_numpy(box).float(), torch.from_numpy(score).float(), torch.from_numpy(rng.randint(0, 2, BOXES))


def _with_gradient(pooled: Tensor, feature: Tensor) -> Values:
    weight = torch.linspace(-1, 1, pooled.numel(), device=pooled.device, dtype=pooled.dtype).view_as(pooled)
    (gradient,) = torch.autograd.grad((pooled * weight).sum(), feature)
    return {"value": pooled.detach(), "gradient": gradient}


def _pool(reduce: Reduce, device: torch.device) -> Values:
    feature, region = (value.to(device) for value in _cloud())
    feature.requires_grad_()
    return _with_gradient(ops.region_pool(feature, region, REGIONS, reduce), feature)


def _pool_reference(reduce: str) -> Values:
    feature, region = _cloud()
    feature = feature.double().requires_grad_()
    return _with_gradient(ops.region_pool_reference(feature, region, REGIONS, reduce), feature)


def _pool_plain(reduce: str, device: torch.device) -> Values:
    """`index_add_` and a count, as code without the op does it."""
    feature, region = (value.to(device) for value in _cloud())
    feature.requires_grad_()
    inside = region >= 0
    pooled = feature.new_zeros(REGIONS, CHANNELS).index_add(0, region[inside], feature[inside])
    if reduce == "mean":
        pooled = pooled / torch.bincount(region[inside], minlength=REGIONS).clamp(min=1)[:, None]
    return _with_gradient(pooled, feature)


def _gather(device: torch.device) -> Values:
    feature, region = (value.to(device) for value in _cloud())
    of_region = feature[:REGIONS].clone().requires_grad_()
    return _with_gradient(ops.region_gather(of_region, region), of_region)


def _gather_reference() -> Values:
    feature, region = _cloud()
    of_region = feature[:REGIONS].double().requires_grad_()
    return _with_gradient(region_gather_reference(of_region, region), of_region)


def _softmax(device: torch.device) -> Values:
    feature, region = (value.to(device) for value in _cloud())
    score = feature[:, :2].clone().requires_grad_()
    return _with_gradient(ops.region_softmax(score, region, REGIONS), score)


def _softmax_reference() -> Values:
    feature, region = _cloud()
    score = feature[:, :2].double().requires_grad_()
    return _with_gradient(region_softmax_reference(score, region, REGIONS), score)


def _iou(in_3d: bool, device: torch.device) -> Values:
    box = _boxes()[0].to(device)
    return {"iou": ops.rotated_iou_3d(box, box[:20]) if in_3d else ops.rotated_iou_bev(box, box[:20])}


def _iou_reference(in_3d: bool) -> Values:
    box = _boxes()[0].double()
    return {"iou": rotated_iou_reference(box, box[:20], in_3d)}


def _nms(device: torch.device) -> Values:
    box, score, kind = (value.to(device) for value in _boxes())
    kept = {"all": ops.rotated_nms(box, score, 0.2), "classes": ops.rotated_nms(box, score, 0.2, kind)}
    return kept | {"first 7": ops.rotated_nms(box, score, 0.2, max_kept=7)}


def _nms_reference() -> Values:
    box, score, kind = _boxes()
    drops = rotated_iou_reference(box.double(), box.double(), False) > 0.2
    return {
        "all": torch.tensor(nms_reference(drops, score)),
        "classes": torch.tensor(nms_reference(drops, score, kind)),
        "first 7": torch.tensor(nms_reference(drops, score, max_kept=7)),
    }


def _circle(device: torch.device) -> Values:
    box, score, _ = (value.to(device) for value in _boxes())
    return {"kept": ops.circle_nms(box[:, :2], score, 2.0)}


def _circle_reference() -> Values:
    box, score, _ = _boxes()
    centre = box[:, :2].double()
    return {"kept": torch.tensor(nms_reference((centre[:, None] - centre).norm(dim=2) <= 2.0, score))}


@functools.cache
def _voxels() -> tuple[ops.ConvPlan, Tensor, Tensor]:
    """A 3 x 3 x 3 convolution of voxels with a third of the cells filled: its plan, features and weights, float32."""
    rng = np.random.RandomState(2)
    index = torch.from_numpy(np.argwhere(rng.uniform(size=(2, 4, 6, 6)) < 0.3).astype(np.int32))
    plan = ops.ConvPlan.build(index, (4, 6, 6), (3, 3, 3), (1, 1, 1), (1, 1, 1), submanifold=True)
    feature, weight = rng.normal(size=(len(index), 8)), rng.normal(size=(27, 8, 16))
    return plan, torch.from_numpy(feature).float(), torch.from_numpy(weight).float()


def _convolution(_: torch.device) -> Values:
    """On the CPU whatever the device: on a GPU the networks use spconv's convolutions."""
    plan, feature, weight = _voxels()
    feature = feature.clone().requires_grad_()
    return _with_gradient(ops.sparse_conv(feature, weight, plan), feature)


def _convolution_reference() -> Values:
    plan, feature, weight = _voxels()
    feature = feature.double().requires_grad_()
    pairs = plan.in_row, plan.out_row, plan.offsets
    return _with_gradient(sparse_conv_reference(feature, weight.double(), *pairs, len(plan.out_index)), feature)


def compiled() -> bool:
    """Whether the compiled ops are in use rather than those of `ops/plain.py`."""
    return not plain._libraries

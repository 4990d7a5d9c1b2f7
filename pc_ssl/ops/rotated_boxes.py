"""Overlap of boxes rotated about z, and non-maximum suppression.

The kernels are in csrc/ (rotated_boxes.h is their contract), `reference.py` is the same in plain torch. Boxes are
rows x y z l w h yaw, with or without vx vy: x y z the centre, metres, yaw in radians counter-clockwise from x, l along
the heading. Nothing here is differentiable. There are kernels for the CPU and for CUDA; the latter are compiled and
their source is run on the host by the tests, but they have not run on a GPU yet (docs/rotated_boxes.md). Overlaps of
two devices may differ in the last digits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pc_ssl.ops.extension import compiled as _ops


def rotated_iou_bev(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every box of `a` with every box of `b`, seen from above.

    Args:
        a: [N, 7 or more] float32 or float64, any strides; z, h and columns after yaw are ignored.
        b: [M, 7 or more] of the same dtype and device.

    Returns:
        [N, M] in [0, 1], of the dtype of `a`. A box whose l or w is not positive, or is not finite, has 0 with all.
        The error is a few roundings of the sizes and of the distance between the centres, over the union.

    Raises:
        ValueError: shapes, dtypes or devices do not fit.
    """
    return _ops.rotated_iou(a.detach(), b.detach(), False)


def rotated_iou_3d(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of the volumes: the area shared seen from above times the height shared.

    With yaw 0 these are axis-aligned boxes, as for indoor data, and their sizes and ends are used as they are.

    Args:
        a: [N, 7 or more] float32 or float64, any strides.
        b: [M, 7 or more] of the same dtype and device.

    Returns:
        [N, M] in [0, 1], of the dtype of `a`. A box with a size that is not positive, or that is not finite, has 0 with
        every box.

    Raises:
        ValueError: shapes, dtypes or devices do not fit.
    """
    return _ops.rotated_iou(a.detach(), b.detach(), True)


def rotated_nms(
    boxes: Tensor, scores: Tensor, threshold: float, classes: Tensor | None = None, max_kept: int | None = None
) -> Tensor:
    """Greedy non-maximum suppression: a box is dropped if a kept one of higher score overlaps it too much, seen from
    above.

    Args:
        boxes: [N, 7 or more] float32 or float64.
        scores: [N] on the same device. Among equal scores the box of the lower index comes first; NaN comes last.
        threshold: a box is dropped if its IoU with a kept one is greater.
        classes: [N] integers; only boxes of the same class drop each other.
        max_kept: maximum number of kept boxes, over all classes.

    Returns:
        [K] int64 indices of the kept boxes by descending score, on the device of the boxes. On a GPU only K is
        synchronised.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or threshold or max_kept is out of range.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be an IoU in [0, 1], got {threshold}")
    _check_max_kept(max_kept)
    order = _by_falling_score(scores, boxes)
    group = _in_order(classes, order)
    return order[_ops.rotated_nms(boxes.detach()[order], group, threshold, max_kept)]


def circle_nms(
    centers: Tensor,
    scores: Tensor,
    distance: float | Tensor,
    classes: Tensor | None = None,
    max_kept: int | None = None,
) -> Tensor:
    """Suppression by the distance of centres (CenterPoint, Yin et al., CVPR 2021).

    CenterPoint's code compares its `min_radius` with the squared distance: 4, 12, 10, 1, 0.85, 0.175 there are square
    metres, and the square roots of what `distance` takes.

    Args:
        centers: [N, 2 or more] float32 or float64: x, y in metres; further columns are ignored.
        scores: [N] on the same device. Among equal scores the lower index comes first; NaN comes last.
        distance: metres; a box is dropped if a kept one is within this distance. [C] for one of each class, where a
            negative value keeps all boxes of its class.
        classes: [N] integers, 0..C - 1 if there are several distances; only boxes of the same class drop each other.
        max_kept: maximum number of kept boxes, over all classes.

    Returns:
        [K] int64 indices of the kept boxes by descending score, on the device of the centers. On a GPU only K is
        synchronised.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or several distances are given without classes.
        IndexError: a class has no distance.
    """
    _check_max_kept(max_kept)
    order = _by_falling_score(scores, centers)
    group = _in_order(classes, order)
    reach = torch.as_tensor(distance, dtype=centers.dtype, device=centers.device)
    if reach.ndim == 0:
        reach = reach.expand(len(centers))
    elif group is None:
        raise ValueError(f"distance is {list(reach.shape)}, one per class, but classes is missing")
    else:
        reach = reach[group]
    squared = torch.where(reach < 0, -1, reach.square())
    return order[_ops.circle_nms(centers.detach()[order], squared, group, max_kept)]


def _check_max_kept(max_kept: int | None) -> None:
    if max_kept is not None and max_kept < 0:
        raise ValueError(f"max_kept must not be negative, got {max_kept}")


def _by_falling_score(scores: Tensor, rows: Tensor) -> Tensor:
    if scores.ndim != 1 or len(scores) != len(rows) or scores.device != rows.device:
        raise ValueError(f"scores must be [{len(rows)}] on {rows.device}, got {list(scores.shape)} on {scores.device}")
    ranked = scores.detach()
    if ranked.is_floating_point():
        ranked = ranked.masked_fill(ranked.isnan(), -torch.inf)
    return ranked.argsort(descending=True, stable=True)


def _in_order(classes: Tensor | None, order: Tensor) -> Tensor | None:
    if classes is None:
        return None
    if classes.shape != order.shape or classes.device != order.device or classes.is_floating_point():
        raise ValueError(
            f"classes must be integers [{len(order)}] on {order.device}, got {classes.dtype} {list(classes.shape)} on "
            f"{classes.device}"
        )
    return classes[order].long()


@torch.library.register_fake("pc_ssl::rotated_iou")
def _rotated_iou_fake(a: Tensor, b: Tensor, in_3d: bool) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[0])


@torch.library.register_fake("pc_ssl::rotated_nms")
def _rotated_nms_fake(boxes: Tensor, group: Tensor | None, threshold: float, max_kept: int | None) -> Tensor:
    return boxes.new_empty(boxes.shape[0], dtype=torch.bool)


@torch.library.register_fake("pc_ssl::circle_nms")
def _circle_nms_fake(center: Tensor, squared_distance: Tensor, group: Tensor | None, max_kept: int | None) -> Tensor:
    return center.new_empty(center.shape[0], dtype=torch.bool)

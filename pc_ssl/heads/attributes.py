"""nuScenes' attributes of boxes, and the attribute assigned to a predicted box."""

from __future__ import annotations

import torch
from torch import Tensor

from pc_ssl.taxonomies import NO_ATTRIBUTE, NUSCENES

NUSCENES_CLASSES = NUSCENES.detected_classes
ATTRIBUTES = NUSCENES.attributes
MOVING = 0.2  # m/s; tianweiy/CenterPoint, det3d/datasets/nuscenes/nuscenes.py


def attribute_of(class_name: str, speed: float) -> str:
    """One of ATTRIBUTES, for a box of a class at a speed in m/s; "none" for classes without attributes."""
    moving, resting = NUSCENES.attribute_of_class.get(class_name, (NO_ATTRIBUTE, NO_ATTRIBUTE))
    return moving if speed > MOVING else resting


def attributes_of(class_names: tuple[str, ...], label: Tensor, velocity: Tensor) -> Tensor:
    """[M] int64 index into ATTRIBUTES of boxes with label [M] (index into `class_names`) and velocity [M, 2] in m/s."""
    index = [[ATTRIBUTES.index(attribute_of(name, speed)) for speed in (0.0, 2 * MOVING)] for name in class_names]
    moving = (velocity.norm(dim=1) > MOVING).long()
    return torch.tensor(index, device=label.device).reshape(-1, 2)[label, moving]

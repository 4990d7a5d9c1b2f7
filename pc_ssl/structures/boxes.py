"""Oriented boxes of one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

NUM_COLUMNS = 9  # x y z l w h yaw vx vy


@dataclass(frozen=True)
class Boxes3D:
    """M boxes, annotated or predicted.

    Args:
        box: [M, 9] float32: x, y, z of the centre, l along the heading, w, h in metres, yaw in radians
            (counter-clockwise from x seen from above), vx, vy in m/s; in the frame of the points. Velocity may be NaN:
            unknown.
        label: [M] int64 class of each box, 0..C - 1.
        attribute: [M] int64 index of the attribute, 0 means none; None: unknown.
        score: [M] float32 confidence of predictions; None for annotated boxes.

    Raises:
        ValueError: the shapes disagree.
    """

    box: Tensor
    label: Tensor
    attribute: Tensor | None = None
    score: Tensor | None = None

    def __post_init__(self) -> None:
        if self.box.ndim != 2 or self.box.shape[1] != NUM_COLUMNS:
            raise ValueError(f"Boxes3D: box must be [M, {NUM_COLUMNS}], got {list(self.box.shape)}")
        for name in ("label", "attribute", "score"):
            value = getattr(self, name)
            if value is not None and value.shape != (len(self.box),):
                raise ValueError(f"Boxes3D: {name} must be [{len(self.box)}], got {list(value.shape)}")

    def __len__(self) -> int:
        return len(self.box)

    def __getitem__(self, rows: Tensor) -> Boxes3D:
        """The boxes selected by a mask [M] or by indices."""
        return Boxes3D(
            self.box[rows],
            self.label[rows],
            None if self.attribute is None else self.attribute[rows],
            None if self.score is None else self.score[rows],
        )

    def moved(self, dst_from_src: Tensor) -> Boxes3D:
        """The boxes in another frame.

        Args:
            dst_from_src: [4, 4]: a turn about z, a mirrored x or y, one scale for all axes, and a shift. A mirrored box
                keeps its sizes; heading and velocity are mirrored with it.
        """
        matrix = dst_from_src.to(self.box)
        linear = matrix[:3, :3]
        scale = linear[2, 2]
        heading = torch.stack([self.box[:, 6].cos(), self.box[:, 6].sin()], dim=1) @ linear[:2, :2].T
        box = torch.cat(
            [
                self.box[:, :3] @ linear.T + matrix[:3, 3],
                self.box[:, 3:6] * scale,
                torch.atan2(heading[:, 1], heading[:, 0])[:, None],
                self.box[:, 7:9] @ linear[:2, :2].T,
            ],
            dim=1,
        )
        return replace(self, box=box)

    def to(self, device: torch.device | str) -> Boxes3D:
        return Boxes3D(
            self.box.to(device),
            self.label.to(device),
            None if self.attribute is None else self.attribute.to(device),
            None if self.score is None else self.score.to(device),
        )

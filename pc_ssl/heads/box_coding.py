"""Encoding of boxes as the regression targets of detection heads, and its inverse.

A box is ten numbers: column and row of its centre in cells of the BEV map (0 at the lower edge of the first cell, so
that its centre is 0.5), z of its centre in metres, the logarithms of l, w, h in metres, sine and cosine of its yaw, and
vx, vy in m/s. This is the encoding of CenterPoint (Yin et al., CVPR 2021, Sec. 4) and TransFusion (Bai et al., CVPR
2022) in their reference code, where velocity has weight 0.2 and the rest 1 (`code_weights`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pc_ssl.models.features import BevFeatures
from pc_ssl.structures import Boxes3D

CODE = 10
LARGEST_LOG_SIZE = 5.0  # predictions are clamped to exp(+-5) m, as in OpenPCDet's CenterHead


@dataclass(frozen=True)
class MapCells:
    """The cells of a BEV map and their position in the frame.

    Args:
        rows: H, along y.
        columns: W, along x.
        lower: x, y of the lower corner of the map, metres.
        upper: x, y of the upper corner.
    """

    rows: int
    columns: int
    lower: tuple[float, float]
    upper: tuple[float, float]

    @classmethod
    def of(cls, features: BevFeatures) -> MapCells:
        rows, columns = features.map.shape[2:]
        return cls(rows, columns, features.grid.lower[:2], features.grid.upper[:2])

    @property
    def size(self) -> tuple[float, float]:
        """Edges of a cell along x and y, metres."""
        return (self.upper[0] - self.lower[0]) / self.columns, (self.upper[1] - self.lower[1]) / self.rows

    def position(self, xy: Tensor) -> Tensor:
        """[..., 2] metres -> column and row [..., 2] in cells."""
        return (xy - xy.new_tensor(self.lower)) / xy.new_tensor(self.size)

    def place(self, position: Tensor) -> Tensor:
        """The inverse of `position`."""
        return position * position.new_tensor(self.size) + position.new_tensor(self.lower)

    def encode(self, box: Tensor) -> Tensor:
        """[M, 9] boxes -> [M, CODE] of the same dtype."""
        yaw = box[:, 6:7]
        return torch.cat(
            [self.position(box[:, :2]), box[:, 2:3], box[:, 3:6].log(), yaw.sin(), yaw.cos(), box[:, 7:9]], 1
        )

    def decode(self, code: Tensor) -> Tensor:
        """[M, CODE] -> [M, 9] boxes."""
        size = code[:, 3:6].clamp(-LARGEST_LOG_SIZE, LARGEST_LOG_SIZE).exp()
        yaw = torch.atan2(code[:, 6:7], code[:, 7:8])
        return torch.cat([self.place(code[:, :2]), code[:, 2:3], size, yaw, code[:, 8:10]], dim=1)


@dataclass(frozen=True)
class BoxTargets:
    """The boxes of a batch that a head learns, M in total.

    Args:
        frame: [M] int64, 0..B - 1, ascending.
        label: [M] int64, 0..C - 1.
        box: [M, 9].
        code: [M, CODE]; a velocity may be NaN: unknown.
        cell: [M, 2] int64: column and row of the cell that holds the centre.
    """

    frame: Tensor
    label: Tensor
    box: Tensor
    code: Tensor
    cell: Tensor

    @classmethod
    def of(cls, boxes: Sequence[Boxes3D], num_classes: int, cells: MapCells) -> BoxTargets:
        """Boxes of the first `num_classes` classes whose centre is on the map and whose sizes are positive.

        Args:
            boxes: of B frames.
            num_classes: C; boxes with other labels are left out.
            cells: of the map.
        """
        device = boxes[0].box.device
        frame = torch.repeat_interleave(
            torch.arange(len(boxes), device=device), torch.tensor([len(b) for b in boxes], device=device)
        )
        label, box = torch.cat([b.label for b in boxes]), torch.cat([b.box for b in boxes]).float()
        position = cells.position(box[:, :2])
        on_map = ((position >= 0) & (position < position.new_tensor([cells.columns, cells.rows]))).all(dim=1)
        sound = (box[:, 3:6] > 0).all(dim=1) & box[:, :7].isfinite().all(dim=1)
        kept = (label >= 0) & (label < num_classes) & on_map & sound
        code = cells.encode(box[kept])
        return cls(frame[kept], label[kept], box[kept], code, code[:, :2].floor().long())

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, rows: Tensor) -> BoxTargets:
        """The boxes selected by a mask [M] or by indices."""
        return BoxTargets(self.frame[rows], self.label[rows], self.box[rows], self.code[rows], self.cell[rows])


def code_loss(code: Tensor, target: Tensor, velocity_weight: float) -> Tensor:
    """L1 distance of codes, summed over their numbers and averaged over the boxes; unknown velocities are left out.

    Args:
        code: [M, CODE] predicted; computed in float32.
        target: [M, CODE]; NaN means unknown.
        velocity_weight: weight of vx and vy; the other numbers have 1.

    Returns:
        Scalar; a zero that is connected to `code` when M is 0.
    """
    weight = target.new_ones(CODE)
    weight[8:] = velocity_weight
    known = ~target.isnan()
    distance = (code.float() - torch.where(known, target, 0.0)).abs()
    return torch.where(known, distance * weight, 0.0).sum() / max(len(target), 1)

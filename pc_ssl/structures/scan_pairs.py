"""Two scans of each place, and the cells of the ground plane that both occupy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pc_ssl.structures.points import PointBatch


@dataclass(frozen=True)
class ScanPairSample:
    """Two scans of one place, each in a separate view, and C cells that both occupy.

    Args:
        token: the first scan's name in its data set.
        first: [N1, 3 + F] float32: x, y, z in metres in the frame of the first view, then features.
        second: [N2, 3 + F] float32, in the frame of the second view.
        first_cell: [N1] int64: the cell of each point of `first` in 0..C - 1; -1 means none.
        second_cell: [N2] int64: the cell of each point of `second`; equal numbers are the same place.
        num_cells: C.
    """

    token: str
    first: Tensor
    second: Tensor
    first_cell: Tensor
    second_cell: Tensor
    num_cells: int


@dataclass(frozen=True)
class ScanPairBatch:
    """Packed samples of B places; as `ScanPairSample`, with numbers of cells that are unique over the batch."""

    tokens: tuple[str, ...]
    first: PointBatch
    second: PointBatch
    first_cell: Tensor
    second_cell: Tensor
    num_cells: int

    @classmethod
    def pack(cls, samples: Sequence[ScanPairSample]) -> ScanPairBatch:
        """Pack samples into one batch: cells are offset so that they are unique over the batch."""
        start = [sum(sample.num_cells for sample in samples[:number]) for number in range(len(samples) + 1)]

        def shifted(cells: Sequence[Tensor]) -> Tensor:
            return torch.cat(
                [torch.where(cell < 0, -1, cell + offset) for cell, offset in zip(cells, start, strict=False)]
            )

        return cls(
            tokens=tuple(sample.token for sample in samples),
            first=PointBatch.pack([sample.first for sample in samples]),
            second=PointBatch.pack([sample.second for sample in samples]),
            first_cell=shifted([sample.first_cell for sample in samples]),
            second_cell=shifted([sample.second_cell for sample in samples]),
            num_cells=start[-1],
        )

    def to(self, device: torch.device | str) -> ScanPairBatch:
        return ScanPairBatch(
            self.tokens,
            self.first.to(device),
            self.second.to(device),
            self.first_cell.to(device),
            self.second_cell.to(device),
            self.num_cells,
        )

"""Grids: voxel size and range, and every size derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # workers that prepare data need the package's transforms, and no torch
    from torch import Tensor

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class BevGrid:
    """A regular grid over a box of space, seen from above as a BEV map.

    Args:
        lower: x, y, z of the lower corner, metres, in the frame of the points (LiDAR frame outdoors).
        upper: x, y, z of the upper corner, metres.
        voxel_size: edges of one voxel along x, y, z, metres.

    Raises:
        ValueError: an edge is not positive, or a side of the box is not a whole number of voxels.
    """

    lower: Triple
    upper: Triple
    voxel_size: Triple

    def __post_init__(self) -> None:
        for axis, low, high, size in zip("xyz", self.lower, self.upper, self.voxel_size, strict=True):
            if size <= 0 or high <= low:
                raise ValueError(
                    f"BevGrid: along {axis} need voxel_size > 0 and upper > lower, got {size}, {low}, {high}"
                )
            cells = (high - low) / size
            if abs(cells - round(cells)) > 1e-3:
                raise ValueError(
                    f"BevGrid: along {axis} {high - low:g} m is not a whole number of voxels of {size:g} m"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = (
            round((high - low) / size) for low, high, size in zip(self.lower, self.upper, self.voxel_size, strict=True)
        )
        return x, y, z

    def voxel_of(self, xyz: Tensor) -> tuple[Tensor, Tensor]:
        """Voxel of each point.

        Args:
            xyz: [N, 3] metres.

        Returns:
            index [N, 3] int64 along x, y, z (meaningless outside), and inside [N] bool.
        """
        lower = xyz.new_tensor(self.lower)
        size = xyz.new_tensor(self.voxel_size)
        index = ((xyz - lower) / size).floor().long()
        inside = ((index >= 0) & (index < index.new_tensor(self.shape))).all(dim=1)
        return index, inside

    def normalized_xy(self, xyz: Tensor) -> Tensor:
        """[N, 2]: x and y of the points [N, 3] scaled so that the box spans [-1, 1], as for `grid_sample`."""
        lower = xyz.new_tensor(self.lower[:2])
        upper = xyz.new_tensor(self.upper[:2])
        return 2 * (xyz[:, :2] - lower) / (upper - lower) - 1

"""Output of a backbone, and how features are read from it at points and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from pc_ssl.geometry import BevGrid
from pc_ssl.ops import region_gather
from pc_ssl.structures import PixelPairs, PointBatch


@dataclass(frozen=True)
class BevFeatures:
    """A map of the ground plane for each frame.

    Args:
        map: [B, C, H, W]: rows run along y, columns along x, and the map covers the box of `grid`; H and W may be any
            fraction of the grid's shape.
        grid: the box that the map covers.
    """

    map: Tensor
    grid: BevGrid

    def at_points(self, points: PointBatch, rows: Tensor | None = None) -> Tensor:
        """Features at x, y of the points, bilinear between the centres of the cells.

        Within half a cell of the edge of the box the value of the edge cells is used. Points outside the box, seen from
        above, give zeros; z is ignored.

        Args:
            points: B frames, N points.
            rows: [n] int64: the points to be read; None reads all N.

        Returns:
            [n, C] of the dtype of the map.

        Raises:
            ValueError: the numbers of frames disagree.
        """
        batch, channels, height, width = self.map.shape
        if batch != points.num_frames:
            raise ValueError(f"BevFeatures: the map holds {batch} frames, the points {points.num_frames}")
        frame, xyz = points.frame_index(), points.xyz
        if rows is not None:
            frame, xyz = frame[rows], xyz[rows]
        normalized = self.grid.normalized_xy(xyz)
        inside = (normalized >= -1).all(dim=1) & (normalized < 1).all(dim=1)
        cell, weight = _corners(normalized, height, width)
        row = torch.where(inside, frame * (height * width) + cell, -1)
        cells = self.map.permute(0, 2, 3, 1).reshape(-1, channels)
        corners = region_gather(cells, row.reshape(-1)).reshape(4, len(xyz), channels)
        return (corners * weight.unsqueeze(2).to(corners.dtype)).sum(dim=0)


@dataclass(frozen=True)
class PointFeatures:
    """A feature for each point of the input, or for each voxel of points.

    Args:
        feature: [N, C], or [V, C] of the V voxels.
        voxel: [N] int64: the row of `feature` of each point, -1: zeros; None: point i has row i.
    """

    feature: Tensor
    voxel: Tensor | None = None

    def at_points(self, points: PointBatch, rows: Tensor | None = None) -> Tensor:
        """The features of the points that the backbone was given.

        Args:
            points: the batch of N points that the backbone was given.
            rows: [n] int64: the points to be read; None reads all N.

        Returns:
            [n, C].

        Raises:
            ValueError: the numbers of points disagree.
        """
        row_of_point = rows
        known = len(self.feature)
        if self.voxel is not None:
            known = len(self.voxel)
            row_of_point = self.voxel if rows is None else self.voxel[rows]
        if known != len(points.points):
            raise ValueError(f"PointFeatures: {known} features for {len(points.points)} points")
        return self.feature if row_of_point is None else region_gather(self.feature, row_of_point)


def at_pixels(feature: Tensor, image_size: Sequence[int], pairs: PixelPairs) -> Tensor:
    """Features of images at the pixels of pairs, bilinear between the centres of the cells of the maps.

    Args:
        feature: [n, C, h, w], the maps of n images.
        image_size: rows and columns of the images that the pairs' pixels refer to.
        pairs: P pairs; `camera` is an index of an image.

    Returns:
        [P, C] of the dtype of the maps.
    """
    found = feature.new_zeros(len(pairs), feature.shape[1])
    size = pairs.pixel.new_tensor([image_size[1], image_size[0]])
    for number in range(len(feature)):
        shown = (pairs.camera == number).nonzero()[:, 0]
        place = (pairs.pixel[shown] / size * 2 - 1).to(feature.dtype)
        one = feature[number, None]
        sampled = grid_sample(one, place[None, None], padding_mode="border", align_corners=False)
        found = found.index_put((shown,), sampled[0, :, 0].T)
    return found


def _corners(normalized: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Flat index in one map [H, W], and weight, of the four cells around each point: two tensors [4, n]."""
    size = normalized.new_tensor([width, height])
    position = (normalized + 1) / 2 * size - 0.5  # 0 at the centre of the first cell
    low = position.floor()
    share = position - low
    cells, weights = [], []
    for step_y in (0, 1):
        for step_x in (0, 1):
            column = (low[:, 0].long() + step_x).clamp(0, width - 1)
            row = (low[:, 1].long() + step_y).clamp(0, height - 1)
            along_x = share[:, 0] if step_x else 1 - share[:, 0]
            along_y = share[:, 1] if step_y else 1 - share[:, 1]
            cells.append(row * width + column)
            weights.append(along_x * along_y)
    return torch.stack(cells), torch.stack(weights)

"""Heat maps of box centres: targets and peaks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from pc_ssl.heads.box_coding import BoxTargets, MapCells
from pc_ssl.ops import region_pool

INITIAL_BIAS = -2.19  # of heat map layers: an initial probability of 0.1, as in CenterPoint's reference code


def gaussian_radius(length: Tensor, width: Tensor, min_overlap: float) -> Tensor:
    """Largest offset of a centre at which the box keeps an overlap, in the unit of the sizes.

    CornerNet (Law and Deng, ECCV 2018) takes the smallest of three radii, each the root of a quadratic equation. Its
    code divides all roots by 2 where two of them need 2 a; CenterPoint's and TransFusion's code do the same. With that
    division the third radius is always the smallest, and is the one computed here.

    Args:
        length: [M].
        width: [M].
        min_overlap: intersection over union that is to be kept; 0.1 in CenterPoint.
    """
    total = length + width
    inner = (min_overlap * total) ** 2 + 4 * min_overlap * (1 - min_overlap) * length * width
    return inner.sqrt() - min_overlap * total


def target_heat_map(
    targets: BoxTargets, cells: MapCells, num_frames: int, num_classes: int, min_overlap: float, min_radius: int
) -> Tensor:
    """A Gaussian around each centre, the maximum where they overlap (CenterPoint Sec. 4).

    Args:
        targets: labels in 0..num_classes - 1.
        cells: of the map.
        num_frames: B.
        num_classes: K.
        min_overlap: see `gaussian_radius`.
        min_radius: of the Gaussian, cells; it reaches `radius` cells from the centre, and sigma is (2 radius + 1) / 6.

    Returns:
        [B, K, rows, columns] float32: 1 in the cells of centres.
    """
    length, width = targets.box[:, 3] / cells.size[0], targets.box[:, 4] / cells.size[1]
    radius = gaussian_radius(length, width, min_overlap).long().clamp(min=min_radius)[:, None, None]
    reach = int(radius.max()) if len(targets) else 0
    step = torch.arange(-reach, reach + 1, device=radius.device)
    dy, dx = step[:, None].expand(-1, len(step)), step.expand(len(step), -1)
    column, row = targets.cell[:, 0, None, None] + dx, targets.cell[:, 1, None, None] + dy
    covered = (dx.abs() <= radius) & (dy.abs() <= radius)
    covered &= (column >= 0) & (column < cells.columns) & (row >= 0) & (row < cells.rows)
    value = torch.exp(-(dx**2 + dy**2) / (2 * ((2 * radius + 1) / 6.0) ** 2))
    channel = (targets.frame * num_classes + targets.label)[:, None, None]
    place = torch.where(covered, (channel * cells.rows + row) * cells.columns + column, -1)
    shape = (num_frames, num_classes, cells.rows, cells.columns)
    pooled = region_pool(
        value.reshape(-1, 1), place.reshape(-1), num_frames * num_classes * cells.rows * cells.columns, "max"
    )
    return pooled.reshape(shape)


def local_maxima(heat_map: Tensor) -> Tensor:
    """[B, K, H, W] bool: cells that no 3 x 3 neighbour of the same class exceeds."""
    return max_pool2d(heat_map, kernel_size=3, stride=1, padding=1) == heat_map


def highest(heat_map: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The highest cells of each frame over all classes.

    Args:
        heat_map: [B, K, H, W].
        count: how many; where there are fewer cells, all of them.

    Returns:
        value [B, n], class [B, n] int64, and cell [B, n] int64, row * W + column; highest first.
    """
    cells = heat_map.shape[2] * heat_map.shape[3]
    flat = heat_map.flatten(1)
    value, index = flat.topk(min(count, flat.shape[1]), dim=1)
    return value, index // cells, index % cells

"""Features of points from a network that is ready for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pc_ssl.errors import UserError
from pc_ssl.models.voxelize import OutsideGrid
from pc_ssl.structures import PointBatch


def point_features(network: nn.Module, points: Tensor) -> Tensor:
    """The features of every point of one cloud.

    Args:
        network: a LiDAR backbone (`pc_ssl.protocols.Backbone`) in eval mode.
        points: [N, 3 + F] float32: x, y, z in metres in the frame the network was trained in, then the network's F
            features, intensity in [0, 1].

    Returns:
        [N, C] float32 on the device of the network; zeros for points outside its grid.

    Raises:
        UserError: the points have another number of columns.
    """
    columns = 3 + int(network.point_features)  # type: ignore[arg-type]
    if points.ndim != 2 or points.shape[1] != columns:
        raise UserError(
            f"points are {list(points.shape)}, expected [N, {columns}]: x, y, z and {columns - 3} features, as the "
            "network was trained with"
        )
    device = next(network.parameters()).device
    channels = int(network.out_channels)  # type: ignore[arg-type]
    if not len(points):
        return torch.zeros(0, channels, device=device)
    batch = PointBatch.pack([points.float()]).to(device)
    with torch.inference_mode():
        try:
            return network(batch).at_points(batch).float()
        except OutsideGrid:
            return torch.zeros(len(points), channels, device=device)

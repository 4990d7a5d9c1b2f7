"""One BEV map of a frame, from its points, its images, or both.

The fuser is BEVFusion's (Liu et al., "BEVFusion: Multi-Task Multi-Sensor Fusion with Unified Bird's-Eye View
Representation", ICRA 2023, Sec. 3.3): the maps are joined along their channels, and a convolution mixes them.
"""

from __future__ import annotations

from itertools import chain, zip_longest

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pc_ssl.derived import CameraChannels, FusedChannels, LidarChannels
from pc_ssl.geometry import BevGrid
from pc_ssl.models.bev import below
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.lidar import SECOND, PointPillars
from pc_ssl.protocols import Backbone, CameraBackbone
from pc_ssl.structures import CameraBatch, PointBatch


class ConvFuser(nn.Module):
    """Two maps to one, by a 3 x 3 convolution.

    Args:
        lidar_channels: channels of the LiDAR branch's map.
        camera_channels: channels of the camera branch's map.
        out_channels: channels of the result.
    """

    def __init__(
        self, lidar_channels: LidarChannels, camera_channels: CameraChannels, out_channels: FusedChannels
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = (lidar_channels, camera_channels), out_channels
        self.mix = nn.Sequential(
            nn.Conv2d(lidar_channels + camera_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, lidar: Tensor, camera: Tensor) -> Tensor:
        """[B, C1, H, W] and [B, C2, h, w] -> [B, out_channels, H, W]; the camera's map is resampled to the LiDAR's."""
        if camera.shape[2:] != lidar.shape[2:]:
            camera = interpolate(camera, lidar.shape[2:], mode="bilinear", align_corners=False, antialias=True)
        return self.mix(torch.cat([lidar, camera.to(lidar.dtype)], dim=1))


class NeckFuser(ConvFuser):
    """Fuses before the LiDAR branch's neck, which then reads the fused map, as in BEVFusion.

    The fused map has the channels that the neck takes, so that a pretrained LiDAR branch is loaded whole.

    Args:
        fused_channels: of the fused map, `encoded_channels` of the LiDAR branch (`BevEncoder` checks it); 256 in
            BEVFusion.
        camera_channels: channels of the camera branch's map.
    """

    def __init__(self, fused_channels: int, camera_channels: CameraChannels) -> None:
        super().__init__(fused_channels, camera_channels, fused_channels)


class BevEncoder(nn.Module):
    """The backbone of detection and map segmentation.

    Args:
        lidar: LiDAR backbone that gives BevFeatures; None: the images alone.
        camera: camera backbone; None: the points alone.
        fuser: fuses the two maps; required with two branches, and only then. A `NeckFuser` fuses before the neck of
            the LiDAR branch.

    Raises:
        ValueError: no branch, a missing or superfluous fuser, channels that do not match, or branches whose maps cover
            different ground.
    """

    def __init__(
        self,
        lidar: Backbone | None = None,
        camera: CameraBackbone | None = None,
        fuser: ConvFuser | None = None,
    ) -> None:
        super().__init__()
        if lidar is None and camera is None:
            raise ValueError("BevEncoder: needs a lidar or a camera branch")
        if (lidar is not None and camera is not None) != (fuser is not None):
            raise ValueError("BevEncoder: a fuser joins two branches: needed with both, and only then")
        self.lidar, self.camera, self.fuser = lidar, camera, fuser
        grids = [branch.grid for branch in (lidar, camera) if branch is not None]
        if any(grid is None for grid in grids):
            raise ValueError("BevEncoder: the LiDAR branch gives no BEV map, only features of points")
        if len({(grid.lower[:2], grid.upper[:2]) for grid in grids if grid is not None}) > 1:
            raise ValueError(f"BevEncoder: the branches' maps cover different ground: {grids}")
        early = isinstance(fuser, NeckFuser)
        if early and not isinstance(lidar, (SECOND, PointPillars)):
            raise ValueError(f"BevEncoder: a {type(lidar).__name__} has no neck before which to fuse")
        if fuser is not None and lidar is not None and camera is not None:
            own = lidar.encoded_channels if isinstance(lidar, (SECOND, PointPillars)) and early else lidar.out_channels
            found = (own, camera.out_channels)
            if fuser.in_channels != found:
                raise ValueError(f"BevEncoder: the fuser takes {fuser.in_channels} channels, the branches give {found}")
        self.grid: BevGrid = grids[0]  # type: ignore[assignment]
        last = lidar if early else fuser or lidar or camera
        assert last is not None
        self.out_channels: int = last.out_channels

    @property
    def point_features(self) -> int | None:
        """F, point features besides x, y, z; None without a LiDAR branch."""
        return None if self.lidar is None else self.lidar.point_features

    @property
    def uses_cameras(self) -> bool:
        return self.camera is not None

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """The branches' blocks, of equal distance from the output in one block, then the fuser."""
        branches = (("lidar", self.lidar), ("camera", self.camera))
        paths = [below(name, branch.blocks)[::-1] for name, branch in branches if branch is not None]
        joined = (tuple(chain.from_iterable(level)) for level in zip_longest(*paths, fillvalue=()))
        return (*reversed(tuple(joined)), *([("fuser",)] if self.fuser is not None else []))

    def forward(self, points: PointBatch | None, cameras: CameraBatch | None) -> BevFeatures:
        """The map [B, out_channels, H, W].

        Raises:
            ValueError: the input of a branch is None.
        """
        maps: list[Tensor] = []
        if self.lidar is not None:
            if points is None:
                raise ValueError("BevEncoder: the LiDAR branch needs points")
            maps.append(self._lidar_map(points))
        if self.camera is not None:
            if cameras is None:
                raise ValueError("BevEncoder: the camera branch needs images")
            maps.append(self.camera(cameras, points).map)
        fused = maps[0] if self.fuser is None else self.fuser(*maps)
        if isinstance(self.fuser, NeckFuser) and isinstance(self.lidar, (SECOND, PointPillars)):
            fused = self.lidar.neck(fused)
        return BevFeatures(fused, self.grid)

    def _lidar_map(self, points: PointBatch) -> Tensor:
        """The LiDAR branch's map; before its neck, where that is where the maps are fused."""
        if isinstance(self.fuser, NeckFuser) and isinstance(self.lidar, (SECOND, PointPillars)):
            return self.lidar.encode(points)
        assert self.lidar is not None
        features = self.lidar(points)
        assert isinstance(features, BevFeatures)
        return features.map

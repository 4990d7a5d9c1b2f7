"""A camera branch small enough for tests of methods."""

import pytest
import torch
from torch import nn

from pc_ssl.geometry import BevGrid
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.lidar import SECOND
from pc_ssl.structures import CameraBatch, PointBatch
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

GRID = BevGrid((-25.6, -25.6, -3.0), (25.6, 25.6, 5.0), (0.8, 0.8, 1.0))


class ToyCamera(nn.Module):
    """A map that is a learned pattern, scaled by what the images show: enough to be fitted."""

    uses_cameras = True
    point_features = None

    def __init__(self, grid: BevGrid = GRID, channels: int = 8) -> None:
        super().__init__()
        self.grid, self.out_channels = grid, channels
        self.stem = nn.Conv2d(3, channels, 5, 4)
        self.pattern = nn.Parameter(torch.randn(channels, 32, 32))

    def forward(self, cameras: CameraBatch, points: PointBatch | None = None) -> BevFeatures:
        seen = self.stem(cameras.image.flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, cameras.present.shape)
        seen = (seen * cameras.present[..., None]).sum(dim=1)
        return BevFeatures(self.pattern + seen[:, :, None, None], self.grid)


@pytest.fixture
def toy_camera() -> ToyCamera:
    torch.manual_seed(1)
    return ToyCamera()


@pytest.fixture
def second() -> SECOND:
    torch.manual_seed(2)
    return SECOND(GRID, 1, (8, 16), (1, 1), (16, 16), (1, 1), 16)


@pytest.fixture
def drawn_views() -> DrawnViews:
    images = ImageAugmentation(40, 24, (0.5, 0.6), rotation=0.0)
    return DrawnViews(SensorViews(Augmentation(), images), inside=100, outside=100)

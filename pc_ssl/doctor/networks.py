"""Small networks of every kind, with weights that are the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, normalize

from pc_ssl.doctor.scenes import CLASSES, HEIGHT, REACH, WIDTH
from pc_ssl.geometry import BevGrid
from pc_ssl.models import SECOND, BevEncoder, ConvFuser, LiftSplat, PointPillars, SparseUNet
from pc_ssl.models.camera import DepthBins, PixelFeatures
from pc_ssl.models.camera.image_backbone import ImageBackbone
from pc_ssl.models.clip import MaskClip
from pc_ssl.models.frozen import FrozenParts
from pc_ssl.structures import Camera
from pc_ssl.views import Augmentation, ImageAugmentation, SensorViews
from pc_ssl.views.camera import MEAN, STD
from pc_ssl.views.drawn import DrawnViews

LOWER, UPPER = (-REACH, -REACH, -5.0), (REACH, REACH, 3.0)


class WholeImages(ImageAugmentation):
    """Images as they are, so that no image library is needed."""

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
        return np.eye(3)

    def still(self, size: tuple[int, int]) -> NDArray[np.float64]:
        return np.eye(3)

    def image(self, camera: Camera, view_from_pixel: NDArray[np.float64]) -> Tensor:
        values = camera.image.float() / 255
        return (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]

    def label_map(self, ids: Tensor, view_from_pixel: NDArray[np.float64], outside: int) -> Tensor:
        return ids.long()


IMAGES = WholeImages(width=WIDTH, height=HEIGHT)
AUGMENTATION = Augmentation()
SENSORS = SensorViews(augmentation=AUGMENTATION, images=IMAGES)
DRAWN = DrawnViews(SENSORS, inside=64, outside=64)


def unet() -> SparseUNet:
    return SparseUNet(
        voxel_size=(0.4, 0.4, 0.4), stem_channels=8, encoder_channels=(8, 16), encoder_blocks=(1, 1),
        decoder_channels=(16, 8), decoder_blocks=(1, 1),
    )  # fmt: skip


def second() -> SECOND:
    return SECOND(
        BevGrid(LOWER, UPPER, (0.8, 0.8, 1.0)), stage_channels=(8, 16), stage_blocks=(1, 1), neck_channels=(8, 8),
        neck_layers=(1, 1), upsampled_channels=8,
    )  # fmt: skip


def pillars() -> PointPillars:
    return PointPillars(
        BevGrid(LOWER, UPPER, (0.8, 0.8, 8.0)), pillar_channels=8, neck_channels=(8, 8), neck_layers=(1, 1),
        upsampled_channels=8,
    )  # fmt: skip


class Maps(NamedTuple):
    """What models of transformers return."""

    feature_maps: list[Tensor]


class TwoStages(nn.Module):
    """Maps of 8 and 12 channels at a quarter and an eighth of the image's size."""

    channels = (8, 12)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU())
        self.stage = nn.Sequential(nn.Conv2d(8, 12, 2, stride=2), nn.BatchNorm2d(12), nn.ReLU())

    def forward(self, image: Tensor) -> Maps:
        fine = self.stem(image)
        return Maps([fine, self.stage(fine)])


class SmallImageBackbone(ImageBackbone):
    """An image backbone that needs no library."""

    def __init__(self, frozen: bool = False) -> None:
        FrozenParts.__init__(self)
        self.model, self.frozen, self.channels = TwoStages(), frozen, TwoStages.channels
        if frozen:
            self.freeze("model")


def lift_splat() -> LiftSplat:
    return LiftSplat(
        SmallImageBackbone(), BevGrid(LOWER, UPPER, (1.6, 1.6, 8.0)), DepthBins(1.0, 21.0, 2.0), neck_channels=8,
        lifted_channels=8, encoder_channels=(8, 8), encoder_layers=(1, 1), upsampled_channels=8,
    )  # fmt: skip


def fused() -> BevEncoder:
    lidar, camera = second(), lift_splat()
    return BevEncoder(lidar, camera, ConvFuser(lidar.out_channels, camera.out_channels, lidar.out_channels))


def pixel_features() -> PixelFeatures:
    return PixelFeatures(SmallImageBackbone(frozen=True), out_channels=16)


class SmallClip(MaskClip):
    """A linear stand-in for CLIP, which needs no files."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self._holder = (nn.Identity(),)
        self.channels, self.patch = 12, 8
        self.register_buffer("text", normalize(torch.from_numpy(waves((CLASSES, 12), 7)).float(), dim=1), False)
        self.register_buffer("mix", torch.from_numpy(waves((12, 3), 8)).float(), False)

    @torch.no_grad()
    def forward(self, image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """As `MaskClip.forward`."""
        mix: Tensor = self.get_buffer("mix")
        return normalize(torch.einsum("dc,nchw->ndhw", mix, avg_pool2d(image, self.patch)), dim=1)


def waves(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Uniform numbers in -1..1, float64; numpy never changes this stream."""
    return np.random.RandomState(seed).uniform(-1, 1, shape)


def fixed_weights(network: nn.Module) -> nn.Module:
    """The network with weights that depend on their order and shapes alone: uniform, of variance 1 / fan-in; scales of
    normalisations in 0.9..1.1."""
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            value = torch.from_numpy(waves(tuple(parameter.shape), number)).to(parameter)
            if parameter.ndim > 1:
                fan_in = parameter.numel() / parameter.shape[0]
                parameter.copy_(value * (3 / fan_in) ** 0.5)
            else:
                parameter.copy_(0.1 * value + (parameter.abs() > 0.5).to(parameter))
    return network

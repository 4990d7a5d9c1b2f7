"""SLidR, PPKT and ScaLR: what images teach points."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.methods.ppkt import PPKT
from pc_ssl.methods.scalr import ScaLR
from pc_ssl.methods.slidr import SLidR
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.structures import SensorBatch
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

IMAGES = ImageAugmentation(60, 40, (0.8, 0.9), rotation=0.0)
METHODS = ["slidr", "ppkt", "scalr"]


class ToyImages(nn.Module):
    out_channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 4, 4)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image)


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    unet = SparseUNet((0.4, 0.4, 0.4), 1, 8, (8, 16), (1, 1), (16, 8), (1, 1))
    views = SensorViews(Augmentation(), IMAGES, pairs=True, superpixel="slic" if name == "slidr" else None)
    return {"slidr": SLidR, "ppkt": PPKT, "scalr": ScaLR}[name](unet, ToyImages(), views)


def batch(cache: Cache, frames: int = 2) -> SensorBatch:
    """Images of noise, and superpixels that are squares."""
    views = SensorViews(Augmentation(), IMAGES, pairs=True)
    dataset = CacheScenes(cache, range(frames), None, views)
    sensors = SensorBatch.pack([dataset[Draw(row, 0, 0)] for row in range(frames)])
    cameras = sensors.cameras
    assert cameras is not None
    generator = torch.Generator().manual_seed(0)
    square = (torch.arange(40)[:, None] // 10 * 6 + torch.arange(60) // 10).expand(frames, 1, 40, 60).clone()
    square[:, :, :10, :10] = -1
    square = torch.where(square < 0, -1, square + 24 * torch.arange(frames)[:, None, None, None])
    image = interpolate(torch.randn(frames, 3, 10, 15, generator=generator), (40, 60)).unsqueeze(1)
    cameras = replace(cameras, image=image, superpixel=square, num_superpixels=24 * frames)
    return replace(sensors, cameras=cameras)


@pytest.mark.parametrize("name", METHODS)
def test_the_backbone_learns(street_cache: Cache, name: str) -> None:
    method, sensors = make(name), batch(street_cache)
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(25):
        terms = method(sensors)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < 0.95 * losses[0]
    assert all(p.grad is not None for p in method.backbone.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_without_pairs_trains_on(street_cache: Cache, name: str) -> None:
    method, sensors = make(name), batch(street_cache)
    assert sensors.pairs is not None
    none = type(sensors.pairs)(*(part[:0] for part in vars(sensors.pairs).values()))
    terms = method(replace(sensors, pairs=none))
    terms["loss"].backward()
    assert terms["loss"].item() == 0
    assert all(bool(value.isfinite()) for value in terms.values())
    assert all(p.grad is not None and not p.grad.any() for p in method.backbone.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_views_without_pairs_are_refused(name: str) -> None:
    method = make(name)
    with pytest.raises(ValueError, match="needs views with pairs"):
        type(method)(method.backbone, method.image, SensorViews(Augmentation(), IMAGES))


def features(method: nn.Module, sensors: SensorBatch) -> tuple[Tensor, Tensor]:
    """Unit features of every pair's point, and the image maps at full size, of unit length along channels."""
    assert sensors.cameras is not None
    assert sensors.pairs is not None
    cloud = method.backbone(sensors.points).at_points(sensors.points)
    point = normalize(method.point_layer(cloud[sensors.pairs.point]), dim=1)
    maps = method.image(sensors.cameras.image.flatten(0, 1))
    return point, maps


def test_slidr_pools_points_and_pixels_of_the_same_superpixel(street_cache: Cache) -> None:
    method, sensors = make("slidr").eval(), batch(street_cache)
    assert sensors.cameras is not None
    assert sensors.cameras.superpixel is not None
    assert sensors.pairs is not None
    point, maps = features(method, sensors)
    pixel = normalize(interpolate(maps, (40, 60), mode="bilinear", align_corners=False), dim=1)
    k, q = [], []
    for s in range(sensors.cameras.num_superpixels):
        members = [
            i
            for i, (camera, (u, v)) in enumerate(
                zip(sensors.pairs.camera.tolist(), sensors.pairs.pixel.tolist(), strict=True)
            )
            if sensors.cameras.superpixel[camera, 0, int(v), int(u)] == s
        ]
        if members:
            where = (sensors.cameras.superpixel[:, 0] == s).nonzero()
            k.append(point[members].mean(dim=0))
            q.append(torch.stack([pixel[b, :, row, column] for b, row, column in where.tolist()]).mean(dim=0))
    logits = (torch.stack(k) @ torch.stack(q).T / 0.07).double()
    expected = -logits.log_softmax(dim=1).diagonal().mean()
    assert method(sensors)["loss"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_ppkt_contrasts_each_drawn_pair_with_all(street_cache: Cache) -> None:
    method, sensors = make("ppkt").eval(), batch(street_cache)
    assert sensors.pairs is not None
    point, maps = features(method, sensors)
    pixel = torch.stack([_bilinear(maps[c], u / 4, v / 4) for c, (u, v) in _places(sensors)])
    logits = (point @ normalize(pixel, dim=1).T / 0.07).double()
    expected = -logits.log_softmax(dim=1).diagonal().mean()
    assert method(sensors)["loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    method.num_pairs = 5
    assert float(method(sensors)["by_chance"]) == pytest.approx(torch.tensor(5.0).log().item())


def test_scalr_is_the_mean_distance_and_leaves_its_teacher_alone(street_cache: Cache) -> None:
    method, sensors = make("scalr").eval(), batch(street_cache)
    point, maps = features(method, sensors)
    pixel = normalize(torch.stack([_bilinear(maps[c], u / 4, v / 4) for c, (u, v) in _places(sensors)]), dim=1)
    expected = sum(float((p - x).norm()) for p, x in zip(point, pixel, strict=True)) / len(point)
    terms = method(sensors)
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-4)
    terms["loss"].backward()
    assert all(p.grad is None for p in method.image.parameters())
    assert not method.train().image.training


def _places(sensors: SensorBatch) -> list[tuple[int, tuple[float, float]]]:
    assert sensors.pairs is not None
    return list(zip(sensors.pairs.camera.tolist(), sensors.pairs.pixel.tolist(), strict=True))


def _bilinear(one: Tensor, x: float, y: float) -> Tensor:
    """The map [C, h, w] at x, y in cells from its corner; the outermost centres hold on to the edge."""
    height, width = one.shape[1:]
    x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    a, b = x - left, y - top
    return (
        (1 - a) * (1 - b) * one[:, top, left] + a * (1 - b) * one[:, top, left + 1]
        + (1 - a) * b * one[:, top + 1, left] + a * b * one[:, top + 1, left + 1]
    )  # fmt: skip

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.methods.clip2scene import CLIP2Scene, _released_cells
from pc_ssl.models.clip import MaskClip
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.models.networks import grids_of
from pc_ssl.structures import SensorBatch
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

IMAGES = ImageAugmentation(64, 40, (0.8, 0.9), rotation=0.0)
CLASSES = ("car", "road", "tree")


def unet() -> nn.Module:
    return SparseUNet((0.4, 0.4, 0.4), 1, 8, (8, 16), (1, 1), (16, 8), (1, 1))


def method(folder: Path, **options: object) -> CLIP2Scene:
    torch.manual_seed(0)
    views = SensorViews(Augmentation(), IMAGES, pairs=True)
    return CLIP2Scene(unet(), MaskClip(str(folder), CLASSES), views, **options)


def batch(cache: Cache, clip2scene: CLIP2Scene, frames: int = 3) -> SensorBatch:
    dataset = CacheScenes(cache, range(frames), None, clip2scene.views, grids=grids_of(clip2scene))
    return clip2scene.collate([dataset[Draw(row, 0, 0)] for row in range(frames)])


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_both_variants_learn(street_cache: Cache, clip_folder: Path, variant: str) -> None:
    clip2scene = method(clip_folder, variant=variant, cell_size=1.0)
    sensors = batch(street_cache, clip2scene)
    optimizer = torch.optim.AdamW(clip2scene.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        terms = clip2scene(sensors)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < losses[0]
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in clip2scene.parameters())
    assert int(clip2scene.steps_done) == 15


def test_the_teacher_is_neither_trained_nor_saved(clip_folder: Path) -> None:
    clip2scene = method(clip_folder)
    names = list(clip2scene.state_dict())
    assert not any(name.startswith("clip.") for name in names)
    assert "text" in names
    assert not any(p.requires_grad for p in clip2scene.clip._holder[0].parameters())


def test_pixels_read_the_feature_of_their_patch(street_cache: Cache, clip_folder: Path) -> None:
    clip2scene = method(clip_folder)
    sensors = batch(street_cache, clip2scene, 2)
    assert sensors.cameras is not None
    assert sensors.pairs is not None
    centre = torch.tensor([[8 * 3 + 4.0, 8 * 2 + 4.0]]).expand(len(sensors.pairs), 2)
    pairs = type(sensors.pairs)(sensors.pairs.point, sensors.pairs.camera, centre.clone())
    found = clip2scene._pixel_features(sensors.cameras, pairs)
    from pc_ssl.views.camera import MEAN, STD

    dense = clip2scene.clip(sensors.cameras.image.flatten(0, 1), MEAN, STD)
    torch.testing.assert_close(found, dense[pairs.camera, :, 2, 3], atol=1e-5, rtol=0)


def test_self_training_begins_after_its_steps(street_cache: Cache, clip_folder: Path) -> None:
    clip2scene = method(clip_folder, switch_after=2, switch_probability=1.0)
    pixel, point = torch.zeros(10, dtype=torch.long), torch.ones(10, dtype=torch.long)
    assert torch.equal(clip2scene._switched(pixel, point), pixel)
    for _ in range(2):
        clip2scene(batch(street_cache, clip2scene))
    assert torch.equal(clip2scene._switched(pixel, point), point)


def test_a_batch_without_pairs_trains_on(street_cache: Cache, clip_folder: Path) -> None:
    clip2scene = method(clip_folder)
    sensors = batch(street_cache, clip2scene)
    assert sensors.pairs is not None
    none = type(sensors.pairs)(*(part[:0] for part in vars(sensors.pairs).values()))
    terms = clip2scene(replace(sensors, pairs=none))
    terms["loss"].backward()
    assert terms["loss"].item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in clip2scene.parameters())


def test_released_cells_keep_eight_points() -> None:
    cell = torch.tensor([1] * 10 + [0, 1, 0])
    kept, leader = _released_cells(cell, 2)
    assert kept.tolist() == [1] * 8 + [-1, -1, 0, -1, 0]
    assert leader.tolist() == [0] * 10 + [10, 0, 10]


def test_images_of_broken_patches_are_refused(clip_folder: Path) -> None:
    views = SensorViews(Augmentation(), ImageAugmentation(60, 40), pairs=True)
    with pytest.raises(ValueError, match="60 x 40 are no whole number of patches of 8"):
        CLIP2Scene(unet(), MaskClip(str(clip_folder), CLASSES), views)

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
from pc_ssl.structures import PointBatch, SensorBatch
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


def test_the_released_variant_switches_a_whole_batch_at_once(clip_folder: Path) -> None:
    clip2scene = method(clip_folder, switch_after=0, variant="released")
    pixel, point = torch.zeros(10, dtype=torch.long), torch.ones(10, dtype=torch.long)
    torch.manual_seed(0)
    drawn = [clip2scene._switched(pixel, point) for _ in range(40)]
    assert all(len(set(classes.tolist())) == 1 for classes in drawn)
    assert {int(classes[0]) for classes in drawn} == {0, 1}


def two_sweeps(batch: SensorBatch) -> SensorBatch:
    """The batch with every other point counted to an earlier sweep."""
    return replace(batch, sweep=torch.arange(len(batch.points.points)) % 2)


def test_each_sweep_passes_the_backbone_for_itself(street_cache: Cache, clip_folder: Path) -> None:
    clip2scene = method(clip_folder)
    sensors = two_sweeps(batch(street_cache, clip2scene, 2))
    assert sensors.pairs is not None
    found = clip2scene._point_features(sensors, sensors.pairs.point)
    points, sweep = sensors.points, sensors.sweep
    assert sweep is not None
    clouds = [
        points.points[points.offsets[b] : points.offsets[b + 1]][sweep[points.offsets[b] : points.offsets[b + 1]] == k]
        for b in range(2)
        for k in range(2)
    ]
    packed = PointBatch.pack(clouds)
    every = torch.empty(len(points.points), 8)
    of_cloud = clip2scene.backbone(packed).at_points(packed)
    frame = points.frame_index()
    start = 0
    for b in range(2):
        for k in range(2):
            rows = ((frame == b) & (sweep == k)).nonzero()[:, 0]
            every[rows] = of_cloud[start : start + len(rows)]
            start += len(rows)
    torch.testing.assert_close(found, every[sensors.pairs.point])
    merged = clip2scene.backbone(points).at_points(points, sensors.pairs.point)
    assert not torch.allclose(found, merged, atol=1e-3)


def test_points_of_two_sweeps_in_one_voxel_share_a_feature_only_where_sweeps_are_merged(clip_folder: Path) -> None:
    place = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) * 20
    cloud = torch.cat([torch.cat([place, torch.zeros(50, 1)], 1), torch.cat([place, torch.ones(50, 1)], 1)])
    batch_of_two = SensorBatch(("a",), PointBatch.pack([cloud]), torch.eye(4)[None], torch.full((100,), -1), 0,
                               sweep=torch.arange(100) // 50)  # fmt: skip
    rows = torch.arange(100)
    for merge in (True, False):
        feature = method(clip_folder, merge_sweeps=merge)._point_features(batch_of_two, rows)
        assert torch.allclose(feature[:50], feature[50:], atol=1e-6) == merge


def test_cells_go_over_all_sweeps_of_a_frame(street_cache: Cache, clip_folder: Path) -> None:
    clip2scene = method(clip_folder, cell_size=1.0)
    sensors = batch(street_cache, clip2scene, 2)
    rows = torch.arange(len(sensors.points.points))
    assert torch.equal(
        clip2scene._cells(sensors.points, rows)[0], clip2scene._cells(two_sweeps(sensors).points, rows)[0]
    )


def test_the_layer_of_pixels_begins_as_the_identity_and_is_trained(street_cache: Cache, clip_folder: Path) -> None:
    clip2scene = method(clip_folder, cell_size=1.0)
    assert torch.equal(clip2scene.image_layer.weight, torch.eye(12))
    clip2scene(batch(street_cache, clip2scene))["loss"].backward()
    assert clip2scene.image_layer.weight.grad is not None
    assert bool(clip2scene.image_layer.weight.grad.any())


def test_names_are_embedded_verbatim_where_asked(clip_folder: Path) -> None:
    names = ("traffic_cone", "car")
    spoken, verbatim = (MaskClip(str(clip_folder), names, words).text for words in ((), ("traffic_cone",)))
    assert not torch.allclose(spoken[0], verbatim[0], atol=1e-4)
    torch.testing.assert_close(spoken[1], verbatim[1])


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
    with pytest.raises(ValueError, match=r"60 x 40 .*patches of 8"):
        CLIP2Scene(unet(), MaskClip(str(clip_folder), CLASSES), views)

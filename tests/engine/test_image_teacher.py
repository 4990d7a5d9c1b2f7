from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pc_ssl.data.cache import Cache, Manifest, write_manifest
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.engine.image_teacher import ImageTeacher, ImageTeacherOptions, train_image_teacher
from pc_ssl.errors import UserError
from pc_ssl.models.camera import PixelFeatures, PretrainedBackbone, RandomResNet
from pc_ssl.structures import PixelPairs, SensorBatch
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.sensors import SensorViews

OPTIONS = ImageTeacherOptions(steps=2, channels=(8, 16, 16), stem_channels=8, width=80, height=48)


def make_teacher(views: SensorViews) -> ImageTeacher:
    torch.manual_seed(0)
    network = RandomResNet((8, 16, 16), (1, 1, 1), 8, bottleneck=False, stages=(1, 2, 3))
    return ImageTeacher(PixelFeatures(network, None), 16, views)


def batch_of(cache: Cache, views: SensorViews) -> SensorBatch:
    return SensorBatch.pack([CacheScenes(cache, [0], None, views)[Draw(0, 0, 0)]])


@pytest.fixture
def views() -> SensorViews:
    images = ImageAugmentation(80, 48, (1.0, 1.0), rotation=0.0)
    return SensorViews(images=images, label=True, pairs=True)


def test_a_trained_teacher_is_an_image_network_with_its_weights(street_cache: Cache, tmp_path: Path) -> None:
    result = train_image_teacher(street_cache, tmp_path / "teacher", OPTIONS, device="cpu")
    assert result.num_frames == len(street_cache.indices("val"))
    network = PretrainedBackbone(str(tmp_path / "teacher"), stages=(1, 2, 3), frozen=True)
    assert network.channels == (8, 16, 16)
    assert [tuple(one.shape) for one in network(torch.zeros(1, 3, 48, 80))] == [
        (1, 8, 12, 20), (1, 16, 6, 10), (1, 16, 3, 5)
    ]  # fmt: skip
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not (tmp_path / "teacher" / "unfinished").exists()
    first = (tmp_path / "teacher" / "model.safetensors").read_bytes()
    train_image_teacher(street_cache, tmp_path / "again", OPTIONS, device="cpu")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == first


def test_pixels_get_the_class_of_the_largest_logit(street_cache: Cache, views: SensorViews) -> None:
    batch, teacher = batch_of(street_cache, views), make_teacher(views).eval()
    assert batch.pairs is not None
    teacher.classifier.weight.data.zero_()
    teacher.classifier.bias.data = torch.arange(16.0) % 7  # highest at index 6, of class 7, then at index 13
    assert torch.equal(teacher.predict(batch), torch.full((len(batch.pairs),), 7))


def test_the_loss_falls(street_cache: Cache, views: SensorViews) -> None:
    batch, teacher = batch_of(street_cache, views), make_teacher(views)
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        terms = teacher(batch)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_the_loss_is_the_cross_entropy_at_the_pixels_of_labelled_points(
    street_cache: Cache, views: SensorViews
) -> None:
    batch, teacher = batch_of(street_cache, views), make_teacher(views).eval()
    assert batch.cameras is not None
    assert batch.pairs is not None
    assert batch.label is not None
    centres = PixelPairs(batch.pairs.point, batch.pairs.camera, batch.pairs.pixel.floor() + 0.5)
    batch = replace(batch, pairs=centres)
    with torch.no_grad():
        maps = teacher.classifier(teacher.backbone(batch.cameras.image.flatten(0, 1)).permute(0, 2, 3, 1))
        # the maps resized to the images, read at pixels
        large = torch.nn.functional.interpolate(maps.permute(0, 3, 1, 2), (48, 80), mode="bilinear")
        column, row = centres.pixel.long().unbind(1)
        logits = large[centres.camera, :, row, column]
        label = batch.label[centres.point]
        logits, label = logits[label > 0], label[label > 0] - 1
        weight = 1 / torch.bincount(label, minlength=16).clamp(min=1) ** 0.5
        wanted = (torch.nn.functional.cross_entropy(logits, label, reduction="none") * weight[label]).sum()
        wanted /= weight[label].sum()
        assert float(teacher(batch)["loss"]) == pytest.approx(float(wanted), rel=1e-5)


def test_a_batch_without_labels_gives_a_loss_of_zero(street_cache: Cache, views: SensorViews) -> None:
    batch, teacher = batch_of(street_cache, views), make_teacher(views)
    assert batch.label is not None
    batch.label[:] = 0
    terms = teacher(batch)
    assert float(terms["loss"].detach()) == 0
    terms["loss"].backward()


def test_a_cache_without_labels_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, Manifest("toy", "1", {}, {"label": [], "box": []}, {"train": []}, ()))
    with pytest.raises(UserError, match=r"manifest\.json: classes\.label is empty"):
        train_image_teacher(Cache(tmp_path), tmp_path / "out", OPTIONS, device="cpu")

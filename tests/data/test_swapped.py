import pytest
import torch

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.data.swapped import SwappedSensors
from pc_ssl.errors import UserError
from pc_ssl.structures import SensorSample
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.sensors import SensorViews

VIEWS = SensorViews(
    images=ImageAugmentation(80, 48, (1.0, 1.0), rotation=0.0), boxes=True, bev_map=True, pairs=True
).still()


def samples(cache: Cache, rows: list[int], transforms: tuple[SwappedSensors, ...]) -> list[SensorSample]:
    dataset = CacheScenes(cache, rows, None, VIEWS, transforms)
    return [dataset[Draw(row, 0, 0)] for row in range(len(rows))]


def test_points_and_images_are_those_of_another_scene_and_the_annotations_stay(street_cache: Cache) -> None:
    rows = [0, 1, 2, 3]  # two frames each of two scenes
    assert [street_cache.frames[row].scene for row in rows] == ["street-00", "street-00", "street-01", "street-01"]
    own, swapped = (samples(street_cache, rows, transforms) for transforms in ((), (SwappedSensors(),)))
    for row, sample in enumerate(swapped):
        other = own[(row + 2) % 4]
        assert torch.equal(sample.points, other.points)
        assert sample.cameras is not None
        assert other.cameras is not None
        assert torch.equal(sample.cameras.image, other.cameras.image)
        assert torch.equal(sample.cameras.camera_from_view, other.cameras.camera_from_view)
        assert sample.token == own[row].token
        assert sample.boxes is not None
        assert own[row].boxes is not None
        assert torch.equal(sample.boxes.box, own[row].boxes.box)
        assert sample.bev_map is not None
        assert own[row].bev_map is not None
        assert torch.equal(sample.bev_map.mask, own[row].bev_map.mask)
        assert not torch.equal(sample.points, own[row].points)


def test_frames_of_one_scene_alone_are_refused(street_cache: Cache) -> None:
    with pytest.raises(UserError, match="street-00"):
        samples(street_cache, [0, 1], (SwappedSensors(),))

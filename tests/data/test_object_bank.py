import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from shapely import Polygon

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.object_bank import ObjectBank, ObjectPaste
from pc_ssl.data.sampler import Draw
from pc_ssl.errors import UserError
from pc_ssl.geometry import points_in_boxes
from pc_ssl.structures import Boxes3D, Scene
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

ELEVEN = ObjectPaste({"car": 11})


def footprint(box: torch.Tensor) -> Polygon:
    x, y, _, length, width, _, yaw = box[:7].tolist()
    ahead = np.array([np.cos(yaw), np.sin(yaw)]) * length / 2
    aside = np.array([-np.sin(yaw), np.cos(yaw)]) * width / 2
    return Polygon(
        [np.array([x, y]) + corner for corner in (ahead + aside, aside - ahead, -ahead - aside, ahead - aside)]
    )


def scenes(cache: Cache, rows: list[int], paste: ObjectPaste | None = ELEVEN, **arguments) -> CacheScenes:
    return CacheScenes(cache, rows, None, SensorViews(boxes=True, **arguments), () if paste is None else (paste,))


@pytest.mark.parametrize("seed", range(5))
def test_pasted_objects_have_their_points_and_do_not_overlap(street_cache: Cache, seed: int) -> None:
    before = scenes(street_cache, [0], paste=None)[Draw(0, seed, 0)]
    after = scenes(street_cache, list(range(8)))[Draw(0, seed, 0)]
    assert before.boxes is not None
    assert after.boxes is not None
    assert 6 < len(after.boxes) <= 11
    assert torch.equal(after.boxes.box[:6], before.boxes.box)
    shapes = [footprint(box) for box in after.boxes.box]
    assert all(a.intersection(b).area == 0 for i, a in enumerate(shapes[6:], 6) for b in shapes[:i])
    pasted = points_in_boxes(after.points[:, :3].numpy(), after.boxes.box[6:].numpy())
    sources = [street_cache[index] for index in range(8)]
    start = len(after.points)
    for box, inside in reversed(list(zip(after.boxes.box[6:], pasted, strict=True))):
        source = next(frame for frame in sources if (frame["box"] == box).all(dim=1).any())
        own = source["points"][torch.from_numpy(points_in_boxes(source["points"][:, :3].numpy(), box[None].numpy())[0])]
        assert len(own) >= 5
        assert torch.equal(after.points[torch.from_numpy(inside)], own)  # the scene has no points left in the box
        start -= len(own)
        assert torch.equal(after.points[start : start + len(own)], own)
    outside = ~torch.from_numpy(points_in_boxes(before.points[:, :3].numpy(), after.boxes.box[6:].numpy()).any(axis=0))
    assert torch.equal(after.points[:start], before.points[outside])
    assert torch.equal(after.region, torch.full((len(after.points),), -1))


def test_objects_move_with_the_augmentation(street_cache: Cache) -> None:
    sample = scenes(street_cache, list(range(8)), augmentation=Augmentation())[Draw(0, 3, 0)]
    assert sample.boxes is not None
    assert len(sample.boxes) > 6
    grown = sample.boxes.box.clone()
    grown[:, 3:6] += 1e-3
    assert points_in_boxes(sample.points[:, :3].numpy(), grown.numpy()).sum(axis=1).min() >= 60


def test_pasting_is_a_function_of_the_draw(street_cache: Cache) -> None:
    one, other = scenes(street_cache, list(range(8))), pickle.loads(pickle.dumps(scenes(street_cache, list(range(8)))))
    assert torch.equal(one[Draw(2, 0, 1)].points, other[Draw(2, 0, 1)].points)
    assert not torch.equal(one[Draw(2, 0, 1)].boxes.box, one[Draw(2, 1, 1)].boxes.box)


def test_only_objects_of_the_given_frames_are_pasted(street_cache: Cache) -> None:
    rows = [1, 4]
    allowed = torch.cat([street_cache[row]["box"] for row in rows])
    dataset = scenes(street_cache, rows)
    for seed in range(10):
        boxes = dataset[Draw(0, seed, 0)].boxes
        assert boxes is not None
        assert all((allowed == box).all(dim=1).any() for box in boxes.box)


def test_rows_that_are_drawn_twice_are_one_in_the_bank(street_cache: Cache) -> None:
    assert ObjectBank(street_cache, [1, 1, 4]).size(0) == 12


def test_full_scenes_are_not_changed(street_cache: Cache) -> None:
    plain = scenes(street_cache, [0, 1], paste=None)[Draw(0, 0, 0)]
    dataset = scenes(street_cache, [0, 1], paste=ObjectPaste({"car": 6}))
    assert torch.equal(dataset[Draw(0, 0, 0)].points, plain.points)
    assert len(dataset[Draw(0, 0, 0)].boxes) == 6


def test_objects_with_few_points_are_not_pasted(street_cache: Cache) -> None:
    dataset = scenes(street_cache, list(range(8)), paste=ObjectPaste({"car": 11}, min_points=100))
    assert len(dataset[Draw(0, 0, 0)].boxes) == 6


def test_attributes_are_kept_if_all_boxes_have_them(street_cache: Cache) -> None:
    paste = ELEVEN.over(street_cache, range(8))
    scene = scenes(street_cache, [0], paste=None).scene(0)
    assert scene.boxes is not None
    with_attributes = replace(scene, boxes=replace(scene.boxes, attribute=torch.zeros(6, dtype=torch.long)))
    boxes = paste(with_attributes, np.random.default_rng(0)).boxes
    assert boxes is not None
    assert boxes.attribute is None  # the bank's cache has none


def test_points_of_the_scene_in_pasted_boxes_are_removed(street_cache: Cache) -> None:
    nothing = Boxes3D(torch.zeros(0, 9), torch.zeros(0, dtype=torch.long))
    fog = torch.rand(50_000, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [16.0, 50, 3, 0]
    ) - torch.tensor([8.0, 25, 2, 0])
    scene = Scene("fog", fog, torch.arange(50_000).int(), 50_000, boxes=nothing)
    found = ObjectPaste({"car": 3}).over(street_cache, range(8))(scene, np.random.default_rng(0))
    assert found.boxes is not None
    assert len(found.boxes) == 3
    inside = torch.from_numpy(points_in_boxes(found.points[:, :3].numpy(), found.boxes.box.numpy()).any(axis=0))
    assert (found.region[inside] == -1).all()
    assert torch.equal(found.points[~inside], fog[found.region[~inside].long()])
    assert 200 < 50_000 - int((~inside).sum()) < 2000


def test_invalid_pasting_is_rejected(street_cache: Cache) -> None:
    with pytest.raises(UserError, match="no box class 'tram' to paste; it has car"):
        scenes(street_cache, [0], paste=ObjectPaste({"tram": 2}))
    with pytest.raises(ValueError, match="negative"):
        ObjectPaste({"car": -1})
    for found, asked in (("images", {"images": ImageAugmentation(40, 24, (0.5, 0.5))}), ("labels", {"label": True})):
        with pytest.raises(UserError, match=f"street-00-0: ObjectPaste .*{found}"):
            scenes(street_cache, [0], **asked)[Draw(0, 0, 0)]
    with pytest.raises(ValueError, match="needs a bank"):
        ELEVEN(scenes(street_cache, [0], paste=None).scene(0), np.random.default_rng(0))

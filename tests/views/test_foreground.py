import numpy as np
import pytest
import torch

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.geometry import BevGrid
from pc_ssl.structures import ForegroundBatch, Scene
from pc_ssl.views.foreground import ForegroundViews
from pc_ssl.views.lidar import Augmentation, PairViews

STILL = Augmentation(rotation=0.0, scale=(1.0, 1.0), flip=0.0, shift=0.0)


def made_scene() -> Scene:
    """A wall (0), a table top (1), a ball (2), a floor (3), clutter of no segment."""
    rng = np.random.default_rng(0)
    wall = np.column_stack([rng.uniform(0, 4, 300), rng.normal(0, 0.01, 300), rng.uniform(0, 3, 300)])
    table = np.column_stack([rng.uniform(0, 1, 300), rng.uniform(2, 3, 300), rng.normal(0.7, 0.01, 300)])
    ball = rng.normal([3, 3, 1], 0.4, (300, 3))
    floor = np.column_stack([rng.uniform(0, 4, 300), rng.uniform(0, 4, 300), rng.normal(0, 0.2, 300)])
    clutter = rng.uniform(0, 4, (300, 3))
    region = torch.arange(5).repeat_interleave(300).to(torch.int32)
    xyz = np.concatenate([wall, table, ball, floor, clutter]).astype(np.float32)
    return Scene(
        "made", torch.from_numpy(xyz), torch.where(region == 4, -1, region), 4, ground=(region == 3)
    )  # fmt: skip


def test_foreground_is_neither_ground_nor_a_large_plane() -> None:
    inside = ForegroundViews(STILL).is_foreground(made_scene()).reshape(5, 300)
    assert inside.all(dim=1).tolist() == [False, True, True, False, False]
    assert inside.any(dim=1).tolist() == [False, True, True, False, False]
    small = ForegroundViews(STILL, plane_area=0.5).is_foreground(made_scene()).reshape(5, 300)
    assert small.all(dim=1).tolist() == [False, False, True, False, False]


def test_points_are_drawn_on_both_sides() -> None:
    sample = ForegroundViews(STILL, foreground=50, background=70)(made_scene(), np.random.default_rng(1))
    assert sample.foreground.tolist() == [True] * 50 + [False] * 70
    assert set(sample.pairs.region[:50].tolist()) <= {1, 2}
    assert set(sample.pairs.region[50:].tolist()) == {-1, 0, 3}
    torch.testing.assert_close(sample.pairs.first[sample.pairs.first_row], sample.pairs.second[sample.pairs.second_row])


def test_random_anchors_are_any_points_and_no_point_is_on_both_sides() -> None:
    views = ForegroundViews(STILL, foreground=400, background=400, anchors="random", keep=0.9)
    sample = views(made_scene(), np.random.default_rng(1))
    assert set(sample.pairs.region[sample.foreground].tolist()) == {-1, 0, 1, 2, 3}
    assert set(sample.pairs.region[~sample.foreground].tolist()) == {-1, 0, 1, 2, 3}
    assert len(sample.pairs.first_row.unique()) == 800


def test_a_scene_without_segments_is_all_background() -> None:
    made = made_scene()
    scene = Scene("none", made.points, torch.full_like(made.region, -1), 0, ground=made.ground)
    assert not ForegroundViews(STILL)(scene, np.random.default_rng(0)).foreground.any()


def test_the_cache_gives_the_ground_and_the_batch_keeps_it(street_cache: Cache) -> None:
    dataset = CacheScenes(street_cache, range(2), "dbscan", ForegroundViews(Augmentation(), 60, 60))
    samples = [dataset[Draw(row, 0, 0)] for row in range(2)]
    batch = ForegroundBatch.pack(samples)
    assert batch.foreground.sum() == 120
    assert len(batch.foreground) == 240
    assert torch.equal(dataset[Draw(1, 0, 0)].pairs.first, samples[1].pairs.first)
    with pytest.raises(ValueError, match="without its ground"):
        ForegroundViews(STILL)(
            CacheScenes(street_cache, [0], "dbscan", PairViews(Augmentation())).scene(0), np.random.default_rng()
        )
    with pytest.raises(ValueError, match="one shape"):
        ForegroundBatch(batch.pairs, batch.foreground[1:])


def test_points_outside_the_box_are_not_drawn() -> None:
    grid = BevGrid((2.0, 2.0, -1.0), (4.0, 4.0, 3.0), (0.5, 0.5, 0.5))
    pairs = ForegroundViews(STILL)(made_scene(), np.random.default_rng(0), [grid]).pairs
    xyz = pairs.first[pairs.first_row]
    assert bool(((xyz[:, :2] >= 2) & (xyz[:, :2] < 4)).all())


@pytest.mark.parametrize("wrong", [{"foreground": -1}, {"anchors": "some"}, {"plane_area": -1.0}, {"keep": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        ForegroundViews(STILL, **wrong)

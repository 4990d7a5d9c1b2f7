import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.geometry import BevGrid
from pc_ssl.structures import Scene
from pc_ssl.views.lidar import Augmentation, PairViews, SingleView

STILL = Augmentation(rotation=0.0, scale=(1.0, 1.0), flip=0.0, shift=0.0)


def scene(points: int = 400, regions: int = 5, labelled: bool = False) -> Scene:
    rng = np.random.default_rng(3)
    cloud = np.column_stack([rng.uniform(-20, 20, (points, 2)), rng.uniform(-2, 2, points), np.arange(points)])
    region = torch.from_numpy(rng.integers(-1, regions, points).astype(np.int32))
    label = torch.from_numpy(rng.integers(0, 17, points).astype(np.uint8)) if labelled else None
    return Scene("frame", torch.from_numpy(cloud.astype(np.float32)), region, regions, label)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_augmentation_is_a_similarity_that_keeps_the_vertical(seed: int) -> None:
    matrix = Augmentation().draw(np.random.default_rng(seed))
    turn = matrix[:3, :3]
    factor = np.linalg.norm(turn[:, 0])
    assert 0.9 <= factor <= 1.1
    np.testing.assert_allclose(turn @ turn.T, factor**2 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(turn[:, 2], [0, 0, factor], atol=1e-12)
    np.testing.assert_array_equal(matrix[3], [0, 0, 0, 1])


def test_rotation_stays_in_its_range_and_fills_it() -> None:
    augmentation = Augmentation(rotation=0.3, scale=(1.0, 1.0), flip=0.0, shift=0.0)
    rng = np.random.default_rng(0)
    angles = [math.atan2(matrix[1, 0], matrix[0, 0]) for matrix in (augmentation.draw(rng) for _ in range(300))]
    assert max(map(abs, angles)) <= 0.3
    assert min(angles) < -0.25
    assert max(angles) > 0.25


def test_half_of_the_views_mirror_x() -> None:
    rng = np.random.default_rng(0)
    augmentation = Augmentation(rotation=0.0, scale=(1.0, 1.0), flip=0.5, shift=0.0)
    mirrored = sum(augmentation.draw(rng)[0, 0] < 0 for _ in range(400))
    assert 150 < mirrored < 250


@pytest.mark.parametrize(
    "wrong", [{"scale": (1.1, 0.9)}, {"scale": (0.0, 1.0)}, {"flip": 1.5}, {"rotation": -1.0}, {"shift": -0.1}]
)
def test_augmentation_refuses_values_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)


def test_single_view_keeps_points_and_labels_in_order() -> None:
    recorded = scene(labelled=True)
    sample = SingleView(Augmentation())(recorded, np.random.default_rng(0))
    assert torch.equal(sample.points[:, 3], recorded.points[:, 3])
    assert torch.equal(sample.label, recorded.label)
    assert not torch.allclose(sample.points[:, :2], recorded.points[:, :2])


def test_single_view_needs_labels() -> None:
    with pytest.raises(ValueError, match="frame: the scene has no labels"):
        SingleView(STILL)(scene(), np.random.default_rng(0))


@given(seed=st.integers(0, 2**32 - 1), keep=st.floats(0.1, 1.0), inside=st.integers(0, 500), outside=st.integers(1, 99))
@settings(deadline=None, max_examples=50)
def test_a_drawn_point_is_the_same_point_in_both_views(seed: int, keep: float, inside: int, outside: int) -> None:
    recorded = scene()
    sample = PairViews(Augmentation(), inside, outside, keep)(recorded, np.random.default_rng(seed))
    number = sample.first[sample.first_row, 3].long()  # the fourth column is the row in the scene
    assert torch.equal(number, sample.second[sample.second_row, 3].long())
    assert len(number.unique()) == len(number)
    assert torch.equal(sample.region, recorded.region[number].long())
    assert int((sample.region >= 0).sum()) <= inside
    assert int((sample.region < 0).sum()) <= outside


def test_both_views_are_the_scene_moved_by_different_similarities() -> None:
    recorded = scene()
    sample = PairViews(Augmentation())(recorded, np.random.default_rng(0))
    distance = torch.pdist(recorded.points[:50, :3])
    for view in (sample.first, sample.second):
        ratio = torch.pdist(view[:50, :3]) / distance
        assert ratio.max() - ratio.min() < 1e-3
    assert not torch.allclose(sample.first, sample.second, atol=1e-2)


def test_exactly_as_many_points_are_drawn_as_asked_for_where_there_are_enough() -> None:
    sample = PairViews(STILL, inside=100, outside=30)(scene(), np.random.default_rng(0))
    assert (sample.region >= 0).tolist() == [True] * 100 + [False] * 30


def test_all_points_are_drawn_where_there_are_too_few() -> None:
    recorded = scene()
    sample = PairViews(STILL, inside=5000, outside=5000)(recorded, np.random.default_rng(0))
    assert len(sample.region) == len(recorded.points)


def test_every_point_of_a_region_is_as_likely_to_be_drawn() -> None:
    recorded, rng = scene(points=60), np.random.default_rng(0)
    times = torch.zeros(60)
    for _ in range(400):
        sample = PairViews(STILL, inside=10, outside=1)(recorded, rng)
        times[sample.first[sample.first_row, 3].long()] += 1
    inside = times[recorded.region >= 0]
    expected = 400 * 10 / len(inside)
    assert inside.min() > 0.6 * expected
    assert inside.max() < 1.4 * expected


def test_points_beyond_the_grid_in_either_view_are_not_drawn() -> None:
    grid = BevGrid((-8, -8, -3), (8, 8, 3), (1, 1, 1))
    sample = PairViews(Augmentation())(scene(), np.random.default_rng(0), [grid])
    assert len(sample.region) > 0
    assert bool(grid.voxel_of(sample.first[sample.first_row, :3])[1].all())
    assert bool(grid.voxel_of(sample.second[sample.second_row, :3])[1].all())
    assert len(sample.first) == 400


def test_points_of_earlier_sweeps_are_not_drawn() -> None:
    recorded = scene()
    merged = replace(recorded, keyframe=torch.arange(400) < 300)
    sample = PairViews(STILL)(merged, np.random.default_rng(0))
    assert len(sample.region) == 300
    assert sample.first[sample.first_row, 3].max() == 299  # the fourth column is the row in the scene


def test_one_seed_gives_one_pair() -> None:
    first, second = (PairViews(Augmentation(), keep=0.5)(scene(), np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(first.second, second.second)
    assert torch.equal(first.second_row, second.second_row)


@pytest.mark.parametrize("wrong", [{"inside": 0, "outside": 0}, {"inside": -1}, {"keep": 0.0}, {"keep": 1.1}])
def test_pair_views_refuse_values_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match="PairViews"):
        PairViews(STILL, **wrong)


def test_shifts_are_cut_off_and_stay_in_the_plane_where_asked() -> None:
    augmentation = replace(STILL, shift=4.0, max_shift=6.0, shift_along="xy")
    shifts = np.array([augmentation.draw(np.random.default_rng(seed))[:3, 3] for seed in range(400)])
    assert (shifts[:, 2] == 0).all()
    assert np.abs(shifts).max() == 6.0
    assert 0.08 < (np.abs(shifts[:, :2]) == 6.0).mean() < 0.2  # beyond 1.5 deviations: 13 %
    assert 2.8 < shifts[:, :2].std() < 4.0

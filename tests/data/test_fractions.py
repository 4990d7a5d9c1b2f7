"""Label fractions against the published counts and first scenes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.data.fractions import SHOWING_POINTS, FractionRule, frame_order, label_frames, label_scenes
from pc_ssl.errors import UserError

NUSCENES_TRAIN = [f"scene-{number:04d}" for number in range(1, 701)]


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 7), (0.05, 35), (0.1, 70), (0.25, 175), (1.0, 700)])
def test_slidr_counts_on_700_scenes(fraction: float, count: int) -> None:
    assert len(label_scenes(NUSCENES_TRAIN, fraction)) == count


def test_slidr_takes_the_hundredth_scene_first() -> None:
    assert label_scenes(NUSCENES_TRAIN, 0.01)[:2] == ("scene-0100", "scene-0200")


def test_calico_takes_every_twentieth_scene_from_the_first_and_shares_none_with_slidr() -> None:
    chosen = label_scenes(NUSCENES_TRAIN, 0.05, rule=FractionRule.CALICO)
    assert chosen[:3] == ("scene-0001", "scene-0021", "scene-0041")
    assert len(chosen) == 35
    assert list(chosen) == NUSCENES_TRAIN[:: int(1 / 0.05)]
    assert not set(chosen) & set(label_scenes(NUSCENES_TRAIN, 0.05))
    assert len(label_scenes(NUSCENES_TRAIN, 0.2, rule=FractionRule.CALICO)) == 140


def test_scannet_labels_the_scenes_of_a_list() -> None:
    with pytest.raises(UserError, match=r"0\.05.*--label-scenes"):
        label_scenes(NUSCENES_TRAIN, 0.05, rule=FractionRule.SCANNET)
    assert label_scenes(NUSCENES_TRAIN, 1.0, rule=FractionRule.SCANNET) == tuple(NUSCENES_TRAIN)


@pytest.mark.parametrize("rule", [FractionRule.SLIDR, FractionRule.CALICO])
@settings(max_examples=60, deadline=None)
@given(step=st.integers(1, 60), count=st.integers(1, 80))
def test_offsets_share_no_scene_and_cover_them_all(rule: FractionRule, step: int, count: int) -> None:
    scenes = [str(number) for number in range(count)]
    sets = [label_scenes(scenes, 1 / step, rule=rule, offset=offset) for offset in range(min(step, count))]
    assert all(sets)
    assert sorted(scene for chosen in sets for scene in chosen) == sorted(scenes)


def test_scenes_keep_their_order() -> None:
    scenes = ["c", "a", "d", "b"]
    assert label_scenes(scenes, 0.5, rule=FractionRule.CALICO) == ("c", "d")
    assert label_scenes(scenes, 0.5) == ("a", "b")


def test_a_fraction_below_one_scene_is_one_scene() -> None:
    assert label_scenes(["a", "b", "c"], 0.01) == ("c",)
    assert label_scenes(["a", "b", "c"], 0.01, offset=1) == ("b",)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, math.nan, math.inf])
def test_a_fraction_outside_0_1_is_rejected(fraction: float) -> None:
    with pytest.raises(UserError, match=r"expected a number in \(0, 1\]"):
        label_scenes(NUSCENES_TRAIN, fraction)


@pytest.mark.parametrize("fraction", [0.7, 0.4, 0.15])
def test_a_fraction_that_no_stride_gives_is_rejected(fraction: float) -> None:
    with pytest.raises(UserError, match="expected 1 / n"):
        label_scenes(NUSCENES_TRAIN, fraction)


def test_a_rounded_fraction_is_accepted() -> None:
    assert len(label_scenes(NUSCENES_TRAIN[:9], 0.33)) == 3


def test_no_scenes_is_rejected() -> None:
    with pytest.raises(UserError, match="no scenes"):
        label_scenes([], 0.5)


SCENES = ["a", "a", "a", "b", "b", "c", "c", "d", "d", "d"]


def counts_of(**frames: dict[int, int]) -> np.ndarray:
    """[10, 3] points of three classes; class 0 is in every frame: `rare={4: 30}` gives frame 4 thirty of class 2."""
    counts = np.zeros((len(SCENES), 3), np.int64)
    counts[:, 0] = 500
    for position, points in frames.get("some", {}).items():
        counts[position, 1] = points
    for position, points in frames.get("rare", {}).items():
        counts[position, 2] = points
    return counts


@pytest.mark.parametrize("seed", range(8))
def test_a_class_of_one_frame_is_labelled_first(seed: int) -> None:
    assert label_frames(SCENES, counts_of(rare={4: 30}), 0.1, seed) == [4]


@pytest.mark.parametrize("seed", range(8))
def test_a_frame_with_few_points_of_a_class_does_not_count_where_another_has_enough(seed: int) -> None:
    few, enough = SHOWING_POINTS - 1, SHOWING_POINTS
    assert label_frames(SCENES, counts_of(rare={0: few, 4: enough, 8: few}), 0.1, seed) == [4]
    assert label_frames(SCENES, counts_of(rare={0: few - 1, 8: few}), 0.1, seed) == [8]  # the most that any has


@pytest.mark.parametrize("seed", range(8))
def test_each_class_is_labelled_in_two_scenes(seed: int) -> None:
    counts = counts_of(some={0: 40, 1: 40, 2: 40, 3: 40}, rare={5: 25, 7: 25, 8: 25})
    chosen = label_frames(SCENES, counts, 0.4, seed)
    assert {SCENES[k] for k in chosen if counts[k, 1] >= 20} == {"a", "b"}
    assert {SCENES[k] for k in chosen if counts[k, 2] >= 20} == {"c", "d"}


@pytest.mark.parametrize("seed", range(8))
def test_frames_are_spread_over_all_scenes_before_a_second_of_any(seed: int) -> None:
    for count, most in ((1, 1), (2, 1), (4, 1), (5, 2), (8, 2), (9, 3)):
        chosen = [SCENES[k] for k in label_frames(SCENES, counts_of(), count / 10, seed)]
        assert len(chosen) == count
        assert max(chosen.count(scene) for scene in "abcd") == most


def test_the_seed_selects_the_frames() -> None:
    drawn = {tuple(label_frames(SCENES, counts_of(), 0.2, seed)) for seed in range(40)}
    assert len(drawn) > 15  # of 37 pairs of frames of different scenes
    assert label_frames(SCENES, counts_of(), 0.2, 7) == label_frames(SCENES, counts_of(), 0.2, 7)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_frame_order_is_a_nested_order_in_which_every_class_comes_early(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=12))
    scenes = [f"s{number}" for number, length in enumerate(lengths) for _ in range(length)]
    classes = data.draw(st.integers(1, 5))
    points = st.sampled_from([0, 0, 0, 1, 7, 19, 20, 300])
    row = st.lists(points, min_size=classes, max_size=classes)
    counts = np.array(data.draw(st.lists(row, min_size=len(scenes), max_size=len(scenes))))
    seed = data.draw(st.integers(0, 2**32))
    order = frame_order(scenes, counts, seed)
    assert sorted(order) == list(range(len(scenes)))
    small, large = (set(label_frames(scenes, counts, share, seed)) for share in (0.3, 0.6))
    assert small <= large
    for c in range(classes):
        if counts[:, c].any():
            enough = min(20, int(counts[:, c].max()))
            assert any(counts[k, c] >= enough for k in order[:classes])
            showing = {scenes[k] for k in range(len(scenes)) if counts[k, c] >= enough}
            found = {scenes[k] for k in order[: 2 * classes] if counts[k, c] >= enough}
            assert len(found) >= min(2, len(showing))


def test_frames_rule_refuses_what_it_cannot_select() -> None:
    for fraction in (0.0, -0.1, 1.2, math.nan):
        with pytest.raises(UserError, match=r"label fraction: expected a number in \(0, 1\]"):
            label_frames(SCENES, counts_of(), fraction, 0)
    with pytest.raises(UserError, match="training split has no frames"):
        label_frames([], np.zeros((0, 3), np.int64), 0.5, 0)
    with pytest.raises(UserError, match="frames selects frames"):
        label_scenes(NUSCENES_TRAIN, 0.05, rule=FractionRule.FRAMES)

"""Label fractions against the published counts and first scenes."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.data.fractions import FractionRule, label_scenes
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

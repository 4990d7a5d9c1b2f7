"""Random selection of a scene's sweeps."""

import numpy as np
import pytest
import torch

from pc_ssl.data import cache
from pc_ssl.data.drawn_sweeps import DrawnSweeps
from pc_ssl.structures import Camera, Scene
from pc_ssl.structures.scene import TIME

COLUMNS = ("x", "y", "z", "intensity", "time")


def scene(sweeps: int = 5, each: int = 4) -> Scene:
    lag = torch.arange(sweeps).repeat_interleave(each) * 0.05
    order = torch.randperm(len(lag), generator=torch.Generator().manual_seed(0))
    lag = lag[order]
    points = torch.cat([torch.rand(len(lag), 4), lag[:, None]], dim=1)
    seen = torch.arange(0, len(lag), 3)
    camera = Camera("front", torch.zeros(3, 4, 4).byte(), torch.eye(3), torch.eye(4), torch.rand(len(seen), 2), seen)
    region = torch.arange(len(lag), dtype=torch.int32)
    return Scene(
        "a", points, region, len(lag), label=region.byte(), cameras=(camera,), keyframe=lag == 0, columns=COLUMNS
    )


def test_sweeps_are_counted_from_the_keyframe_into_the_past() -> None:
    whole = scene()
    assert torch.equal(whole.sweep(), (whole.points[:, 4] / 0.05).round().long())


def test_the_keyframe_and_two_earlier_sweeps_are_kept() -> None:
    whole = scene()
    drawn = set()
    for seed in range(30):
        kept = DrawnSweeps(2)(whole, np.random.default_rng(seed))
        numbers = set((kept.points[:, 4] / 0.05).round().long().tolist())
        assert 0 in numbers
        assert len(numbers) == 3
        assert len(kept.points) == 12
        drawn |= numbers
    assert drawn == {0, 1, 2, 3, 4}


def test_pixels_and_labels_stay_with_their_points() -> None:
    whole = scene()
    kept = DrawnSweeps(1)(whole, np.random.default_rng(0))
    for camera, before in zip(kept.cameras, whole.cameras, strict=True):
        pixel_of = {int(whole.region[p]): pixel for p, pixel in zip(before.point, before.pixel.tolist(), strict=True)}
        found = {int(kept.region[p]): pixel for p, pixel in zip(camera.point, camera.pixel.tolist(), strict=True)}
        assert found == {number: pixel_of[number] for number in found}
        assert set(found) == set(pixel_of) & set(kept.region.tolist())
    assert torch.equal(kept.label, kept.region.byte())


def test_fewer_sweeps_than_requested_are_all_kept() -> None:
    whole = scene(2)
    assert torch.equal(DrawnSweeps(5)(whole, np.random.default_rng(0)).points, whole.points)
    with pytest.raises(ValueError, match="count -1"):
        DrawnSweeps(-1)


def test_earlier_sweeps_need_their_time() -> None:
    whole = scene()
    unnamed = Scene("a", whole.points[:, :4], whole.region, 20, keyframe=whole.keyframe, columns=COLUMNS[:4])
    with pytest.raises(ValueError, match="'time'"):
        unnamed.sweep()


def test_the_column_of_time_is_called_as_in_caches() -> None:
    assert TIME == cache.TIME

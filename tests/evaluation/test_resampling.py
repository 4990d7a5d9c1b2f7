"""Scores of resampled scenes: those of an evaluation that sees each scene as often as the resample does."""

import json

import numpy as np
import pytest
import torch

from pc_ssl.evaluation.bev_map import BevMapMetric, BevMapResult
from pc_ssl.evaluation.segmentation import SegmentationMetric, SegmentationResult

SCENES = ("a", "b", "c")
TIMES = np.array([[1, 1, 1], [0, 3, 0], [2, 0, 1], [0, 1, 0], [0, 0, 0]])


def of_points(times: np.ndarray) -> SegmentationResult:
    """Two frames of each scene, repeated; class 3 occurs in scene b alone."""
    metric = SegmentationMetric(("ignore", "road", "car", "cone"))
    for number, (scene, count) in enumerate(zip(SCENES, times, strict=True)):
        for frame in range(2):
            rng = np.random.default_rng([number, frame])
            label, guess = rng.integers(0, 3 + (scene == "b"), 50), rng.integers(1, 3 + (scene == "b"), 50)
            for _ in range(count):
                metric.update(torch.from_numpy(guess), torch.from_numpy(label), scene)
    return metric.result()


def of_maps(times: np.ndarray) -> BevMapResult:
    """The last class has no cell in scene a, and none at all in scene c."""
    metric = BevMapMetric(("road", "walkway", "divider"))
    for number, (scene, count) in enumerate(zip(SCENES, times, strict=True)):
        rng = np.random.default_rng(number)
        mask = rng.random((3, 6, 5)) < 0.4
        mask[2] &= scene == "b"
        value = np.clip(0.5 * mask + rng.random(mask.shape) * 0.6, 0, 1)
        known = torch.from_numpy(rng.random((6, 5)) < 0.8)
        for _ in range(count):
            metric.update(torch.from_numpy(value), torch.from_numpy(mask), known, scene)
    return metric.result()


@pytest.mark.parametrize("evaluated", [of_points, of_maps])
def test_scores_are_those_of_a_split_with_repeated_scenes(evaluated) -> None:
    whole = evaluated(TIMES[0])
    assert whole.scene_names == SCENES
    found = whole.resampled(TIMES)["miou"]
    assert found.shape == (5,)
    for times, value in zip(TIMES[:4], found[:4], strict=True):
        assert value == pytest.approx(evaluated(times).miou, abs=1e-12)
    assert len(set(found[:4].round(6))) == 3  # scene b once or three times scores the same
    assert np.isnan(found[4])


@pytest.mark.parametrize("evaluated", [of_points, of_maps])
def test_counts_survive_json_and_earlier_results_have_none(evaluated) -> None:
    result = evaluated(TIMES[0])
    content = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    again = type(result).from_dict(content)
    assert again == result
    assert again.resampled(TIMES[:1])["miou"][0] == result.resampled(TIMES[:1])["miou"][0]
    del content["scenes"]
    content.pop("scene_counts", None)
    earlier = type(result).from_dict(content)
    assert earlier.miou == result.miou
    assert earlier.scene_names == ()
    assert np.isnan(earlier.resampled(np.zeros((2, 0), np.int64))["miou"]).all()


@pytest.mark.parametrize("times", [np.ones(3, int), np.ones((2, 4), int), np.ones((2, 3)), np.array([[0, -1, 2]])])
def test_times_of_another_shape_or_sign_are_refused(times: np.ndarray) -> None:
    with pytest.raises(ValueError, match="times must be integers"):
        of_points(TIMES[0]).resampled(times)

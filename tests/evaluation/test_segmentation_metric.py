"""Segmentation metric against hand-computed cases and the nuScenes devkit."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.errors import UserError
from pc_ssl.evaluation.segmentation import SegmentationMetric, SegmentationResult

NAMES = ("ignore", "car", "road", "tree")


def test_hand_computed_case() -> None:
    metric = SegmentationMetric(NAMES)
    metric.update(torch.tensor([1, 1, 2, 2, 1]), torch.tensor([1, 2, 2, 2, 0]))  # the last point is ignored
    metric.update(torch.tensor([2]), torch.tensor([1]))
    result = metric.result()
    assert result.confusion == ((1, 1, 0), (1, 2, 0), (0, 0, 0))
    assert result.labelled == (2, 3, 0)
    assert result.predicted == (2, 3, 0)
    assert result.iou == (1 / 3, 2 / 4, None)
    assert result.miou == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert result.num_frames == 2


def test_a_class_predicted_but_never_labelled_counts_as_zero() -> None:
    metric = SegmentationMetric(NAMES)
    metric.update(torch.tensor([1, 3]), torch.tensor([1, 1]))
    assert metric.result().iou == (0.5, None, 0.0)
    assert metric.result().miou == pytest.approx(0.25)


def test_a_prediction_on_an_ignored_point_counts_nowhere() -> None:
    metric = SegmentationMetric(NAMES)
    metric.update(torch.tensor([1, 3, 3]), torch.tensor([1, 0, 0]))
    assert metric.result().iou == (1.0, None, None)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 17), points=st.integers(1, 200))
def test_equals_the_devkit(seed: int, classes: int, points: int) -> None:
    from nuscenes.eval.lidarseg.utils import ConfusionMatrix

    rng = np.random.default_rng(seed)
    official = ConfusionMatrix(classes, ignore_idx=0)
    metric = SegmentationMetric([str(k) for k in range(classes)])
    labelled = np.append(rng.choice(classes, size=max(1, classes // 2)), classes - 1)  # some classes never occur
    for _ in range(3):
        label, prediction = rng.choice(labelled, points), rng.integers(1, classes, points)
        label[0] = classes - 1
        official.update(label, prediction)
        metric.update(torch.from_numpy(prediction), torch.from_numpy(label))
    result = metric.result()
    expected = official.get_per_class_iou()[1:]
    np.testing.assert_allclose([np.nan if v is None else v for v in result.iou], expected, rtol=1e-6)
    assert result.miou == pytest.approx(official.get_mean_iou(), rel=1e-6)


def test_frames_can_be_counted_in_any_order() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = [
        (torch.randint(1, 4, (50,), generator=generator), torch.randint(0, 4, (50,), generator=generator))
        for _ in range(4)
    ]
    forward, backward = SegmentationMetric(NAMES), SegmentationMetric(NAMES)
    for prediction, label in frames:
        forward.update(prediction, label)
    for prediction, label in frames[::-1]:
        backward.update(prediction, label)
    assert forward.result() == backward.result()


def test_a_frame_without_points_is_counted_as_a_frame() -> None:
    metric = SegmentationMetric(NAMES)
    empty = torch.empty(0, dtype=torch.int64)
    metric.update(empty, empty)
    metric.update(torch.tensor([1]), torch.tensor([1]))
    assert metric.result().num_frames == 2


@pytest.mark.parametrize(
    ("prediction", "label", "message"),
    [([0], [1], "prediction must be in 1..3"), ([4], [1], "prediction"), ([1], [4], "label"), ([1, 1], [1], r"\[N\]")],
)
def test_wrong_classes_and_lengths_are_refused(prediction: list[int], label: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentationMetric(NAMES).update(torch.tensor(prediction), torch.tensor(label))


def test_no_labelled_point_is_the_users_error() -> None:
    metric = SegmentationMetric(NAMES)
    metric.update(torch.tensor([1]), torch.tensor([0]))
    with pytest.raises(UserError, match="none of the 1 frames has a labelled point"):
        metric.result()


def test_scores_of_each_scene_come_from_its_frames_alone() -> None:
    metric = SegmentationMetric(NAMES)
    metric.update(torch.tensor([1, 1, 2, 3]), torch.tensor([1, 2, 2, 0]), "a")  # the last point is ignored
    metric.update(torch.tensor([2]), torch.tensor([1]), "b")
    metric.update(torch.tensor([1]), torch.tensor([1]), "a")
    metric.update(torch.tensor([1]), torch.tensor([0]), "unlabelled")
    result = metric.result()
    assert result.scenes["a"].true_positive == (2, 1, 0)
    assert result.scenes["a"].labelled == (2, 2, 0)
    assert result.scenes["a"].predicted == (3, 1, 0)
    assert result.scene_miou == {"a": pytest.approx((2 / 3 + 1 / 2) / 2), "b": 0.0}
    assert SegmentationResult.from_dict(json.loads(json.dumps(result.as_dict()))) == result

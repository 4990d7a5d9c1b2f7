"""IoU of map classes against a count cell by cell."""

import json

import numpy as np
import pytest
import torch

from pc_ssl.errors import UserError
from pc_ssl.evaluation.bev_map import THRESHOLDS, BevMapMetric, BevMapResult

NAMES = ("drivable_area", "walkway", "divider")


def frames(count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """probability and mask [3, 6, 5], known [6, 5]; the last class has no cell."""
    rng = np.random.default_rng(0)
    mask = rng.random((count, 3, 6, 5)) < 0.4
    mask[:, 2] = False
    value = np.clip(0.5 * mask + rng.random(mask.shape) * 0.6, 0, 1)
    return list(zip(value, mask, rng.random((count, 6, 5)) < 0.8, strict=True))


def counted(seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> BevMapResult:
    metric = BevMapMetric(NAMES)
    for value, mask, known in seen:
        metric.update(torch.from_numpy(value), torch.from_numpy(mask), torch.from_numpy(known))
    return metric.result()


def test_iou_is_that_of_a_loop_over_known_cells_at_the_best_threshold() -> None:
    seen = frames(4)
    result = counted(seen)
    for k in range(2):
        best = []
        for threshold in THRESHOLDS:
            both = either = 0
            for value, mask, known in seen:
                for row, column in np.argwhere(known):
                    guess, truth = value[k, row, column] >= threshold, mask[k, row, column]
                    both, either = both + int(guess and truth), either + int(guess or truth)
            best.append(both / either)
        assert result.iou[k] == pytest.approx(max(best))
        assert result.best_threshold[k] == THRESHOLDS[int(np.argmax(best))]
    assert result.iou[2] is None
    assert result.miou == pytest.approx((result.iou[0] + result.iou[1]) / 2)
    assert result.known == sum(int(known.sum()) for _, _, known in seen)


def test_frames_are_counted_together_and_not_averaged() -> None:
    full, empty = np.ones((3, 2, 2)), np.zeros((3, 2, 2))
    known = np.ones((2, 2), bool)
    few = empty.copy()
    few[:, 0, 0] = 1
    result = counted([(full, full > 0, known), (full, few > 0, known)])
    assert result.iou == pytest.approx((5 / 8,) * 3)


def test_the_result_survives_json() -> None:
    result = counted(frames(2))
    assert BevMapResult.from_dict(json.loads(json.dumps(result.as_dict(), allow_nan=False))) == result
    assert "drivable_area" in result.table()


def test_a_split_without_any_known_cell_of_a_class_is_refused() -> None:
    nothing = np.zeros((3, 2, 2))
    with pytest.raises(UserError, match="no class covers a known cell in any of 1 frames"):
        counted([(nothing, nothing > 0, np.ones((2, 2), bool))])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"need \(3, 2, 2\), got \(3, 2, 3\)"):
        BevMapMetric(NAMES).update(torch.zeros(3, 2, 3), torch.zeros(3, 2, 2), torch.ones(2, 2, dtype=torch.bool))


def test_scores_of_each_scene_are_at_the_best_thresholds_of_the_split() -> None:
    known = torch.ones(1, 4, dtype=torch.bool)
    metric = BevMapMetric(("road", "walk", "line"))
    road, walk, line = [0.9, 0.9, 0.5, 0.1], [0.1, 0.1, 0.1, 0.9], [0.9, 0.1, 0.1, 0.1]
    truth = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 1, 1]], [[0, 0, 0, 0]]]).bool()
    metric.update(torch.tensor([[road], [walk], [line]]), truth, known, "a")
    other = torch.tensor([[[1, 1, 1, 1]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]]).bool()
    metric.update(torch.tensor([[road], [walk], [line]]), other, known, "b")
    result = metric.result()
    assert result.best_threshold[:2] == (0.35, 0.35)  # of road: 5 of 7 cells, and 4 of 6 above 0.5
    assert result.scenes["a"].true_positive == (2, 1, 0)
    assert result.scenes["a"].predicted == (3, 1, 1)
    assert result.scene_miou == {"a": pytest.approx((2 / 3 + 1 / 2) / 2), "b": pytest.approx(3 / 4)}
    assert BevMapResult.from_dict(json.loads(json.dumps(result.as_dict()))) == result

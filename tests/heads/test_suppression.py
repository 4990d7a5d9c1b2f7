import pytest
import torch

from pc_ssl.heads.suppression import (
    CENTER_POINT_CIRCLES,
    MAX_BOXES,
    CircleNms,
    KeepAll,
    MixedNms,
    RotatedNms,
    suppressed,
)

ROW = [0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0, 0.0, 0.0]

NO_LABEL = torch.zeros(4, dtype=torch.long)


def boxes(*x: float) -> torch.Tensor:
    return torch.tensor([[at, *ROW[1:]] for at in x])


def test_rotated_boxes_that_overlap_within_a_group_are_dropped() -> None:
    box, score = boxes(0.0, 1.0, 1.0, 10.0), torch.tensor([0.5, 0.9, 0.7, 0.6])
    assert RotatedNms(0.2)(box, score, torch.tensor([0, 0, 1, 0]), NO_LABEL).tolist() == [1, 2, 3]


def test_circles_have_a_distance_for_each_group() -> None:
    box, score = boxes(0.0, 1.5, 10.0, 11.5), torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert CircleNms((2.0, 1.0))(box, score, torch.tensor([0, 0, 1, 1]), NO_LABEL).tolist() == [0, 2, 3]
    assert CENTER_POINT_CIRCLES.distance[0] == 2.0


def test_no_more_boxes_stay_than_nuscenes_takes() -> None:
    box = boxes(*torch.arange(600).mul(10.0).tolist())
    score, group = torch.rand(600, generator=torch.Generator().manual_seed(0)), torch.zeros(600, dtype=torch.long)
    for suppression in (RotatedNms(), CircleNms((1.0,)), KeepAll()):
        kept = suppression(box, score, group, group)
        assert torch.equal(score[kept], score.sort(descending=True).values[:MAX_BOXES])


def test_low_scores_go_first_and_parts_are_joined() -> None:
    label = torch.tensor([7, 8])
    part = (boxes(0.0, 20.0), torch.tensor([0.1, 0.3]), label, torch.zeros(2, dtype=torch.long))
    other = (boxes(40.0, 60.0), torch.tensor([0.9, 0.05]), label + 1, torch.ones(2, dtype=torch.long))
    found = suppressed([part, other], 0.1, KeepAll())
    assert found.label.tolist() == [8, 8]
    assert found.box[:, 0].tolist() == [40.0, 20.0]
    assert found.score is not None
    torch.testing.assert_close(found.score, torch.tensor([0.9, 0.3]))


def test_mixed_suppression_has_circles_in_some_groups_and_enlarged_boxes_in_others() -> None:
    """Boxes of 4 x 2 m. Group 0: circles of 2 m. Group 1: overlap; 4.5 m apart, boxes meet when twice as long."""
    rule = MixedNms(distance=(2.0, None), threshold=0.2, scale=(1.0, 1.0, 2.0))
    box, score = boxes(0.0, 1.9, 3.0, 0.0, 4.5, 50.0, 54.5), torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    group, label = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 2, 2])
    assert rule(box, score, group, label).tolist() == [0, 2, 3, 4, 5]  # 8 x 4 m, 4.5 m apart: 3.5 / 12.5 > 0.2
    smaller = MixedNms(distance=(2.0, None), threshold=0.3, scale=(1.0, 1.0, 2.0))
    assert smaller(box, score, group, label).tolist() == [0, 2, 3, 4, 5, 6]  # 0.28


def test_a_size_that_vanishes_is_refused() -> None:
    with pytest.raises(ValueError, match="scale"):
        MixedNms(distance=(2.0,), threshold=0.2, scale=(0.0,))

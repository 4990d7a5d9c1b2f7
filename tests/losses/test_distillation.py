import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses.distances import mean_squared_distance
from pc_ssl.losses.distillation import region_aware_distillation, region_weight


def slow_rad(student: Tensor, teacher: Tensor, region: Tensor, t: float) -> Tensor:
    regions = sorted(set(region.tolist()) - {-1})
    total = (student.sum() + teacher.sum()) * 0
    for number in regions:
        members = [i for i in range(len(region)) if region[i] == number]
        for i in members:
            terms = [torch.exp(student[i] @ teacher[k] / t) for k in range(len(teacher))]
            total = total - torch.log(terms[i] / sum(terms)) / len(members)
    return total / max(len(regions), 1)


@given(seed=st.integers(0, 10**6), points=st.integers(0, 12), regions=st.integers(1, 4), t=st.floats(0.1, 2))
def test_rad_is_equation_3(seed: int, points: int, regions: int, t: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        normalize(torch.randn(points, 3, generator=generator, dtype=torch.float64), dim=1) for _ in range(2)
    )
    student.requires_grad_()
    teacher.requires_grad_()
    region = torch.randint(-1, regions, (points,), generator=generator)
    found = region_aware_distillation(student, teacher, region, t)
    expected = slow_rad(student, teacher, region, t)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, (student, teacher)), torch.autograd.grad(expected, (student, teacher)), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_a_small_region_weighs_as_much_as_a_large_one() -> None:
    weight = region_weight(torch.tensor([0, 0, 0, 0, 1, -1]))
    assert weight.tolist() == [0.25, 0.25, 0.25, 0.25, 1.0, 0.0]


def test_points_outside_regions_are_negatives_only() -> None:
    embedding = torch.eye(3)
    with_outside = region_aware_distillation(embedding, embedding, torch.tensor([0, 1, -1]), 1.0)
    without = region_aware_distillation(embedding[:2], embedding[:2], torch.tensor([0, 1]), 1.0)
    assert with_outside > without
    student = embedding.clone().requires_grad_()
    region_aware_distillation(student, embedding, torch.tensor([0, 1, -1]), 1.0).backward()
    assert student.grad is not None
    assert not student.grad[2].any()


def test_without_regions_the_loss_is_a_zero_with_a_graph() -> None:
    student = torch.eye(2, requires_grad=True)
    loss = region_aware_distillation(student, torch.eye(2), torch.tensor([-1, -1]), 1.0)
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None


def test_squared_distance_is_a_mean_over_rows() -> None:
    assert mean_squared_distance(torch.zeros(2, 3), torch.tensor([[1.0, 0, 0], [0, 2, 0]])).item() == pytest.approx(2.5)
    assert mean_squared_distance(torch.zeros(0, 3), torch.zeros(0, 3)).item() == 0
    assert mean_squared_distance(torch.ones(1, 1).bfloat16(), torch.zeros(1, 1).bfloat16()).dtype == torch.float32

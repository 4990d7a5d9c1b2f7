"""Lovasz-Softmax against the definition, spelled out with sets."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.losses.lovasz import lovasz_softmax


def lovasz_by_definition(probability: torch.Tensor, target: torch.Tensor) -> float:
    """The Lovasz extension of the set function J(wrong) = 1 - IoU, one class and one point at a time."""
    losses = []
    for label in sorted(set(target.tolist())):
        members = {i for i, t in enumerate(target.tolist()) if t == label}
        errors = [
            abs((1.0 if i in members else 0.0) - p) for i, p in enumerate(probability[:, label].double().tolist())
        ]
        wrong: set[int] = set()
        loss, before = 0.0, 0.0
        for i in sorted(range(len(errors)), key=lambda i: -errors[i]):
            wrong.add(i)
            jaccard = 1 - len(members - wrong) / len(members | wrong)
            loss += errors[i] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    return sum(losses) / len(losses)


@settings(max_examples=40, deadline=None)
@given(points=st.integers(1, 25), classes=st.integers(2, 6), seed=st.integers(0, 10_000))
def test_equals_the_definition(points: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probability = torch.randn(points, classes, generator=generator).mul(3).softmax(dim=1)
    target = torch.randint(classes, (points,), generator=generator)
    assert float(lovasz_softmax(probability, target)) == pytest.approx(
        lovasz_by_definition(probability, target), abs=1e-5
    )


def test_of_hard_predictions_is_one_minus_the_iou() -> None:
    target = torch.tensor([0, 0, 0, 1, 1, 2])
    predicted = torch.tensor([0, 0, 1, 1, 1, 1])
    iou = [2 / 3, 2 / 4, 0.0]
    loss = lovasz_softmax(torch.nn.functional.one_hot(predicted, 4).float(), target)  # class 3 occurs nowhere
    assert float(loss) == pytest.approx(1 - sum(iou) / 3)


def test_gradient_agrees_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 3, generator=generator, requires_grad=True)
    target = torch.randint(3, (9,), generator=generator)
    lovasz_softmax(logits.softmax(dim=1), target).backward()
    step = 1e-2
    for row, column in [(0, 0), (3, 2), (8, 1)]:
        moved = [logits.detach().clone() for _ in range(2)]
        moved[0][row, column] += step
        moved[1][row, column] -= step
        high, low = (float(lovasz_softmax(value.softmax(dim=1), target)) for value in moved)
        assert float(logits.grad[row, column]) == pytest.approx((high - low) / (2 * step), abs=2e-3)


def test_no_points_give_a_connected_zero() -> None:
    probability = torch.empty(0, 4, requires_grad=True)
    loss = lovasz_softmax(probability, torch.empty(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0.0


def test_gradient_is_that_of_the_steps_in_float64() -> None:
    """Equal errors and thousands of points: the value by the loop, in float64."""
    generator = torch.Generator().manual_seed(0)
    probability = (torch.randint(0, 9, (400, 3), generator=generator) / 8.0).requires_grad_()
    target = torch.randint(3, (400,), generator=generator)
    lovasz_softmax(probability, target).backward()
    assert float(lovasz_softmax(probability, target)) == pytest.approx(
        lovasz_by_definition(probability.detach(), target), rel=1e-6
    )
    sign = 1 - 2 * torch.nn.functional.one_hot(target, 3)
    assert bool((probability.grad * sign >= 0).all())  # a larger error never costs less


def test_a_probability_that_is_not_a_number_gives_a_loss_that_is_none() -> None:
    probability = torch.full((5, 2), torch.nan, requires_grad=True)
    assert lovasz_softmax(probability, torch.tensor([0, 1, 1, 0, 1])).isnan()

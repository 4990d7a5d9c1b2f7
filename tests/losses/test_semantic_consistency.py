import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses.semantic_consistency import (
    class_cross_entropy,
    released_consistency,
    semantic_consistency,
    spatial_temporal_consistency,
)


def unit(generator: torch.Generator, rows: int, channels: int) -> Tensor:
    return normalize(torch.randn(rows, channels, generator=generator, dtype=torch.float64), dim=1)


def slow_semantic(point: Tensor, label: Tensor, text: Tensor, tau: float) -> Tensor:
    total = point.sum() * 0
    for c in range(len(text)):
        top = [torch.exp(text[c] @ point[i] / tau) for i in range(len(point)) if label[i] == c]
        bottom = [torch.exp(text[c] @ point[j] / tau) for j in range(len(point)) if label[j] != c]
        if top and bottom:
            total = total - torch.log(sum(top) / sum(bottom))
    return total


def slow_spatial(point: Tensor, image: Tensor | None, text: Tensor, cell: Tensor, lam: float) -> Tensor:
    total, cells = point.sum() * 0, 0
    for n in sorted(set(cell.tolist()) - {-1}):
        members = [i for i in range(len(point)) if cell[i] == n]
        z = sum(torch.exp(point[i] @ text[i] / lam) for i in members)
        if image is not None:
            z = z + sum(torch.exp(image[i] @ text[i] / lam) for i in members)
        f = sum(torch.exp(point[i] @ text[i] / lam) / z * point[i] for i in members)
        if image is not None:
            f = f + sum(torch.exp(image[i] @ text[i] / lam) / z * image[i] for i in members)
        for i in members:
            total = total + 1 - torch.sigmoid(point[i] @ f)
        cells += 1
    return total / max(cells, 1)


@given(seed=st.integers(0, 10**6), points=st.integers(0, 12), classes=st.integers(1, 4), tau=st.floats(0.1, 2))
def test_semantic_consistency_is_equation_1(seed: int, points: int, classes: int, tau: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    point = unit(generator, points, 3).requires_grad_()
    text = unit(generator, classes, 3)
    label = torch.randint(0, classes, (points,), generator=generator)
    found, expected = semantic_consistency(point, label, text, tau), slow_semantic(point, label, text, tau)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, point)[0] for value in (found, expected)))


@given(
    seed=st.integers(0, 10**6), points=st.integers(0, 12), cells=st.integers(1, 4), lam=st.floats(0.2, 3),
    images=st.booleans(),
)  # fmt: skip
def test_spatial_temporal_consistency_is_equations_2_to_4(
    seed: int, points: int, cells: int, lam: float, images: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    point = unit(generator, points, 3).requires_grad_()
    image = unit(generator, points, 3) if images else None
    text = unit(generator, points, 3)
    cell = torch.randint(-1, cells, (points,), generator=generator)
    found = spatial_temporal_consistency(point, image, text, cell, cells, lam)
    expected = slow_spatial(point, image, text, cell, lam)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, point)[0] for value in (found, expected)))


def test_points_on_their_texts_reach_the_lowest_value() -> None:
    text = torch.eye(2)
    label = torch.tensor([0, 0, 1])
    assert semantic_consistency(text[label], label, text, 0.5).item() == pytest.approx(
        -(math.log(2 * math.e**2 / 1) + math.log(math.e**2 / 2))
    )


def test_a_single_class_gives_zero() -> None:
    point = unit(torch.Generator().manual_seed(0), 4, 3).requires_grad_()
    loss = semantic_consistency(point, torch.zeros(4, dtype=torch.long), torch.eye(3).double(), 0.5)
    loss.backward()
    assert loss.item() == 0
    assert point.grad is not None
    assert not point.grad.any()


def test_a_point_alone_in_its_cell_without_an_image_agrees_with_itself() -> None:
    point = torch.eye(3)
    loss = spatial_temporal_consistency(point, None, point, torch.arange(3), 3, 1.0)
    assert loss.item() == pytest.approx(1 - 1 / (1 + math.exp(-1)))


def test_eq_2_divides_by_the_number_of_grids_and_not_of_points() -> None:
    point = torch.tensor([[1.0, 0.0]] * 6)
    cell = torch.tensor([0, 0, 0, 0, 0, 1])
    one = 1 - 1 / (1 + math.exp(-1))
    assert spatial_temporal_consistency(point, None, point, cell, 2, 1.0).item() == pytest.approx(6 * one / 2)
    assert spatial_temporal_consistency(point, None, point, cell, 9, 1.0).item() == pytest.approx(6 * one / 2)


@given(seed=st.integers(0, 10**6), points=st.integers(1, 20), cells=st.integers(1, 5))
def test_the_released_mean_goes_over_all_slots(seed: int, points: int, cells: int) -> None:
    """Tables of 8 places a cell, the empty ones zeros, as the released network gets them; nothing is normalised."""
    generator = torch.Generator().manual_seed(seed)
    point = 3 * torch.randn(points, 4, generator=generator, dtype=torch.float64)
    text = unit(generator, points, 4)
    cell = torch.randint(-1, cells, (points,), generator=generator)
    values = []
    for n in sorted(set(cell.tolist()) - {-1}):
        members = [i for i in range(points) if cell[i] == n]
        slots = [point[i] for i in members] + [torch.zeros(4).double()] * (8 - len(members))
        weight = torch.softmax(torch.stack([point[i] @ text[i] for i in members]), dim=0)
        f = sum(w * point[i] for w, i in zip(weight, members, strict=True))
        values += [1 - torch.sigmoid(slot @ f) for slot in slots]
    if max(torch.bincount(cell + 1, minlength=2)[1:]) <= 8:
        expected = torch.stack(values).mean() if values else torch.zeros(()).double()
        torch.testing.assert_close(released_consistency(point, text, cell, cells, 1.0, 8), expected)


def test_features_of_any_length_leave_the_gradient_finite() -> None:
    point = torch.tensor([[200.0, 0.0], [-200.0, 0.0], [900.0, 0.0]], requires_grad=True)
    text = torch.tensor([[1.0, 0.0]] * 3)
    loss = released_consistency(point, text, torch.tensor([0, 0, -1]), 1, 1.0, 8)
    loss.backward()
    assert loss.isfinite()
    assert point.grad is not None
    assert point.grad.isfinite().all()


def test_cross_entropy_has_no_temperature() -> None:
    loss = class_cross_entropy(torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert class_cross_entropy(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), torch.eye(2)) == 0


def test_bfloat16_features_give_a_float32_loss() -> None:
    point = torch.eye(3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        first = semantic_consistency(point, torch.arange(3), torch.eye(3), 0.5)
        second = spatial_temporal_consistency(point, point, point, torch.arange(3), 3, 1.0)
    assert first.dtype == second.dtype == torch.float32

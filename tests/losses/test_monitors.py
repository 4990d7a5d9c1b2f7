import math

import pytest
import torch
from torch.nn.functional import normalize

from pc_ssl.losses.info_nce import info_nce
from pc_ssl.losses.monitors import collapse_monitors, negative_monitors


def sphere(points: int, channels: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(points, channels, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_a_full_sphere_has_full_rank_and_unit_spread() -> None:
    p = sphere(4000, 16)
    monitors = collapse_monitors(p, p)
    assert float(monitors["feature_std"]) == pytest.approx(1.0, abs=0.02)
    assert float(monitors["effective_rank"]) == pytest.approx(16, abs=0.2)
    assert float(monitors["alignment"]) == 0


def test_a_point_has_no_rank_and_no_spread() -> None:
    p = sphere(1, 16).expand(100, 16)
    monitors = collapse_monitors(p, p)
    assert float(monitors["feature_std"]) < 1e-4
    assert float(monitors["uniformity"]) == pytest.approx(0.0, abs=1e-5)


def test_embeddings_on_a_circle_have_rank_two() -> None:
    p = torch.cat([sphere(500, 2), torch.zeros(500, 6)], dim=1)
    assert float(collapse_monitors(p, p)["effective_rank"]) == pytest.approx(2, abs=0.01)


def test_alignment_and_uniformity_by_hand() -> None:
    first = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    second = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    monitors = collapse_monitors(first, second)
    assert float(monitors["alignment"]) == pytest.approx((2 + 0) / 2)
    assert float(monitors["uniformity"]) == pytest.approx(-2 * 4)


@pytest.mark.parametrize("points", [0, 1])
def test_too_few_points_give_zeros(points: int) -> None:
    p = sphere(points, 4)
    assert all(float(value) == 0 for value in collapse_monitors(p, p).values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_give_no_number_and_no_error(value: float) -> None:
    first = torch.eye(4)
    first[2, 1] = value
    monitors = collapse_monitors(first, torch.eye(4))
    assert monitors["effective_rank"].isnan()
    assert not any(monitors[name].isfinite() for name in ("feature_std", "alignment"))


def test_equal_negatives_all_carry_the_push() -> None:
    """Anchors along the first axis, candidates along others: every similarity is 0."""
    p = torch.eye(9)
    monitors = negative_monitors(p[:1].expand(8, 9), p[1:], 0.1)
    assert float(monitors["effective_negatives"]) == pytest.approx(7)
    assert float(monitors["negative_share"]) == pytest.approx(1)


def test_weights_of_the_negatives_by_hand() -> None:
    """Similarities 1 and 0 to two negatives at t = 1: weights e / (e + 1) and 1 / (e + 1)."""
    anchor = torch.tensor([[1.0, 0.0, 0.0]])
    candidate = torch.eye(3)[[2, 0, 1]]
    high = math.e / (math.e + 1)
    entropy = -high * math.log(high) - (1 - high) * math.log(1 - high)
    monitors = negative_monitors(anchor, candidate, 1.0)
    assert float(monitors["effective_negatives"]) == pytest.approx(math.exp(entropy))
    assert float(monitors["negative_share"]) == pytest.approx(math.exp(entropy) / 2)
    other = negative_monitors(anchor, candidate, 1.0, positive=torch.tensor([1]))
    assert float(other["effective_negatives"]) == pytest.approx(2)  # the two others are equal


def test_the_weights_are_those_of_the_gradient_of_info_nce() -> None:
    """The pull on the candidates, normalised over the negatives, has the entropy that is reported."""
    anchor, candidate = sphere(5, 4, 1), sphere(30, 4, 2).requires_grad_()
    efforts = []
    for row in range(5):
        positive = torch.tensor([row])
        info_nce(anchor[row : row + 1], candidate, temperature=0.2, positive=positive).backward()
        force = candidate.grad.norm(dim=1)
        candidate.grad = None
        force = torch.cat([force[:row], force[row + 1 :]])
        share = force / force.sum()
        efforts.append(float((-share * share.log()).sum().exp()))
    found = negative_monitors(anchor, candidate.detach(), 0.2)["effective_negatives"]
    assert float(found) == pytest.approx(sum(efforts) / 5, rel=1e-4)


@pytest.mark.parametrize("points", [0, 1])
def test_no_negative_gives_zeros(points: int) -> None:
    p = sphere(points, 4)
    assert all(float(value) == 0 for value in negative_monitors(p, p, 0.1).values())


def test_negatives_that_are_not_finite_give_no_number() -> None:
    p = torch.eye(4)
    p[2, 1] = float("nan")
    assert negative_monitors(p, p, 0.1)["effective_negatives"].isnan()

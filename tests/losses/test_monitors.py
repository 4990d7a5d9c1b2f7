import pytest
import torch
from torch.nn.functional import normalize

from pc_ssl.losses.monitors import collapse_monitors


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

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses import similarity
from pc_ssl.losses.point_region import (
    Negatives,
    chance_level,
    point_level_region_contrast,
    region_aware_point_contrast,
)


def embeddings(points: int, channels: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    rng = np.random.default_rng(seed)
    return normalize(torch.from_numpy(rng.normal(size=(points, channels))), dim=1).to(dtype)


def plrc_by_loops(p: Tensor, q: Tensor, region: list[int], temperature: float) -> Tensor:
    """The equation, term by term."""
    e = (p @ q.T / temperature).exp()
    anchors = [i for i, r in enumerate(region) if r >= 0]
    total = (p.sum() + q.sum()) * 0
    for i in anchors:
        negatives = sum((e[i, k] for k, r in enumerate(region) if r != region[i]), start=p.new_zeros(()))
        positives = [j for j, r in enumerate(region) if r == region[i]]
        total = total - sum(torch.log(e[i, j] / (e[i, j] + negatives)) for j in positives) / len(positives)
    return total / max(len(anchors), 1)


def rapc_by_loops(p: Tensor, q: Tensor, region: list[int], temperature: float, all_points: bool) -> Tensor:
    e = (p @ q.T / temperature).exp()
    total = p.sum() * 0
    for i, own in enumerate(region):
        candidates = [k for k, r in enumerate(region) if all_points or k == i or own < 0 or r != own]
        total = total - torch.log(e[i, i] / sum(e[i, k] for k in candidates))
    return total / len(region)


def value_and_gradients(loss: Callable[[Tensor, Tensor], Tensor], p: Tensor, q: Tensor) -> list[Tensor]:
    p, q = p.clone().requires_grad_(), q.clone().requires_grad_()
    value = loss(p, q)
    return [value.detach(), *torch.autograd.grad(value, (p, q))]


regions = st.lists(st.integers(-1, 3), min_size=1, max_size=12)


@given(region=regions, seed=st.integers(0, 99), temperature=st.floats(0.05, 1.0), block=st.integers(1, 200))
@settings(deadline=None, max_examples=60)
def test_plrc_is_the_equation(region: list[int], seed: int, temperature: float, block: int) -> None:
    p, q = embeddings(len(region), seed=seed), embeddings(len(region), seed=seed + 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "BLOCK_ELEMENTS", block)
        found = value_and_gradients(
            lambda a, b: point_level_region_contrast(a, b, torch.tensor(region), temperature), p, q
        )
    expected = value_and_gradients(lambda a, b: plrc_by_loops(a, b, region, temperature), p, q)
    torch.testing.assert_close(found, expected)


@given(
    region=regions, seed=st.integers(0, 99), temperature=st.floats(0.05, 1.0), block=st.integers(1, 200),
    negatives=st.sampled_from(Negatives),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_rapc_is_the_equation(
    region: list[int], seed: int, temperature: float, block: int, negatives: Negatives
) -> None:
    p, q = embeddings(len(region), seed=seed), embeddings(len(region), seed=seed + 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "BLOCK_ELEMENTS", block)
        found = value_and_gradients(
            lambda a, b: region_aware_point_contrast(a, b, torch.tensor(region), temperature, negatives), p, q
        )
    everything = negatives is Negatives.ALL_POINTS
    expected = value_and_gradients(lambda a, b: rapc_by_loops(a, b, region, temperature, everything), p, q)
    torch.testing.assert_close(found, expected)


def test_plrc_of_two_regions_by_hand() -> None:
    """Two points of region 0 with the same embedding, one of region 1 at right angles: e = exp(1), exp(0)."""
    p = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    inside_0 = -math.log(math.e / (math.e + 1))  # one negative
    inside_1 = -math.log(math.e / (math.e + 2))  # two negatives
    found = point_level_region_contrast(p, p, torch.tensor([0, 0, 1]), temperature=1.0)
    assert float(found) == pytest.approx((2 * inside_0 + inside_1) / 3)


def test_points_outside_regions_are_negatives_of_plrc_but_not_anchors() -> None:
    p, q = embeddings(6), embeddings(6, seed=1)
    region = torch.tensor([0, 0, 1, 1, -1, -1])
    _, by_anchor, by_candidate = value_and_gradients(lambda a, b: point_level_region_contrast(a, b, region, 0.1), p, q)
    assert bool((by_anchor[4:] == 0).all())
    assert bool((by_candidate[4:] != 0).any(dim=1).all())


@pytest.mark.parametrize("region", [[], [-1, -1, -1]])
def test_plrc_without_regions_is_a_connected_zero(region: list[int]) -> None:
    p = embeddings(len(region)) if region else torch.zeros(0, 4, dtype=torch.float64)
    value, *gradients = value_and_gradients(
        lambda a, b: point_level_region_contrast(a, b, torch.tensor(region, dtype=torch.int64), 0.1), p, p
    )
    assert value == 0
    assert all(bool((g == 0).all()) for g in gradients)


def test_plrc_of_one_region_alone_has_no_negatives_and_is_zero() -> None:
    p = embeddings(5)
    value, *gradients = value_and_gradients(
        lambda a, b: point_level_region_contrast(a, b, torch.zeros(5, dtype=torch.int64), 0.1), p, p
    )
    assert value == 0
    assert all(bool((g == 0).all()) for g in gradients)


def test_rapc_of_no_points_is_a_connected_zero() -> None:
    nothing = torch.zeros(0, 4, requires_grad=True)
    value = region_aware_point_contrast(nothing, nothing, torch.zeros(0, dtype=torch.int64), 0.1, Negatives.ALL_POINTS)
    value.backward()
    assert value == 0


def test_collapsed_embeddings_give_rapc_its_level_by_chance() -> None:
    p = torch.ones(64, 4) / 2
    value = region_aware_point_contrast(p, p, torch.arange(64), 0.1, Negatives.ALL_POINTS)
    assert float(value) == pytest.approx(chance_level(64), rel=1e-5)


def test_perfect_alignment_of_distant_points_brings_both_losses_to_their_lower_limit() -> None:
    p = torch.eye(8, dtype=torch.float64)
    region = torch.arange(8)
    limit = math.log(1 + 7 * math.exp(-1 / 0.1))
    assert float(point_level_region_contrast(p, p, region, 0.1)) == pytest.approx(limit, rel=1e-4)
    assert float(region_aware_point_contrast(p, p, region, 0.1, Negatives.ALL_POINTS)) == pytest.approx(limit, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    p, q, region = embeddings(300, dtype=dtype), embeddings(300, seed=1, dtype=dtype), torch.arange(300) % 7
    with torch.autocast("cpu", torch.bfloat16):
        found = point_level_region_contrast(p, q, region, 0.05)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, point_level_region_contrast(p.float(), q.float(), region, 0.05))


def test_memory_does_not_grow_with_the_square_of_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "BLOCK_ELEMENTS", 16 * 512)
    p, q, region = embeddings(512).requires_grad_(), embeddings(512, seed=1), torch.arange(512) % 9
    largest = 0

    def note(tensor: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        point_level_region_contrast(p, q, region, 0.1).backward()
    assert 0 < largest <= 16 * 512

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses import similarity
from pc_ssl.losses.correspondence import (
    Correlation,
    Correspondence,
    foreground_contrast,
    learned_foreground_contrast,
)


def views(points: int, seed: int, channels: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(points, channels, dtype=torch.float64, generator=generator) for _ in range(2))
    return first, second


def reference(
    first: Tensor, second: Tensor, foreground: list[bool], t: float, kind: Correspondence, k: int, weighted: bool
) -> Tensor | None:
    """The formula, anchor by anchor."""
    inside = [i for i, is_in in enumerate(foreground) if is_in]
    background = [view[i] for view in (first, second) for i, is_in in enumerate(foreground) if not is_in]
    terms = []
    for here, there in ((first, second), (second, first)):
        for i in inside:
            if kind is Correspondence.SAME_POINT:
                sets = [[there[i]]]
            else:
                ranked = sorted(inside, key=lambda j: -float(here[i].detach() @ there[j].detach()))
                sets = [[there[j] for j in ranked[:k]]]
            if kind is Correspondence.ACROSS_AND_WITHIN:
                ranked = sorted(
                    (j for j in inside if j != i), key=lambda j: -float(here[i].detach() @ here[j].detach())
                )
                sets.append([here[j] for j in ranked[:k]])
            far = sum(((here[i] @ b / t).exp() for b in background), torch.zeros((), dtype=first.dtype))
            for positive in sets:
                near = torch.zeros((), dtype=first.dtype)
                for p in positive:
                    weight = max(float(here[i].detach() @ p.detach()), 0.0) if weighted else 1.0
                    near = near + weight * (here[i] @ p / t).exp()
                if near > 0:
                    terms.append(-(near / (near + far)).log())
    return torch.stack(terms).mean() if terms else None


@given(
    foreground=st.lists(st.booleans(), min_size=1, max_size=9),
    seed=st.integers(0, 999),
    t=st.sampled_from([0.1, 0.5, 2.0]),
    kind=st.sampled_from(list(Correspondence)),
    k=st.integers(1, 4),
    weighted=st.booleans(),
    block=st.integers(1, 40),
)
@settings(max_examples=80)
def test_value_and_gradient_are_those_of_the_formula(
    foreground: list[bool], seed: int, t: float, kind: Correspondence, k: int, weighted: bool, block: int
) -> None:
    first, second = (view.requires_grad_() for view in views(len(foreground), seed))
    before, similarity.BLOCK_ELEMENTS = similarity.BLOCK_ELEMENTS, block
    try:
        found = foreground_contrast(
            normalize(first), normalize(second), torch.tensor(foreground), t,
            correspondence=kind, correlated=k, weighted=weighted,
        )  # fmt: skip
        gradient = torch.autograd.grad(found, (first, second))
    finally:
        similarity.BLOCK_ELEMENTS = before
    expected = reference(normalize(first), normalize(second), foreground, t, kind, k, weighted)
    if expected is None:
        assert found.item() == 0
        assert not any(bool(value.any()) for value in gradient)
        return
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    expected_gradient = torch.autograd.grad(expected, (first, second), allow_unused=True)
    for value, wanted in zip(gradient, expected_gradient, strict=True):
        torch.testing.assert_close(value, torch.zeros_like(value) if wanted is None else wanted, rtol=1e-7, atol=1e-10)


def test_without_background_nothing_is_pushed_away() -> None:
    first, second = (normalize(view) for view in views(5, 0))
    everywhere = torch.ones(5, dtype=torch.bool)
    assert foreground_contrast(first, second, everywhere, 0.1, weighted=False).item() == pytest.approx(0, abs=1e-9)


def test_foreground_of_other_objects_is_not_a_negative() -> None:
    """Two kinds of things at right angles, and background opposite to both: nothing is left to learn."""
    one, two = torch.eye(3, dtype=torch.float64)[:2]
    points = torch.stack([one, two, one, two, -one, -two])
    foreground = torch.tensor([True] * 4 + [False] * 2)
    assert foreground_contrast(points, points, foreground, 0.1).item() < 1e-3
    foreground = torch.tensor([True, False] * 2 + [False] * 2)
    points[1] = points[3] = one
    assert foreground_contrast(points, points, foreground, 0.1).item() > 0.5


def test_without_foreground_it_is_a_connected_zero() -> None:
    first, second = (view.requires_grad_() for view in views(4, 1))
    loss = foreground_contrast(first, second, torch.zeros(4, dtype=torch.bool), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert first.grad is not None
    assert second.grad is not None
    assert not first.grad.any()
    assert not second.grad.any()


def test_an_anchor_needs_a_positive() -> None:
    with pytest.raises(ValueError, match="correlated"):
        foreground_contrast(*views(4, 1), torch.ones(4, dtype=torch.bool), 0.1, correlated=0)


def correlations(points: int, seed: int, channels: int = 3) -> tuple[Correlation, Correlation]:
    """With gradients."""
    generator = torch.Generator().manual_seed(seed + 1000)
    values = [torch.randn(points, channels, dtype=torch.float64, generator=generator) for _ in range(4)]
    query_1, key_1, query_2, key_2 = (value.requires_grad_() for value in values)
    return Correlation(query_1, key_1), Correlation(query_2, key_2)


def learned_reference(
    views: tuple[Tensor, Tensor],
    correlation: tuple[Correlation, Correlation],
    foreground: list[bool],
    t: float,
    kind: Correspondence,
) -> Tensor | None:
    """The formula, pair by pair."""
    inside = [i for i, is_in in enumerate(foreground) if is_in]
    background = [view[i] for view in views for i, is_in in enumerate(foreground) if not is_in]
    terms = []
    for own, other in ((0, 1), (1, 0)):
        for i in inside:
            candidates = [[(other, j) for j in inside]]
            if kind is Correspondence.ACROSS_AND_WITHIN and len(inside) > 1:
                candidates.append([(own, j) for j in inside if j != i])
            z, query = views[own][i], correlation[own].query[i]
            far = sum(((z @ b / t).exp() for b in background), torch.zeros((), dtype=z.dtype))
            for chosen in candidates:
                scores = [(query @ correlation[view].key[j]).exp() for view, j in chosen]
                near = sum(
                    score / sum(scores) * (z @ views[view][j] / t).exp()
                    for score, (view, j) in zip(scores, chosen, strict=True)
                )
                terms.append(-(near / (near + far)).log())
    return torch.stack(terms).mean() if terms else None


@given(
    foreground=st.lists(st.booleans(), min_size=1, max_size=9),
    seed=st.integers(0, 999),
    t=st.sampled_from([0.1, 0.5, 2.0]),
    kind=st.sampled_from([Correspondence.ACROSS, Correspondence.ACROSS_AND_WITHIN]),
    block=st.integers(1, 40),
)
@settings(max_examples=60)
def test_learned_weights_value_and_gradient_are_those_of_the_formula(
    foreground: list[bool], seed: int, t: float, kind: Correspondence, block: int
) -> None:
    first, second = (view.requires_grad_() for view in views(len(foreground), seed))
    correlation = correlations(len(foreground), seed)
    inputs = [first, second, *(value for own in correlation for value in (own.query, own.key))]
    unit = normalize(first), normalize(second)
    before, similarity.BLOCK_ELEMENTS = similarity.BLOCK_ELEMENTS, block
    try:
        found = learned_foreground_contrast(*unit, correlation, torch.tensor(foreground), t, correspondence=kind)
        gradient = torch.autograd.grad(found, inputs, retain_graph=True)
    finally:
        similarity.BLOCK_ELEMENTS = before
    expected = learned_reference(unit, correlation, foreground, t, kind)
    if expected is None:
        assert found.item() == 0
        assert not any(bool(value.any()) for value in gradient)
        return
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    wanted = torch.autograd.grad(expected, inputs, allow_unused=True)
    for value, want in zip(gradient, wanted, strict=True):
        torch.testing.assert_close(value, torch.zeros_like(value) if want is None else want, rtol=1e-7, atol=1e-10)


def test_gradients_of_learned_weights_are_those_of_finite_differences() -> None:
    first, second = (view.requires_grad_() for view in views(5, 3))
    inputs = [first, second, *(value for own in correlations(5, 3) for value in (own.query, own.key))]
    foreground = torch.tensor([True, False, True, True, False])

    def loss(one: Tensor, two: Tensor, *values: Tensor) -> Tensor:
        correlation = Correlation(*values[:2]), Correlation(*values[2:])
        return learned_foreground_contrast(normalize(one), normalize(two), correlation, foreground, 0.5)

    assert torch.autograd.gradcheck(loss, inputs)


def test_weights_by_hand() -> None:
    """Two anchors and one background point, whose similarities with all are 0: near is the weighted mean of e_ip."""
    z = torch.eye(3, dtype=torch.float64)
    points = torch.stack([z[0], z[1], z[2]])
    foreground = torch.tensor([True, True, False])
    zeros = torch.zeros(3, 1, dtype=torch.float64)
    even = Correlation(zeros, zeros)
    found = learned_foreground_contrast(
        points, points, (even, even), foreground, 1.0, correspondence=Correspondence.ACROSS
    )
    near = (math.e + 1) / 2  # weights 1/2: itself, e^1, and the other, e^0
    assert found.item() == pytest.approx(-math.log(near / (near + 2)))  # the background point in each view, e^0 each
    query, key = torch.ones(3, 1, dtype=torch.float64), torch.tensor([[0.0], [math.log(3)], [0.0]], dtype=torch.float64)
    own = Correlation(query, key)  # weights 1/4 and 3/4 for every anchor
    found = learned_foreground_contrast(
        points, points, (own, own), foreground, 1.0, correspondence=Correspondence.ACROSS
    )
    nears = torch.tensor([(math.e + 3) / 4, (1 + 3 * math.e) / 4])
    assert found.item() == pytest.approx(float(-(nears / (nears + 2)).log().mean()), rel=1e-6)


def test_learned_weights_without_foreground_are_a_connected_zero() -> None:
    first, second = (view.requires_grad_() for view in views(4, 1))
    correlation = correlations(4, 1)
    loss = learned_foreground_contrast(first, second, correlation, torch.zeros(4, dtype=torch.bool), 0.1)
    loss.backward()
    assert loss.item() == 0
    for value in (first, second, *(value for own in correlation for value in (own.query, own.key))):
        assert value.grad is not None
        assert not value.grad.any()


def test_learned_weights_need_candidates_and_rows_of_the_points() -> None:
    foreground = torch.ones(4, dtype=torch.bool)
    with pytest.raises(ValueError, match="same_point"):
        learned_foreground_contrast(
            *views(4, 1), correlations(4, 1), foreground, 0.1, correspondence=Correspondence.SAME_POINT
        )
    with pytest.raises(ValueError, match=r"4 points, got \[3, 3\]"):
        learned_foreground_contrast(*views(4, 1), correlations(3, 1), foreground, 0.1)
    with pytest.raises(ValueError, match="one shape"):
        Correlation(torch.zeros(4, 2), torch.zeros(4, 3))

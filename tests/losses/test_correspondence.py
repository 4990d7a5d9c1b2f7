import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses import similarity
from pc_ssl.losses.correspondence import Correspondence, foreground_contrast


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

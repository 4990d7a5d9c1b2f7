import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses import similarity
from pc_ssl.losses.segment_contrast import SegmentNegatives, SegmentPositives, mutual_nearest, segment_contrast


def views(points: int, seed: int, channels: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(points, channels, dtype=torch.float64, generator=generator) for _ in range(2))
    return first, second


def reference(first: Tensor, second: Tensor, region: list[int], t: float, unlike: bool, both_views: bool) -> Tensor:
    """The formula, point by point."""
    segments = sorted({r for r in region if r >= 0})
    pooled = {}
    for v, view in enumerate((first, second)):
        for s in segments:
            rows = [i for i, r in enumerate(region) if r == s]
            mean = torch.stack([view[i] for i in rows]).mean(dim=0)
            pooled[v, s] = mean / mean.norm()
    partner = {s: s for s in segments}
    if unlike and len(segments) > 1:
        both = {s: (pooled[0, s] + pooled[1, s]).detach() for s in segments}
        both = {s: value / value.norm() for s, value in both.items()}
        nearest = {s: max((float(both[s] @ both[o]), o) for o in segments if o != s)[1] for s in segments}
        partner = {s: nearest[s] if nearest[nearest[s]] == s else s for s in segments}
    terms = []
    for v in (0, 1):
        for s in segments:
            near, far = [], []
            for view in (first, second) if both_views else (second, first)[v : v + 1]:
                for i, r in enumerate(region):
                    e = (pooled[v, s] @ view[i] / t).exp()
                    if r == s:
                        near.append(e)
                    elif r < 0 or r != partner[s]:
                        far.append(e)
            own = torch.stack(near).sum()
            terms.append(-(own / (own + sum(far, torch.zeros((), dtype=own.dtype)))).log())
    return torch.stack(terms).mean()


@given(
    region=st.lists(st.integers(-1, 4), min_size=1, max_size=12),
    seed=st.integers(0, 999),
    t=st.sampled_from([0.1, 0.5, 2.0]),
    negatives=st.sampled_from(list(SegmentNegatives)),
    positives=st.sampled_from(list(SegmentPositives)),
    block=st.integers(1, 60),
)
@settings(max_examples=60)
def test_value_and_gradient_are_those_of_the_formula(
    region: list[int], seed: int, t: float, negatives: SegmentNegatives, positives: SegmentPositives, block: int
) -> None:
    if max(region) < 0:
        region[0] = 0
    first, second = (view.requires_grad_() for view in views(len(region), seed))
    before, similarity.BLOCK_ELEMENTS = similarity.BLOCK_ELEMENTS, block
    try:
        found = segment_contrast(normalize(first), normalize(second), torch.tensor(region) * 7, t, negatives, positives)
        gradient = torch.autograd.grad(found, (first, second))
    finally:
        similarity.BLOCK_ELEMENTS = before
    unlike = negatives is SegmentNegatives.UNLIKE_SEGMENTS
    expected = reference(
        normalize(first), normalize(second), region, t, unlike, positives is SegmentPositives.BOTH_VIEWS
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    expected_gradient = torch.autograd.grad(expected, (first, second), allow_unused=True)
    for value, wanted in zip(gradient, expected_gradient, strict=True):
        torch.testing.assert_close(value, torch.zeros_like(value) if wanted is None else wanted, rtol=1e-7, atol=1e-10)


def test_one_segment_and_nothing_else_is_perfect() -> None:
    first, second = (normalize(view) for view in views(6, 0))
    assert segment_contrast(first, second, torch.zeros(6, dtype=torch.int64), 0.1).item() == pytest.approx(0, abs=1e-12)


def test_orthogonal_segments_are_separated() -> None:
    point = torch.eye(4, dtype=torch.float64).repeat_interleave(3, dim=0)
    region = torch.arange(4).repeat_interleave(3)
    loss = segment_contrast(point, point, region, 0.1, SegmentNegatives.OTHER_SEGMENTS)
    assert loss.item() == pytest.approx(math.log1p(3 * math.exp(-10)), rel=1e-9)


def test_two_segments_that_are_each_others_nearest_are_not_contrasted() -> None:
    feature = normalize(torch.tensor([[1.0, 0.1, 0.0], [1.0, 0.0, 0.1], [0.0, 1.0, 0.4], [0.9, 0.5, 0.0]]))
    assert mutual_nearest(feature).tolist() == [0, 0, 2, 3]
    region = torch.tensor([0, 1])
    two = normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0]]))
    assert segment_contrast(two, two, region, 0.1).item() == pytest.approx(0, abs=1e-6)
    assert segment_contrast(two, two, region, 0.1, SegmentNegatives.OTHER_SEGMENTS).item() > 0.5


def test_without_a_segment_it_is_a_connected_zero() -> None:
    first, second = (view.requires_grad_() for view in views(4, 1))
    loss = segment_contrast(first, second, torch.full((4,), -1), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert first.grad is not None
    assert second.grad is not None
    assert not first.grad.any()
    assert not second.grad.any()


def test_a_segment_in_its_own_view_alone_does_not_suffice() -> None:
    """Two segments that each view tells apart, but the views do not agree which is which."""
    point = torch.eye(2, dtype=torch.float64).repeat_interleave(3, dim=0)
    region = torch.arange(2).repeat_interleave(3)
    others = SegmentNegatives.OTHER_SEGMENTS
    assert segment_contrast(point, point.flip(0), region, 0.1, others).item() > 9
    assert segment_contrast(point, point.flip(0), region, 0.1, others, SegmentPositives.BOTH_VIEWS).item() < 1

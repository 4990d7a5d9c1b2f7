"""Region pooling on drawn inputs, against its plain-torch twin in float64.

Drawn are sizes, strides, dtypes and how the ids lie: uniform, all one region, all different, mostly -1, sorted.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pc_ssl.ops import RegionPlan, region_gather, region_pool, region_pool_reference, region_softmax
from pc_ssl.ops.reference import region_gather_reference, region_softmax_reference

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
REDUCES = ("mean", "sum", "max", "min")


@st.composite
def regions(draw: st.DrawFn, max_points: int = 300) -> tuple[Tensor, int]:
    """Ids [N] and the number of regions."""
    points = draw(st.integers(0, max_points))
    num_regions = draw(st.integers(1, 60))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    how = draw(
        st.sampled_from(["uniform", "one region", "all different", "mostly outside", "sorted", "sorted after -1"])
    )
    if how == "all different":
        num_regions = max(num_regions, points)
        region = torch.randperm(num_regions, generator=generator)[:points]
    elif how == "one region":
        region = torch.full((points,), draw(st.integers(0, num_regions - 1)))
    else:
        region = torch.randint(0, num_regions, (points,), generator=generator)
        outside = {"uniform": 0.1, "mostly outside": 0.95, "sorted": 0.0, "sorted after -1": 0.3}[how]
        region[torch.rand(points, generator=generator) < outside] = -1
        if how.startswith("sorted"):
            region = region.sort().values
    region = region.to(draw(st.sampled_from([torch.int32, torch.int64])))
    if draw(st.booleans()):
        region = region.repeat_interleave(2)[::2]  # not contiguous
    return region, num_regions


@st.composite
def rows(draw: st.DrawFn, count: int, dtype: torch.dtype) -> Tensor:
    """[count, C] of small multiples of 1/8, so that maxima tie, in one of the layouts that callers have."""
    channels = draw(st.one_of(st.integers(0, 40), st.sampled_from([64, 100, 128, 256, 300, 600])))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def values(*shape: int) -> Tensor:
        return torch.randint(-64, 64, shape, generator=generator).to(dtype) / 8

    layout = draw(
        st.sampled_from(["contiguous", "channels first", "every second row", "some columns", "one row for all"])
    )
    if layout == "channels first":
        return values(channels, count).T
    if layout == "every second row":
        return values(2 * count, channels)[::2]
    if layout == "some columns":
        return values(count, channels + 3)[:, 1 : channels + 1]
    if layout == "one row for all":
        return values(1, channels).expand(count, channels)
    return values(count, channels)


def assert_rounded_once(result: Tensor, exact: Tensor, terms: int) -> None:
    """float32 and float64 may err by the additions of `terms` values below 8, half types by one rounding on top."""
    wide = torch.float64 if result.dtype == torch.float64 else torch.float32
    added = terms * 8 * torch.finfo(wide).eps
    rounding = 0 if result.dtype == wide else torch.finfo(result.dtype).eps / 2
    error = (result.double() - exact).abs()
    allowed = added + rounding * exact.abs() * (1 + 1e-6) + torch.finfo(result.dtype).smallest_normal
    assert (error <= allowed).all(), f"error {error.max():.3g}"


@settings(deadline=None, max_examples=150)
@given(data=st.data(), region_and_count=regions(), reduce=st.sampled_from(REDUCES), dtype=st.sampled_from(DTYPES))
def test_pooling_equals_the_reference(data, region_and_count, reduce, dtype):
    region, num_regions = region_and_count
    feature = data.draw(rows(len(region), dtype)).requires_grad_()
    plan = RegionPlan.build(region, num_regions) if data.draw(st.booleans()) else None
    exact_feature = feature.detach().double().requires_grad_()
    exact = region_pool_reference(exact_feature, region, num_regions, reduce)
    pooled = region_pool(feature, region, num_regions, reduce, plan)
    assert pooled.dtype == dtype
    assert_rounded_once(pooled.detach(), exact.detach(), len(region))

    grad = (torch.arange(pooled.numel()).reshape(pooled.shape) % 13 - 6).to(dtype)
    (of_feature,) = torch.autograd.grad(pooled, feature, grad)
    (of_exact,) = torch.autograd.grad(exact, exact_feature, grad.double(), allow_unused=True)
    assert of_feature.dtype == dtype
    assert_rounded_once(of_feature, torch.zeros_like(exact_feature) if of_exact is None else of_exact, 1)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), region_and_count=regions(), dtype=st.sampled_from(DTYPES))
def test_gathering_equals_the_reference_and_is_the_adjoint_of_the_sum(data, region_and_count, dtype):
    region, num_regions = region_and_count
    table = data.draw(rows(num_regions, dtype))
    assert torch.equal(region_gather(table, region), region_gather_reference(table, region))

    table = table.double().requires_grad_()
    feature = data.draw(rows(len(region), torch.float64))[:, : table.shape[1]]
    table_used = table[:, : feature.shape[1]]
    left = (region_pool(feature, region, num_regions, "sum") * table_used).sum()
    right = (feature * region_gather(table_used, region)).sum()
    torch.testing.assert_close(left, right)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), region_and_count=regions(max_points=100), dtype=st.sampled_from(DTYPES))
def test_softmax_equals_the_reference_with_gradients(data, region_and_count, dtype):
    region, num_regions = region_and_count
    score = data.draw(rows(len(region), dtype)).requires_grad_()
    exact_score = score.detach().double().requires_grad_()
    weight = region_softmax(score, region, num_regions)
    exact = region_softmax_reference(exact_score, region, num_regions)
    tolerance = {"rtol": 4 * torch.finfo(dtype).eps, "atol": 64 * torch.finfo(torch.float32).eps}
    if dtype == torch.float64:
        tolerance = {"rtol": 1e-12, "atol": 1e-14}
    torch.testing.assert_close(weight.double(), exact, **tolerance)
    if dtype in (torch.float32, torch.float64) and score.numel():
        grad = torch.randn(score.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        (of_score,) = torch.autograd.grad(weight, score, grad.to(dtype))
        (of_exact,) = torch.autograd.grad(exact, exact_score, grad)
        torch.testing.assert_close(of_score.double(), of_exact, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(region_and_count=regions())
def test_a_plan_sorts_the_points_stably(region_and_count):
    region, num_regions = region_and_count
    plan = RegionPlan.build(region, num_regions)
    counts = [(region == r).sum() for r in range(num_regions)]
    inside = plan.order[: plan.offsets[-1]].long()
    assert plan.counts.tolist() == counts
    assert plan.offsets.tolist() == [0, *torch.tensor(counts).cumsum(0).tolist()]
    assert torch.equal(inside, torch.where(region < 0, num_regions, region).sort(stable=True).indices[: len(inside)])
    assert torch.equal(plan.order.sort().values.long(), torch.arange(len(region)))


@settings(deadline=None, max_examples=60)
@given(data=st.data(), region_and_count=regions(), reduce=st.sampled_from(["max", "min"]))
def test_the_first_nan_of_a_region_wins_and_takes_the_gradient(data, region_and_count, reduce):
    region, num_regions = region_and_count
    feature = data.draw(rows(len(region), torch.float32)).clone()
    is_nan = torch.rand(feature.shape, generator=torch.Generator().manual_seed(len(region))) < 0.05
    feature[is_nan] = torch.nan
    exact = feature.double().requires_grad_()
    feature.requires_grad_()
    pooled = region_pool(feature, region, num_regions, reduce)
    expected = region_pool_reference(exact, region, num_regions, reduce)
    torch.testing.assert_close(pooled.double(), expected, equal_nan=True, rtol=0, atol=0)
    if len(region):
        (of_feature,) = torch.autograd.grad(pooled, feature, torch.ones_like(pooled))
        (of_exact,) = torch.autograd.grad(expected, exact, torch.ones_like(expected))
        assert torch.equal(of_feature.double(), of_exact)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_add_in_float32(dtype):
    feature = torch.ones(5000, 3, dtype=dtype)  # a half-precision accumulator would stop at 2048 or 256
    region = torch.zeros(5000, dtype=torch.int64)
    assert region_pool(feature, region, 1, "sum").tolist() == [[torch.tensor(5000.0).to(dtype).item()] * 3]
    assert region_pool(feature, region, 1, "mean").tolist() == [[1.0] * 3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_every_half_value_survives(dtype, reduce):
    feature = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype).reshape(-1, 64)
    pooled = region_pool(feature, torch.arange(len(feature)), len(feature), reduce)
    torch.testing.assert_close(pooled, feature, rtol=0, atol=0, equal_nan=True)

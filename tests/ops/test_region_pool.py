"""Region pooling against its plain-torch twin, six hand-made cases, and what torch asks of an op.

Oracles: the twin of `reference.py` in float64, values computed by hand, gradcheck, opcheck.
"""

import pytest
import torch
from torch import Tensor

from pc_ssl.ops import RegionPlan, region_gather, region_pool, region_pool_reference, region_softmax
from pc_ssl.ops.reference import region_gather_reference, region_softmax_reference

REDUCES = ("mean", "sum", "max", "min")

# region ids and number of regions; feature row i is (i + 1, -(i + 1)) unless a test says otherwise
CASES = {
    "every region used": ([1, 0, 1, 2], 3),
    "an empty region": ([0, 3, 3, 0, 3], 4),
    "points outside all regions": ([-1, 0, -1, 1], 2),
    "no point inside": ([-1, -1, -1], 2),
    "no point": ([], 3),
    "no region": ([-1, -1], 0),
}
case = pytest.mark.parametrize(("ids", "num_regions"), CASES.values(), ids=CASES.keys())


def rows(ids: list[int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    step = torch.arange(1, len(ids) + 1, dtype=dtype)
    return torch.stack([step, -step], dim=1).reshape(len(ids), 2), torch.tensor(ids, dtype=torch.int64)


def test_mean_sum_max_min_by_hand():
    feature, region = rows([0, 3, 3, 0, 3, -1])
    pooled = {reduce: region_pool(feature, region, 4, reduce)[:, 0].tolist() for reduce in REDUCES}
    assert pooled == {"mean": [2.5, 0, 0, 10 / 3], "sum": [5, 0, 0, 10], "max": [4, 0, 0, 5], "min": [1, 0, 0, 2]}


@case
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("with_plan", [False, True], ids=["ids", "plan"])
def test_equals_the_reference_with_gradients(ids, num_regions, reduce, with_plan):
    feature, region = rows(ids)
    feature.requires_grad_()
    plan = RegionPlan.build(region, num_regions) if with_plan else None
    expected = region_pool_reference(feature, region, num_regions, reduce)
    torch.testing.assert_close(region_pool(feature, region, num_regions, reduce, plan), expected)
    if len(ids):
        assert torch.autograd.gradcheck(lambda x: region_pool(x, region, num_regions, reduce, plan), feature)
        assert torch.autograd.gradgradcheck(lambda x: region_pool(x, region, num_regions, reduce, plan), feature)


@case
def test_opcheck(ids, num_regions):
    feature, region = rows(ids)
    feature.requires_grad_()
    per_region = torch.randn(num_regions, 2, dtype=torch.float64, requires_grad=True)
    plan = RegionPlan.build(region, num_regions)
    ops = torch.ops.pc_ssl
    torch.library.opcheck(ops.region_plan.default, (region, num_regions))
    for order, offsets in ((None, None), (plan.order, plan.offsets)):
        torch.library.opcheck(ops.region_sum.default, (feature, region, num_regions, True, order, offsets))
        torch.library.opcheck(ops.region_extremum.default, (feature, region, num_regions, False, True, order, offsets))
        torch.library.opcheck(ops.region_gather.default, (per_region, region, plan.counts, order, offsets))
    point = ops.region_extremum(feature.detach(), region, num_regions, True, True, None, None)[1]
    torch.library.opcheck(ops.region_extremum_grad.default, (per_region, point, region))


@case
def test_gather_and_softmax_equal_the_reference_with_gradients(ids, num_regions):
    score, region = rows(ids)
    per_region = torch.randn(num_regions, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(region_gather(per_region, region), region_gather_reference(per_region, region))
    expected = region_softmax_reference(score, region, num_regions)
    torch.testing.assert_close(region_softmax(score, region, num_regions), expected)
    if len(ids) and num_regions:
        score.requires_grad_()
        for function, argument in (
            (lambda x: region_gather(x, region), per_region),
            (lambda x: region_softmax(x, region, num_regions), score),
        ):
            assert torch.autograd.gradcheck(function, argument)
            assert torch.autograd.gradgradcheck(function, argument)


def test_ties_go_to_the_lowest_point_and_the_gradient_with_them():
    feature = torch.tensor([[2.0], [5.0], [5.0], [2.0]], requires_grad=True)
    region = torch.zeros(4, dtype=torch.int32)
    for reduce, expected in (("max", [0, 1, 0, 0]), ("min", [1, 0, 0, 0])):
        (grad,) = torch.autograd.grad(region_pool(feature, region, 1, reduce), feature, torch.ones(1, 1))
        assert grad[:, 0].tolist() == expected


def test_counts_tell_an_empty_region_from_a_region_of_zeros():
    region = torch.tensor([0, 0, 2, -1])
    assert region_pool(torch.zeros(4, 1), region, 3)[:, 0].tolist() == [0, 0, 0]
    assert RegionPlan.build(region, 3).counts.tolist() == [2, 0, 1]


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("with_plan", [False, True], ids=["ids", "plan"])
def test_compiles_without_graph_breaks(reduce, with_plan):
    region = torch.tensor([1, 0, -1, 1, 3])
    plan = RegionPlan.build(region, 4) if with_plan else None

    def attend(feature: Tensor) -> Tensor:
        pooled = region_pool(feature, region, 4, reduce, plan)
        return (region_gather(pooled, region, plan) * region_softmax(feature, region, 4, plan)).sum(dim=0)

    feature = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager", dynamic=True)
    results = [function(feature) for function in (attend, compiled)]
    torch.testing.assert_close(results[1], results[0])
    grads = [torch.autograd.grad(result.square().sum(), feature)[0] for result in results]
    torch.testing.assert_close(grads[1], grads[0])


@pytest.mark.parametrize("reduce", REDUCES)
def test_autocast_pools_in_float32_and_gathers_as_it_is(reduce):
    feature = torch.randn(6, 2, dtype=torch.bfloat16, requires_grad=True)
    region = torch.tensor([0, 1, 0, 1, -1, 0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = region_pool(feature, region, 2, reduce)
        assert pooled.dtype == torch.float32
        assert region_gather(pooled.bfloat16(), region).dtype == torch.bfloat16
    torch.testing.assert_close(pooled, region_pool(feature.float(), region, 2, reduce))
    pooled.sum().backward()
    assert feature.grad.dtype == torch.bfloat16


FEATURE, REGION = torch.zeros(5, 3), torch.tensor([0, 1, -1, 4, 1])
MISTAKES = {
    "id out of range": ((FEATURE, REGION, 3), r"region\[3\] is 4, expected -1 \(no region\) or 0 to 2"),
    "sorted id out of range": (
        (FEATURE, REGION.sort().values, 3),
        r"region\[4\] is 4, expected -1 \(no region\) or 0 to 2",
    ),
    "lengths": ((FEATURE, REGION[:4], 5), "feature has 5 rows but region 4 ids"),
    "feature dtype": ((FEATURE.int(), REGION, 5), "feature must be float32, float64, bfloat16 or float16, got Int"),
    "region dtype": ((FEATURE, REGION.float(), 5), "region must be int32 or int64, got Float"),
    "id below -1": ((FEATURE, REGION - 1, 5), r"region\[2\] is -2, expected -1 \(no region\) or 0 to 4"),
    "any id but -1 where there is no region": ((FEATURE, REGION, 0), r"region\[0\] is 0, expected -1 \(no region\)"),
    "negative number": ((FEATURE, REGION, -1), "num_regions must not be negative, got -1"),
    "feature dimensions": ((FEATURE[0], REGION, 5), r"feature must have two dimensions, rows and channels, got \[3\]"),
    "region dimensions": ((FEATURE, REGION[:, None], 5), r"region must be \[N\], got \[5, 1\]"),
    "devices": ((FEATURE, REGION.to("meta"), 5), "the features are on cpu but region on meta"),
    "reduce": ((FEATURE, REGION, 5, "median"), 'reduce must be "mean", "sum", "max" or "min", got \'median\''),
    "plan of other regions": ((FEATURE, REGION, 5, "sum", RegionPlan.build(REGION, 6)), r"offsets must be Long \[6\]"),
    "plan of other points": (
        (FEATURE, REGION, 5, "sum", RegionPlan.build(REGION[:4], 5)),
        r"order must be Int \[5\]",
    ),
    "too many points": (
        (torch.zeros(1, 1).expand(2**31, 1), torch.zeros(1, dtype=torch.int32).expand(2**31), 1),
        "takes at most 2147483647 points and as many regions, got 2147483648 points and 1 regions",
    ),
    "too many regions": ((FEATURE, REGION, 2**31), "got 5 points and 2147483648 regions"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        region_pool(*arguments)


def test_mistakes_are_named_by_the_plan_the_gather_and_their_derivatives():
    with pytest.raises(ValueError, match=r"region\[3\] is 4, expected -1 \(no region\) or 0 to 2"):
        RegionPlan.build(REGION, 3)
    with pytest.raises(ValueError, match=r"region\[3\] is 4, expected -1 \(no region\) or 0 to 2"):
        region_gather(torch.zeros(3, 2), REGION)
    with pytest.raises(ValueError, match="num_regions must not be negative, got -2"):
        RegionPlan.build(REGION, -2)
    with pytest.raises(ValueError, match="point must be int32 of the shape of grad"):
        torch.ops.pc_ssl.region_extremum_grad(torch.zeros(5, 2), torch.zeros(4, 2, dtype=torch.int32), REGION)


@pytest.mark.parametrize("reduce", REDUCES)
def test_no_points_no_regions_no_channels(reduce):
    no_ids = torch.empty(0, dtype=torch.int64)
    assert region_pool(torch.empty(0, 3), no_ids, 0, reduce).shape == (0, 3)
    assert torch.equal(region_pool(torch.empty(0, 3), no_ids, 2, reduce), torch.zeros(2, 3))
    assert region_pool(torch.ones(4, 3), torch.full((4,), -1), 0, reduce).shape == (0, 3)
    assert region_pool(torch.ones(5, 0), REGION, 5, reduce).shape == (5, 0)


@pytest.mark.slow
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_more_elements_than_an_int32_counts(reduce):
    points, channels = 2**31 // 1024 + 8, 1024
    feature = torch.zeros(points, channels, dtype=torch.bfloat16)  # pages of zeros, which take no memory
    feature[-3:] = torch.tensor([[1.0], [2.0], [4.0]])
    region = torch.zeros(points, dtype=torch.int32)
    region[-3:] = 1
    pooled = region_pool(feature, region, 2, reduce)
    assert pooled[0].eq(0).all()
    assert pooled[1].float().sub(7 / 3 if reduce == "mean" else 4).abs().max() < 0.01

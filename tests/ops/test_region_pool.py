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
    "no point inside": ([-1, -7, -1], 2),
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
        if reduce in ("mean", "sum"):
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


@case
def test_gather_and_softmax_equal_the_reference(ids, num_regions):
    score, region = rows(ids)
    per_region = torch.randn(num_regions, 2, dtype=torch.float64)
    torch.testing.assert_close(region_gather(per_region, region), region_gather_reference(per_region, region))
    expected = region_softmax_reference(score, region, num_regions)
    torch.testing.assert_close(region_softmax(score, region, num_regions), expected)

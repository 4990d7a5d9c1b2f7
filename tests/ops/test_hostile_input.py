"""Ids, plans, strides, boxes and scores of any value: a result that is right, or a ValueError; never foreign memory.

Oracles: the plain-torch twins, and the definition of what is wrong. `make test-asan` runs this on sanitized kernels.
"""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pc_ssl.ops import (
    RegionPlan,
    circle_nms,
    region_gather,
    region_pool,
    region_pool_reference,
    region_softmax,
    rotated_iou_3d,
    rotated_iou_bev,
    rotated_nms,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
REDUCES = ("mean", "sum", "max", "min")
USES = {
    **{name: lambda f, r, n, p=None, name=name: region_pool(f, r, n, name, p) for name in REDUCES},
    "softmax": lambda f, r, n, p=None: region_softmax(f, r, n, p),
    "gather": lambda f, r, n, p=None: region_gather(torch.ones(n, f.shape[1]), r, p),
}


def strided(draw: st.DrawFn, values: Tensor) -> Tensor:
    """The same values [N] or [N, C] in one of the layouts that torch has."""
    layout = draw(st.sampled_from(["contiguous", "every second", "reversed axes", "offset"]))
    if layout == "every second":
        return values.repeat_interleave(2, dim=0)[::2]
    if layout == "reversed axes":
        return values.t().contiguous().t() if values.ndim == 2 else values.unsqueeze(1).repeat(1, 3)[:, 1]
    if layout == "offset":
        return torch.cat([values[:1], values])[min(1, len(values)) :]
    return values


@st.composite
def clouds(draw: st.DrawFn, ids: st.SearchStrategy[int] | None = None) -> tuple[Tensor, Tensor, int]:
    """feature [N, C], region [N] that is sound unless `ids` are drawn into places of it, num_regions."""
    points, num_regions = draw(st.integers(0, 40)), draw(st.integers(0, 12))
    region = torch.tensor(draw(st.lists(st.integers(-1, num_regions - 1), min_size=points, max_size=points))).long()
    if draw(st.booleans()):
        region = region.sort().values
    if ids is not None and points:
        for at, bad in draw(st.lists(st.tuples(st.integers(0, points - 1), ids), min_size=1, max_size=3)):
            region[at] = bad
    channels = draw(st.sampled_from([0, 1, 5, 16, 70]))
    feature = torch.arange(points * channels, dtype=torch.float32).reshape(points, channels) % 17 - 8
    return strided(draw, feature), strided(draw, region), num_regions


def first_bad(region: Tensor, num_regions: int) -> int | None:
    return next((k for k, id in enumerate(region.tolist()) if id < -1 or id >= num_regions), None)


@pytest.mark.parametrize("bad", [4, 100, 10**6, 2**40, 2**63 - 1, -2, -(2**63)])
@pytest.mark.parametrize("use", USES)
def test_one_wrong_id_among_ascending_ones_is_named(use, bad):
    region = torch.zeros(10, dtype=torch.int64)
    region[1], region[2] = 1, bad
    with pytest.raises(ValueError, match=rf"region\[2\] is {bad}, expected -1 .* 0 to 2"):
        USES[use](torch.ones(10, 4), region, 3)


@pytest.mark.parametrize("use", USES)
@settings(deadline=None, max_examples=80)
@given(cloud=clouds(ids=st.one_of(INT64, st.integers(-3, 15))))
def test_any_int64_at_any_place_is_pooled_or_named(use, cloud):
    feature, region, num_regions = cloud
    bad = first_bad(region, num_regions)
    if bad is not None:
        with pytest.raises(ValueError, match=rf"region\[{bad}\] is {int(region[bad])}, expected -1"):
            USES[use](feature, region, num_regions)
        with pytest.raises(ValueError, match=rf"region\[{bad}\] is {int(region[bad])}, expected -1"):
            RegionPlan.build(region, num_regions)
    elif use in REDUCES:
        exact = region_pool_reference(feature, region, num_regions, use)
        torch.testing.assert_close(USES[use](feature, region, num_regions), exact)


def is_plan(order: list[int], offsets: list[int]) -> bool:
    ascending = all(a <= b for a, b in pairwise(offsets))
    return offsets[:1] == [0] and ascending and offsets[-1] <= len(order) and sorted(order) == list(range(len(order)))


@settings(deadline=None, max_examples=150)
@given(data=st.data(), cloud=clouds())
def test_any_plan_by_hand_is_a_plan_or_refused(data, cloud):
    _, region, num_regions = cloud
    plan = RegionPlan.build(region, num_regions)
    order, offsets = plan.order.tolist(), plan.offsets.tolist()
    for entries, value in ((order, INT32), (offsets, INT64)):
        for _ in range(data.draw(st.integers(0, 2)) if entries else 0):
            at = data.draw(st.integers(0, len(entries) - 1))
            entries[at] = data.draw(st.one_of(st.integers(-1, len(order) + 1), value))
    tensors = torch.tensor(order, dtype=torch.int32), torch.tensor(offsets, dtype=torch.int64)
    if is_plan(order, offsets):
        assert RegionPlan(*tensors).order.tolist() == order
    else:
        with pytest.raises(ValueError, match="the plan's o"):
            RegionPlan(*tensors)


@pytest.mark.parametrize("use", REDUCES)
@settings(deadline=None, max_examples=80)
@given(data=st.data(), cloud=clouds())
def test_a_plan_written_to_afterwards_never_leads_outside(use, data, cloud):
    feature, region, num_regions = cloud
    plan = RegionPlan.build(region, num_regions)
    tensor = data.draw(st.sampled_from([plan.offsets, plan.order] if len(region) else [plan.offsets]))
    at = data.draw(st.integers(0, len(tensor) - 1))
    tensor[at] = data.draw(INT32 if tensor is plan.order else INT64)
    bounds = [*plan.offsets.tolist(), len(region)]
    sound = bounds[0] == 0 and bounds == sorted(bounds) and all(0 <= i < len(region) for i in plan.order.tolist())
    if not sound:
        with pytest.raises(ValueError, match="the plan's o"):
            USES[use](feature, region, num_regions, plan)
        return
    try:
        pooled = USES[use](feature, region, num_regions, plan)
    except ValueError as error:
        assert "of other ids" in str(error)  # noqa: PT017  (an answer is right as well)
    else:
        assert pooled.isfinite().all()


@pytest.mark.parametrize("use", USES)
@settings(deadline=None, max_examples=60)
@given(cloud=clouds(), other=clouds())
def test_a_plan_of_another_cloud_is_refused_or_fits(use, cloud, other):
    feature, region, num_regions = cloud
    _, other_region, other_regions = other
    plan = RegionPlan.build(other_region, other_regions)
    if torch.equal(region, other_region) and num_regions == other_regions:
        USES[use](feature, region, num_regions, plan)
    elif len(region) != len(other_region) or num_regions != other_regions:
        with pytest.raises(ValueError, match=r"the plan's (order|offsets) must be"):
            USES[use](feature, region, num_regions, plan)


@pytest.mark.parametrize("use", REDUCES)
def test_a_plan_of_another_cloud_of_the_same_size_is_named(use):
    region = torch.tensor([0, 1, 1, 2, -1])
    plan = RegionPlan.build(torch.tensor([1, 0, 1, 2, -1]), 3)
    with pytest.raises(ValueError, match=r"of other ids: its order\[0\] is point 1, in region 0 .* region\[1\] is 1"):
        USES[use](torch.ones(5, 2), region, 3, plan)


def test_a_plan_cannot_be_reassigned():
    plan = RegionPlan.build(torch.tensor([0, 1]), 2)
    with pytest.raises(AttributeError):
        plan.order = plan.order + 10**6


@pytest.mark.parametrize("use", USES)
def test_meta_tensors_give_shapes(use):
    feature, region = torch.ones(6, 4, device="meta"), torch.zeros(6, dtype=torch.int64, device="meta")
    plan = RegionPlan.build(region, 3)
    assert plan.counts.shape == (3,)
    assert RegionPlan(plan.order, plan.offsets).counts.shape == (3,)
    with torch.device("meta"):
        results = [USES[use](feature, region, 3, p) for p in (None, plan)]
    expected = (3, 4) if use in REDUCES else (6, 4)
    assert [(result.shape, result.device.type) for result in results] == [(expected, "meta")] * 2


@pytest.mark.parametrize("use", ["sum", "max"])
def test_meta_tensors_give_shapes_of_gradients_and_errors(use):
    feature = torch.ones(6, 4, device="meta", requires_grad=True)
    region = torch.zeros(6, dtype=torch.int64, device="meta")
    USES[use](feature, region, 3).sum().backward()
    assert feature.grad.shape == (6, 4)
    with pytest.raises(ValueError, match="feature has 6 rows but region 5 ids"):
        USES[use](feature, region[:5], 3)


NUMBER = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, -1.0, float("nan"), float("inf"), -float("inf")]))


@st.composite
def boxes(draw: st.DrawFn) -> Tensor:
    """[N, 7 to 9] of any numbers, in any layout."""
    number, columns = draw(st.integers(0, 12)), draw(st.integers(7, 9))
    rows = draw(st.lists(st.lists(NUMBER, min_size=columns, max_size=columns), min_size=number, max_size=number))
    values = torch.tensor(rows, dtype=torch.float64).reshape(number, columns)
    return strided(draw, values.to(draw(st.sampled_from([torch.float32, torch.float64]))))


@settings(deadline=None, max_examples=150)
@given(a=boxes(), b=boxes())
def test_overlaps_of_any_boxes_are_shares(a, b):
    b = b.to(a.dtype)
    seen_from_above = [0, 1, 3, 4, 6]
    for iou, columns in ((rotated_iou_bev(a, b), seen_from_above), (rotated_iou_3d(a, b), list(range(7)))):
        assert iou.shape == (len(a), len(b))
        assert ((iou >= 0) & (iou <= 1)).all()
        assert (iou[~a[:, columns].isfinite().all(1)] == 0).all()
        assert (iou[:, ~b[:, columns].isfinite().all(1)] == 0).all()


@settings(deadline=None, max_examples=150)
@given(data=st.data(), box=boxes())
def test_suppression_of_any_boxes_and_scores_keeps_each_once(data, box):
    scores = torch.tensor(data.draw(st.lists(NUMBER, min_size=len(box), max_size=len(box))), dtype=box.dtype)
    classes = torch.tensor(data.draw(st.lists(INT64, min_size=len(box), max_size=len(box))), dtype=torch.int64)
    most = data.draw(st.one_of(st.none(), st.integers(0, 2**40)))
    distance = data.draw(st.floats(0, 1e30))
    for groups in (None, classes):
        for kept in (rotated_nms(box, scores, 0.3, groups, most), circle_nms(box, scores, distance, groups, most)):
            assert len(set(kept.tolist())) == len(kept) <= (len(box) if most is None else most)
            assert all(0 <= k < len(box) for k in kept.tolist())
            if len(box) and most != 0:
                best = scores.masked_fill(scores.isnan(), -torch.inf).argsort(descending=True, stable=True)[0]
                assert int(kept[0]) == int(best)

"""The CUDA kernels' own source, run on the host: every thread of a block, with barriers, shuffles and drawn schedules.

Oracles: numpy for plans and extrema, `region_pool_reference` in float64 for means and sums, indexing for gathers. No
GPU is used; test_region_pool_cuda_build.py compiles the same source for GPUs.
"""

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch
from cuda_on_host import ELEMENT, Library, Output, integer, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pc_ssl.ops import region_pool, region_pool_reference
from pc_ssl.ops.reference import region_gather_reference, region_softmax_reference

ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-14, torch.float16: 1e-3, torch.bfloat16: 8e-3}  # of one result


class Ids(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("wide", ctypes.c_bool), ("size", ctypes.c_int64))


class Plan(ctypes.Structure):
    _fields_ = (
        ("order", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("num_points", ctypes.c_int64),
        ("num_regions", ctypes.c_int64),
    )


class Gpu(Library):
    """cuda/launch.h on the host."""

    def plan(self, region: Tensor, num_regions: int) -> tuple[Tensor, Tensor, int]:
        """order, offsets and the first bad position, or -1."""
        order, offsets = Output((len(region),), torch.int32), Output((num_regions + 1,), torch.int64)
        first_bad = Output((1,), torch.int32)
        self.call("plan", ids(region), integer(num_regions), order.pointer, offsets.pointer, first_bad.pointer)
        return order.checked(), offsets.checked(), int(first_bad.checked())

    def pool(self, feature: Tensor, region: Tensor, num_regions: int, reduce: str) -> Tensor:
        if reduce in ("max", "min"):
            return self.extremum(feature, region, num_regions, reduce)[0]
        order, offsets, _ = self.plan(region, num_regions)
        pooled = Output((num_regions, feature.shape[1]), feature.dtype)
        plan = Plan(order.data_ptr(), offsets.data_ptr(), len(region), num_regions)
        self.call("sum", plan, rows(feature), ctypes.c_bool(reduce == "mean"), pooled.pointer)
        return pooled.checked()

    def pool_by_plan(self, feature: Tensor, order: Tensor, offsets: Tensor, num_regions: int, reduce: str) -> Tensor:
        """Sum or maximum, with a plan of the caller's."""
        plan = Plan(order.data_ptr(), offsets.data_ptr(), len(order), num_regions)
        pooled = Output((num_regions, feature.shape[1]), feature.dtype)
        if reduce == "sum":
            self.call("sum", plan, rows(feature), ctypes.c_bool(False), pooled.pointer)
        else:
            self.call("extremum", plan, rows(feature), ctypes.c_bool(True), pooled.pointer, None)
        return pooled.checked()

    def extremum(self, feature: Tensor, region: Tensor, num_regions: int, reduce: str) -> tuple[Tensor, Tensor]:
        order, offsets, _ = self.plan(region, num_regions)
        plan = Plan(order.data_ptr(), offsets.data_ptr(), len(region), num_regions)
        shape = (num_regions, feature.shape[1])
        pooled, point, alone = Output(shape, feature.dtype), Output(shape, torch.int32), Output(shape, feature.dtype)
        largest = ctypes.c_bool(reduce == "max")
        self.call("extremum", plan, rows(feature), largest, pooled.pointer, point.pointer)
        self.call("extremum", plan, rows(feature), largest, alone.pointer, None)
        torch.testing.assert_close(alone.checked(), pooled.checked(), rtol=0, atol=0, equal_nan=True)
        return pooled.checked(), point.checked()

    def gather(self, table: Tensor, region: Tensor, counts: Tensor | None = None) -> Tensor:
        out = Output((len(region), table.shape[1]), table.dtype)
        divisor = None if counts is None else ctypes.c_void_p(counts.data_ptr())
        self.call("gather", rows(table), ids(region), integer(len(table)), divisor, out.pointer)
        return out.checked()

    def extremum_grad(self, grad: Tensor, point: Tensor, region: Tensor) -> Tensor:
        out = Output((len(region), grad.shape[1]), grad.dtype)
        points = ctypes.c_void_p(point.data_ptr())
        self.call("extremum_grad", rows(grad), points, ids(region), integer(len(grad)), out.pointer)
        return out.checked()


def ids(region: Tensor) -> Ids:
    return Ids(region.data_ptr(), region.dtype == torch.int64, len(region))


@pytest.fixture(scope="module")
def gpu(cuda_library: Path) -> Gpu:
    return Gpu(cuda_library)


def key_of(region: Tensor, num_regions: int) -> np.ndarray:
    return np.where(region.numpy() < 0, num_regions, region.numpy())


def extremum_oracle(feature: Tensor, region: Tensor, num_regions: int, reduce: str) -> tuple[np.ndarray, np.ndarray]:
    """Value and lowest point of each region and channel; a NaN wins. 0 and -1 where there is no point."""
    wide, own = feature.double().numpy(), region.numpy()
    value = np.zeros((num_regions, feature.shape[1]))
    point = np.full(value.shape, -1)
    for r in range(num_regions):
        inside = np.flatnonzero(own == r)
        if len(inside):
            first = wide[inside].argmax(0) if reduce == "max" else wide[inside].argmin(0)  # of the first, NaN first
            point[r] = inside[first]
            value[r] = np.take_along_axis(wide, inside[first][None], 0)[0]
    return value, point


REGIONS = {
    "random": lambda draw, n, r: draw.integers(0, r, n),
    "all in one region": lambda draw, n, r: np.full(n, r // 2),
    "each its own": lambda draw, n, r: draw.permutation(np.arange(n) % r),
    "mostly outside": lambda draw, n, r: np.where(draw.random(n) < 0.95, -1, draw.integers(0, r, n)),
    "sorted": lambda draw, n, r: np.sort(draw.integers(-1, r, n)),
    "a few huge, many tiny": lambda draw, n, r: np.where(
        draw.random(n) < 0.7, draw.integers(0, min(r, 2), n), draw.integers(-1, r, n)
    ),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """feature (whole numbers of small range, so that ties abound; any strides), region, num_regions."""
    n, r, channels = draw(st.integers(0, 1500)), draw(st.integers(1, 1500)), draw(st.integers(0, 70))
    dtype, id_dtype = draw(st.sampled_from(list(ELEMENT))), draw(st.sampled_from([torch.int32, torch.int64]))
    padding, first = draw(st.sampled_from([0, 0, 8, 3])), draw(st.sampled_from([0, 0, 1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    region = torch.from_numpy(REGIONS[draw(st.sampled_from(list(REGIONS)))](rng, n, r)).to(id_dtype)
    storage = torch.full((first + n * (channels + padding),), torch.nan, dtype=dtype)  # a stray read would show
    feature = storage[first:].view(n, channels + padding)[:, :channels]
    feature.copy_(torch.from_numpy(rng.integers(-8, 8, (n, channels)).astype(np.float64)))
    return feature, region, r


def over(examples: int) -> settings:
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, suppress_health_check=health)


@over(40)
@given(case=cases(), seed=st.integers(0, 99))
def test_plan_is_the_stable_sort(gpu, case, seed):
    _, region, r = case
    gpu.schedule(seed)
    order, offsets, first_bad = gpu.plan(region, r)
    key = key_of(region, r)
    assert first_bad == -1
    np.testing.assert_array_equal(order.numpy(), np.argsort(key, kind="stable"))
    np.testing.assert_array_equal(offsets.numpy(), np.searchsorted(np.sort(key), np.arange(r + 1)))


@pytest.mark.parametrize("num_regions", [0, 1, 255, 256, 40_000, 17_000_000])
def test_plan_over_many_tiles_and_passes(gpu, num_regions):
    region = torch.from_numpy(np.random.default_rng(num_regions).integers(-1, num_regions, 9000))
    order, offsets, first_bad = gpu.plan(region, num_regions)
    key = key_of(region, num_regions)
    assert first_bad == -1
    np.testing.assert_array_equal(order.numpy(), np.argsort(key, kind="stable"))
    np.testing.assert_array_equal(offsets.diff().numpy(), np.bincount(key, minlength=num_regions + 1)[:num_regions])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_plan_reports_the_first_id_out_of_range(gpu, dtype):
    region = torch.zeros(5000, dtype=dtype)
    region[[4321, 2777, 4999]] = torch.tensor([7, torch.iinfo(dtype).max, 8], dtype=dtype)
    region[100] = -1
    assert gpu.plan(region, 7)[2] == 2777
    assert gpu.plan(region[:2777], 7)[2] == -1
    for below in (-2, torch.iinfo(dtype).min):
        region[1234] = below
        assert gpu.plan(region, 7)[2] == 1234


@over(80)
@given(case=cases(), reduce=st.sampled_from(["mean", "sum"]), seed=st.integers(0, 99))
def test_mean_and_sum_equal_the_reference(gpu, case, reduce, seed):
    feature, region, r = case
    gpu.schedule(seed)
    pooled = gpu.pool(feature, region, r, reduce)
    expected = region_pool_reference(feature.double(), region, r, reduce).to(feature.dtype)
    exact = reduce == "sum"  # sums of small whole numbers
    rounding = 0 if exact else ROUNDING[feature.dtype]
    torch.testing.assert_close(pooled, expected, rtol=rounding, atol=0)


@pytest.mark.parametrize("dtype", list(ELEMENT))
@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_regions_of_up_to_32_points_have_the_bits_of_the_cpu(gpu, dtype, reduce):
    rng = np.random.default_rng(4)
    region = torch.from_numpy(rng.permutation(np.repeat(np.arange(64) // 2, rng.integers(0, 17, 64))))
    feature = torch.from_numpy(rng.normal(size=(len(region), 24))).to(dtype)
    assert torch.equal(gpu.pool(feature, region, 33, reduce), region_pool(feature, region, 33, reduce))


@over(80)
@given(case=cases(), reduce=st.sampled_from(["max", "min"]), with_nan=st.booleans(), seed=st.integers(0, 99))
def test_max_and_min_with_their_points_equal_the_oracle(gpu, case, reduce, with_nan, seed):
    feature, region, r = case
    gpu.schedule(seed)
    if with_nan:
        feature[feature == 3] = torch.nan
    pooled, point = gpu.extremum(feature, region, r, reduce)
    value, first = extremum_oracle(feature, region, r, reduce)
    np.testing.assert_array_equal(pooled.double().numpy(), value)
    np.testing.assert_array_equal(point.numpy(), first)


@over(50)
@given(case=cases(), seed=st.integers(0, 99), mean=st.booleans())
def test_gather_is_the_adjoint(gpu, case, seed, mean):
    feature, region, r = case
    gpu.schedule(seed)
    table = torch.randn(r, feature.shape[1], dtype=torch.float64).to(feature.dtype)
    counts = torch.from_numpy(np.bincount(key_of(region, r), minlength=r + 1)[:r].astype(np.int64))
    wide = table.double() if table.dtype == torch.float64 else table.float()
    divided = (wide / counts.clamp(min=1).unsqueeze(1)).to(table.dtype) if mean else table
    got = gpu.gather(table, region, counts if mean else None)
    torch.testing.assert_close(got, region_gather_reference(divided, region), rtol=0, atol=0)


@over(50)
@given(case=cases(), seed=st.integers(0, 99))
def test_extremum_gradient_goes_to_the_named_point_alone(gpu, case, seed):
    feature, region, r = case
    gpu.schedule(seed)
    grad = torch.randn(r, feature.shape[1], dtype=torch.float64).to(feature.dtype)
    point = torch.from_numpy(extremum_oracle(feature, region, r, "max")[1].astype(np.int32))
    expected = torch.zeros(feature.shape, dtype=feature.dtype)
    for channel in range(feature.shape[1]):
        named = point[:, channel] >= 0
        expected[point[named, channel].long(), channel] = grad[named, channel]
    torch.testing.assert_close(gpu.extremum_grad(grad, point, region), expected, rtol=0, atol=0)


@over(20)
@given(case=cases())
def test_softmax_made_of_the_kernels_equals_the_reference(gpu, case):
    score, region, r = case
    score = score.double().contiguous()
    largest = gpu.gather(gpu.pool(score, region, r, "max"), region)
    outside = (region < 0).unsqueeze(1)
    weight = (score - largest).masked_fill(outside, -torch.inf).exp()
    total = gpu.gather(gpu.pool(weight, region, r, "sum"), region)
    got = weight / total.masked_fill(outside, 1)
    torch.testing.assert_close(got, region_softmax_reference(score, region, r), rtol=1e-12, atol=0)


@pytest.mark.parametrize("bad", [3, -2, 2**40])
def test_gather_stops_at_an_id_out_of_range(gpu, bad):
    with pytest.raises(RuntimeError, match="region id out of range"):
        gpu.gather(torch.zeros(3, 4), torch.tensor([0, 2, bad]))


@over(60)
@given(case=cases(), reduce=st.sampled_from(["sum", "max"]), seed=st.integers(0, 99), data=st.data())
def test_a_damaged_plan_stops_the_kernels_or_reads_rows_of_the_features_alone(gpu, case, reduce, seed, data):
    feature, region, r = case
    order, offsets, _ = gpu.plan(region, r)
    damaged = data.draw(st.sampled_from([offsets, order] if len(order) else [offsets]))
    bad = data.draw(st.integers(torch.iinfo(damaged.dtype).min, torch.iinfo(damaged.dtype).max))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = bad
    gpu.schedule(seed)
    try:
        pooled = gpu.pool_by_plan(feature, order, offsets, r, reduce)
    except RuntimeError as failure:
        assert "the plan's o" in str(failure)  # noqa: PT017  (its order or its offsets; no failure is right as well)
    else:
        assert not pooled.isnan().any()  # what is around the features is NaN


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_chunks_of_a_huge_region_grow_and_still_add_up(gpu, reduce):
    n = 150_000  # above kChunk * kMaxChunks
    feature = torch.from_numpy(np.random.default_rng(3).normal(size=(n, 4)))
    region = torch.ones(n, dtype=torch.int32)
    region[::1000] = 0
    pooled = gpu.pool(feature, region, 3, reduce)
    inside = [feature[region == r] for r in (0, 1)]
    expected = torch.stack([x.mean(0) if reduce == "mean" else x.amax(0) for x in inside] + [torch.zeros(4)])
    torch.testing.assert_close(pooled, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dtype", list(ELEMENT))
def test_ten_schedules_give_the_same_bits(gpu, dtype):
    rng = np.random.default_rng(5)
    region = torch.from_numpy(np.where(rng.random(4000) < 0.5, 0, rng.integers(-1, 60, 4000)))
    feature = torch.from_numpy(rng.normal(size=(4000, 24))).to(dtype)
    results = []
    for seed in range(10):
        gpu.schedule(seed)
        results.append([gpu.pool(feature, region, 60, reduce) for reduce in ("mean", "sum", "max", "min")])
    assert all(torch.equal(a, b) for result in results[1:] for a, b in zip(results[0], result, strict=True))


def test_a_region_does_not_feel_its_neighbours(gpu):
    rng = np.random.default_rng(6)
    feature = torch.from_numpy(rng.normal(size=(3000, 8))).float()
    region = torch.from_numpy(rng.integers(0, 4, 3000))
    alone = torch.where(region == 2, 0, -1)
    moved = torch.where(region == 2, 50, torch.from_numpy(rng.integers(0, 50, 3000)))
    expected = gpu.pool(feature, alone, 1, "sum")[0]
    assert torch.equal(gpu.pool(feature, region, 4, "sum")[2], expected)
    assert torch.equal(gpu.pool(feature, moved, 51, "sum")[50], expected)


@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_offsets_that_begin_beyond_the_points_stop_the_kernels(gpu, reduce):
    region = torch.arange(1000) % 70
    order, offsets, _ = gpu.plan(region, 70)
    offsets[0] = 2**40
    with pytest.raises(RuntimeError, match="the plan's offsets"):
        gpu.pool_by_plan(torch.ones(1000, 3), order, offsets, 70, reduce)

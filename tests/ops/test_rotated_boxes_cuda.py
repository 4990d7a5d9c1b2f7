"""Turned boxes by the CUDA kernels' own source, run on the host: every thread, with barriers and drawn schedules.

Oracles: the ops on the CPU, one after the other; formulas for boxes along the axes. No GPU is used.
"""

import ctypes
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from cuda_on_host import Library, Output, integer, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pc_ssl.ops import rotated_iou_3d, rotated_iou_bev

OPS = torch.ops.pc_ssl
ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-13}  # between instruction sets, and between their sines
SIZES = (0, 1, 63, 64, 65, 1000)
PANEL = 4096  # kPanel


class Gpu(Library):
    """cuda/rotated_launch.h on the host."""

    def iou(self, a: Tensor, b: Tensor, in_3d: bool) -> Tensor:
        out = Output((len(a), len(b)), a.dtype)
        self.call("rotated_iou", rows(a), integer(len(a)), rows(b), integer(len(b)), ctypes.c_bool(in_3d), out.pointer)
        return out.checked()

    def rotated_nms(self, box: Tensor, group: Tensor | None, threshold: float, max_kept: int | None = None) -> Tensor:
        kept = Output((len(box),), torch.int8)
        most = integer(len(box) if max_kept is None else max_kept)
        given = (rows(box), integer(len(box)), pointer(group), ctypes.c_double(threshold), most)
        self.call("rotated_nms", *given, kept.pointer)
        return as_bool(kept)

    def circle_nms(self, center: Tensor, squared: Tensor, group: Tensor | None, max_kept: int | None = None) -> Tensor:
        kept = Output((len(center),), torch.int8)
        most = integer(len(center) if max_kept is None else max_kept)
        given = (rows(center), integer(len(center)), pointer(squared), pointer(group), most)
        self.call("circle_nms", *given, kept.pointer)
        return as_bool(kept)


def pointer(values: Tensor | None) -> ctypes.c_void_p | None:
    return None if values is None else ctypes.c_void_p(values.data_ptr())


def as_bool(kept: Output) -> Tensor:
    value = kept.checked()
    assert ((value == 0) | (value == 1)).all()  # a byte of a bool
    return value.bool()


@pytest.fixture(scope="module")
def gpu(cuda_library: Path) -> Gpu:
    return Gpu(cuda_library)


def drawn(rng: np.random.Generator, number: int, span: float) -> np.ndarray:
    """[number, 9] of any size and turn, some turned many times over."""
    box = rng.uniform(-1, 1, (number, 9))
    box[:, :3] *= span / 2
    box[:, 3:6] = np.exp(rng.uniform(-2, 2, (number, 3)))
    box[:, 6] *= np.where(rng.random(number) < 0.1, 1000, 7)
    return box


def touching(rng: np.random.Generator, number: int, span: float) -> np.ndarray:
    """Corners, sides and whole boxes coincide; turns are of 45 degrees."""
    box = rng.uniform(-1, 1, (number, 9))
    box[:, :3] = rng.integers(-int(span / 3) - 1, int(span / 3) + 2, (number, 3))
    box[:, 3:6] = rng.integers(1, 4, (number, 3))
    box[:, 6] = rng.integers(-8, 9, number) * math.pi / 4
    return box


def identical(rng: np.random.Generator, number: int, span: float) -> np.ndarray:
    return drawn(rng, 3, span)[rng.integers(0, 3, number)]


def degenerate(rng: np.random.Generator, number: int, span: float) -> np.ndarray:
    """Every third box has no extent, a negative one, or a number that is not finite."""
    box = touching(rng, number, span)
    bad = rng.random(number) < 1 / 3
    column = rng.choice([0, 1, 2, 3, 4, 5, 6], number)
    value = np.where(
        column >= 3, rng.choice([0, -1, 1e-30, np.nan, np.inf], number), rng.choice([np.nan, -np.inf], number)
    )
    box[bad, column[bad]] = value[bad]
    return box


KINDS = (drawn, touching, identical, degenerate)


@st.composite
def boxes(draw: st.DrawFn, most: int = 150) -> tuple[Tensor, Tensor]:
    """Two tensors of one dtype, with columns to spare, float32 or float64, rows next to each other or apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype, span = draw(st.sampled_from(list(ROUNDING))), draw(st.sampled_from([6.0, 30.0]))
    found = []
    for _ in range(2):
        box = draw(st.sampled_from(KINDS))(rng, draw(st.integers(0, most)), span)
        wide = torch.full((len(box), 9 + draw(st.sampled_from([0, 3]))), torch.nan, dtype=dtype)
        wide[:, :9] = torch.from_numpy(box)
        found.append(wide[:, :9])
    return found[0], found[1]


def over(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


def same_choice(gpu: Gpu, box: Tensor, group: Tensor | None, threshold: float, max_kept: int | None) -> None:
    expected = OPS.rotated_nms(box, group, threshold, max_kept)
    np.testing.assert_array_equal(gpu.rotated_nms(box, group, threshold, max_kept).numpy(), expected.numpy())


def between_overlaps(box: Tensor, wanted: float) -> float:
    """The threshold next to `wanted` that no overlap of two of the boxes is near: roundings decide nothing there."""
    overlap = torch.cat([rotated_iou_bev(box, box).flatten(), torch.tensor([0, 1], dtype=box.dtype)]).unique()
    gap = overlap.diff()
    fits = gap > 100 * ROUNDING[box.dtype]
    middle = (overlap[:-1] + gap / 2)[fits]
    assert len(middle) > 0
    return float(middle[(middle - wanted).abs().argmin()])


@over(60)
@given(pair=boxes(), in_3d=st.booleans(), seed=st.integers(0, 99))
def test_overlaps_equal_those_of_the_cpu(gpu, pair, in_3d, seed):
    gpu.schedule(seed)
    expected = (rotated_iou_3d if in_3d else rotated_iou_bev)(*pair)
    torch.testing.assert_close(gpu.iou(*pair, in_3d), expected, rtol=0, atol=ROUNDING[pair[0].dtype])


@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (1, 1), (63, 65), (65, 64), (64, 63), (1000, 33), (7, 1000)])
def test_overlaps_of_every_size(gpu, n, m, dtype):
    rng = np.random.default_rng(n)
    a, b = (torch.from_numpy(drawn(rng, number, 20)).to(dtype) for number in (n, m))
    torch.testing.assert_close(gpu.iou(a, b, True), rotated_iou_3d(a, b), rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("dtype", list(ROUNDING))
def test_axis_aligned_volumes_are_exact(gpu, dtype):
    rng = np.random.default_rng(1)
    box = torch.zeros(70, 7, dtype=dtype)
    box[:, :3] = torch.from_numpy(rng.integers(-16, 17, (70, 3)) / 8)
    box[:, 3:6] = torch.from_numpy(rng.integers(1, 9, (70, 3)) / 4)
    low, high = box[:, :3] - box[:, 3:6] / 2, box[:, :3] + box[:, 3:6] / 2
    shared = (torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)).clamp(min=0).prod(-1)
    volume = box[:, 3:6].prod(-1)
    assert torch.equal(gpu.iou(box, box, True), shared / (volume[:, None] + volume - shared))


@pytest.mark.parametrize("dtype", list(ROUNDING))
def test_large_yaws_lose_nothing(gpu, dtype):
    """cos and sin of large angles, against those of the C library through the CPU's overlaps."""
    yaw = torch.linspace(-1e5, 1e5, 200, dtype=torch.float64).to(dtype)
    box = torch.tensor([0, 0, 0, 4, 2, 1, 0], dtype=dtype).repeat(200, 1)
    box[:, 6] = yaw
    rounding = 20 * ROUNDING[dtype] if dtype == torch.float64 else ROUNDING[dtype]  # of the angle itself: 1e5 * 1e-16
    torch.testing.assert_close(gpu.iou(box, box, False), rotated_iou_bev(box, box), rtol=0, atol=rounding)


@over(60)
@given(
    pair=boxes(250), wanted=st.floats(0, 1), several=st.booleans(), most=st.sampled_from([None, 0, 1, 7]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_nms_keeps_what_the_cpu_keeps(gpu, pair, wanted, several, most, seed):
    gpu.schedule(seed)
    box = pair[0]
    group = torch.from_numpy(np.random.default_rng(seed).integers(-1, 2, len(box))) if several else None
    same_choice(gpu, box, group, between_overlaps(box, wanted), most)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", SIZES)
def test_nms_of_every_size(gpu, number, kind):
    box = torch.from_numpy(kind(np.random.default_rng(number), number, 60)).float()
    same_choice(gpu, box, None, between_overlaps(box, 0.2), None)
    same_choice(gpu, box, torch.arange(number) % 3, between_overlaps(box, 0.5), 70)


def test_nms_takes_an_overlap_equal_to_the_threshold_as_allowed(gpu):
    box = torch.tensor([[0, 0, 0, 4, 2, 1, 0], [0, 0, 0, 2, 2, 1, 0], [0, 0, 0, 4, 2, 1, 0]]).float()  # overlap 1 / 2
    below = float(np.nextafter(np.float32(0.5), np.float32(0)))
    assert gpu.rotated_nms(box, None, 0.5).tolist() == [True, True, False]
    assert gpu.rotated_nms(box, None, below).tolist() == [True, False, False]
    assert gpu.rotated_nms(box, None, 1.0).tolist() == [True, True, True]


@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize("number", SIZES)
def test_circle_nms_of_every_size_with_distances_at_the_limit(gpu, number, dtype):
    rng = np.random.default_rng(number)
    center = torch.from_numpy(rng.integers(-9, 10, (number, 3))).to(dtype)
    if number:
        center[::17, 0] = torch.nan
    squared = torch.from_numpy(rng.choice([-1.0, 0, 1, 2, 4, 25, np.nan], number)).to(dtype)
    for group in (None, torch.from_numpy(rng.integers(0, 3, number))):
        for most in (None, 0, 1, 20):
            expected = OPS.circle_nms(center, squared, group, most)
            assert torch.equal(gpu.circle_nms(center, squared, group, most), expected)


@over(20)
@given(seed=st.integers(0, 2**32), number=st.integers(0, 300), reach=st.sampled_from([0.5, 4.0]))
def test_circle_nms_keeps_what_the_cpu_keeps(gpu, seed, number, reach):
    rng = np.random.default_rng(seed)
    gpu.schedule(seed)
    center = torch.from_numpy(rng.integers(-50, 51, (number, 2)) / 8).float()
    squared = torch.full((number,), reach)
    assert torch.equal(gpu.circle_nms(center, squared, None), OPS.circle_nms(center, squared, None, None))


@pytest.mark.parametrize("most", [None, 900, 3000])
@pytest.mark.parametrize("number", [PANEL, PANEL + 1, 2 * PANEL + 130])
def test_the_choice_goes_on_from_panel_to_panel(gpu, number, most):
    """With 900 the first panel fills the list, with 3000 the second or none does."""
    rng = np.random.default_rng(number)
    center = torch.from_numpy(rng.integers(0, 120, (number, 2))).float()
    squared = torch.from_numpy(rng.choice([0.0, 1.0, 4.0], number)).float()
    group = torch.from_numpy(rng.integers(0, 2, number))
    expected = OPS.circle_nms(center, squared, group, most)
    assert torch.equal(gpu.circle_nms(center, squared, group, most), expected)
    assert expected[:PANEL].sum() >= 900


def test_boxes_of_several_panels(gpu):
    box = torch.from_numpy(drawn(np.random.default_rng(2), PANEL + 500, 300)).float()
    same_choice(gpu, box, None, between_overlaps(box, 0.1), None)


def test_ten_schedules_give_the_same_bits(gpu):
    box = torch.from_numpy(drawn(np.random.default_rng(5), 300, 15)).float()
    overlaps, choices = [], []
    for seed in range(10):
        gpu.schedule(seed)
        overlaps.append(gpu.iou(box, box[:70], False))
        choices.append(gpu.rotated_nms(box, None, 0.3))
    assert all(torch.equal(overlaps[0], other) for other in overlaps[1:])
    assert all(torch.equal(choices[0], other) for other in choices[1:])

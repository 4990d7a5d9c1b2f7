"""Overlap and suppression of rotated boxes.

Oracles: shapely, the twins of `reference.py` in float64, a count of drawn points, formulas for yaw 0, opcheck.
"""

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import affinity
from torch import Tensor

from pc_ssl.ops import circle_nms, rotated_iou_3d, rotated_iou_bev, rotated_nms
from pc_ssl.ops.reference import nms_reference, rotated_iou_reference

ROUNDING = {torch.float32: 3e-6, torch.float64: 1e-12}


def draw_boxes(seed: int, number: int, span: float = 8.0, grid: bool = False) -> Tensor:
    """[number, 9] float64. On the grid corners, sides and whole boxes coincide, and turns are of 45 degrees."""
    rng = np.random.default_rng(seed)
    box = rng.uniform(-1, 1, (number, 9))
    box[:, :3] *= span / 2
    box[:, 3:6] = np.exp(rng.uniform(-2, 2, (number, 3)))
    box[:, 6] *= 7
    if grid:
        box[:, :3] = rng.integers(-2, 3, (number, 3))
        box[:, 3:6] = rng.integers(1, 4, (number, 3))
        box[:, 6] = rng.integers(-8, 9, number) * math.pi / 4
    return torch.from_numpy(box)


def polygon(row: list[float]) -> shapely.Polygon:
    flat = shapely.box(-row[3] / 2, -row[4] / 2, row[3] / 2, row[4] / 2)
    return affinity.translate(affinity.rotate(flat, row[6], origin=(0, 0), use_radians=True), row[0], row[1])


def shapely_iou(a: Tensor, b: Tensor) -> Tensor:
    first = np.array([polygon(row) for row in a.tolist()], dtype=object).reshape(-1, 1)
    second = np.array([polygon(row) for row in b.tolist()], dtype=object).reshape(1, -1)
    shared = shapely.area(shapely.intersection(first, second))
    return torch.from_numpy(shared / (shapely.area(first) + shapely.area(second) - shared))


seeds, numbers = st.integers(0, 2**32), st.integers(0, 20)
dtypes = pytest.mark.parametrize("dtype", list(ROUNDING))


@dtypes
@settings(max_examples=30, deadline=None)
@given(seed=seeds, n=st.integers(1, 20), m=st.integers(1, 40), grid=st.booleans())
def test_seen_from_above_equals_shapely(dtype, seed, n, m, grid):
    a, b = draw_boxes(seed, n, grid=grid).to(dtype), draw_boxes(seed + 1, m, grid=grid).to(dtype)
    expected = shapely_iou(a.double(), b.double())
    torch.testing.assert_close(rotated_iou_bev(a, b).double(), expected, rtol=0, atol=ROUNDING[dtype])
    reference = rotated_iou_reference(a.double(), b.double(), False)
    torch.testing.assert_close(reference, expected, rtol=0, atol=1e-9)


@dtypes
@settings(max_examples=20, deadline=None)
@given(seed=seeds, n=numbers, m=numbers)
def test_volumes_equal_the_reference(dtype, seed, n, m):
    a, b = draw_boxes(seed, n).to(dtype), draw_boxes(seed + 1, m).to(dtype)
    expected = rotated_iou_reference(a.double(), b.double(), True)
    torch.testing.assert_close(rotated_iou_3d(a, b).double(), expected, rtol=0, atol=ROUNDING[dtype])


def test_a_volume_equals_a_count_of_drawn_points():
    a = torch.tensor([[0.5, -0.2, 0.1, 4, 2, 1.5, 0.6]])
    b = torch.tensor([[1.0, 0.3, 0.4, 3, 2.5, 2.0, -0.9]])
    point = np.random.default_rng(0).uniform(-4, 4, (2_000_000, 3))

    def inside(row: Tensor) -> np.ndarray:
        x, y, z, length, width, height, yaw = row.tolist()
        turned = (point[:, :2] - [x, y]) @ np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        return (np.abs(turned) < [length / 2, width / 2]).all(1) & (np.abs(point[:, 2] - z) < height / 2)

    in_a, in_b = inside(a[0]), inside(b[0])
    expected = (in_a & in_b).sum() / (in_a | in_b).sum()
    assert abs(rotated_iou_3d(a, b).item() - expected) < 5e-3


@pytest.mark.parametrize("iou", [rotated_iou_bev, rotated_iou_3d])
@settings(max_examples=20, deadline=None)
@given(seed=seeds, far=st.sampled_from([0.0, 100.0, 5000.0]))
def test_a_box_is_equal_to_itself(iou, seed, far):
    box = draw_boxes(seed, 50).float()
    box[:, :2] += far
    own = iou(box, box)
    assert (own.diagonal() - 1).abs().max() < 1e-5
    assert own.max() <= 1


@settings(max_examples=20, deadline=None)
@given(seed=seeds, angle=st.floats(-7, 7))
def test_turning_the_world_changes_nothing(seed, angle):
    a, b = draw_boxes(seed, 12), draw_boxes(seed + 1, 12)
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    turned = []
    for box in (a, b):
        moved = box.clone()
        moved[:, :2] = box[:, :2] @ turn
        moved[:, 6] += angle
        turned.append(moved.float())
    torch.testing.assert_close(rotated_iou_bev(*turned), rotated_iou_bev(a.float(), b.float()), rtol=0, atol=5e-6)


@dtypes
def test_axis_aligned_volumes_are_exact(dtype):
    rng = np.random.default_rng(1)
    box = torch.zeros(60, 7, dtype=dtype)
    box[:, :3] = torch.from_numpy(rng.integers(-16, 17, (60, 3)) / 8)
    box[:, 3:6] = torch.from_numpy(rng.integers(1, 9, (60, 3)) / 4)
    low, high = box[:, :3] - box[:, 3:6] / 2, box[:, :3] + box[:, 3:6] / 2
    shared = (torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)).clamp(min=0).prod(-1)
    volume = box[:, 3:6].prod(-1)
    assert torch.equal(rotated_iou_3d(box, box), shared / (volume[:, None] + volume - shared))


@pytest.mark.parametrize(("column", "value"), [(3, 0), (4, 0), (3, -1), (0, torch.nan), (6, torch.inf), (4, torch.inf)])
def test_a_box_that_is_none_overlaps_nothing(column, value):
    box = torch.tensor([[0, 0, 0, 2, 2, 2, 0.3], [0, 0, 0, 2, 2, 2, 0.3]])
    box[1, column] = value
    assert rotated_iou_bev(box, box)[[0, 1, 1], [1, 0, 1]].tolist() == [0, 0, 0]
    assert rotated_iou_3d(box, box)[[0, 1, 1], [1, 0, 1]].tolist() == [0, 0, 0]


def test_height_counts_in_3d_alone():
    box = torch.tensor([[0, 0, 0, 2, 2, 2, 0], [0, 0, 3, 2, 2, 0, 0.0]])
    assert rotated_iou_bev(box, box)[0, 1] == 1
    assert rotated_iou_3d(box, box)[0, 1] == 0


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n=numbers, threshold=st.floats(0, 1), several=st.booleans(), most=st.sampled_from([None, 0, 3]))
def test_nms_equals_the_reference(seed, n, threshold, several, most):
    rng = np.random.default_rng(seed)
    box = draw_boxes(seed, n)
    scores = torch.from_numpy(rng.integers(0, 6, n) / 5)  # ties abound
    classes = torch.from_numpy(rng.integers(-1, 2, n)) if several else None
    iou = rotated_iou_reference(box, box, False)
    assume(not ((iou - threshold).abs() < 1e-5).any())
    expected = nms_reference(iou > threshold, scores, classes, most)
    for boxes in (box, box.float(), box.float().T.contiguous().T):
        assert rotated_nms(boxes, scores, threshold, classes, most).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n=st.integers(0, 60), several=st.booleans(), most=st.sampled_from([None, 0, 3]))
def test_circle_nms_equals_the_reference(seed, n, several, most):
    rng = np.random.default_rng(seed)
    center = torch.from_numpy(rng.integers(-5, 6, (n, 2)).astype(np.float32))  # distances equal to the limit
    scores = torch.from_numpy(rng.integers(0, 6, n) / 5)
    classes = torch.from_numpy(rng.integers(0, 3, n))
    distance = torch.tensor([2.0, 0.0, -1.0]) if several else torch.full((3,), 2.0)
    apart = (center[:, None] - center).norm(dim=-1)
    drops = apart <= distance[classes]
    expected = nms_reference(drops, scores, classes, most)
    assert circle_nms(center, scores, distance if several else 2.0, classes, most).tolist() == expected
    together = nms_reference(apart <= 2, scores, None, most)
    assert circle_nms(center, scores, 2.0, max_kept=most).tolist() == together


def test_equal_scores_keep_the_lower_index_and_nan_comes_last():
    box = torch.tensor([[0, 0, 0, 4, 2, 1, 0]]).float().repeat(4, 1)
    assert rotated_nms(box, torch.tensor([torch.nan, 1, 1, 1]), 0.5).tolist() == [1]
    assert rotated_nms(box, torch.tensor([torch.nan, 1, 1, 1]), 1.0).tolist() == [1, 2, 3, 0]


def test_any_number_of_threads_gives_the_same_bits():
    a, b = draw_boxes(1, 400, 40).float(), draw_boxes(2, 333, 40).float()
    threads = torch.get_num_threads()
    try:
        results = []
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            results.append(rotated_iou_bev(a, b))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_opcheck():
    ops = torch.ops.pc_ssl
    box, group = draw_boxes(0, 9), torch.arange(9) % 2
    torch.library.opcheck(ops.rotated_iou.default, (box, box[:4].contiguous(), True))
    torch.library.opcheck(ops.rotated_nms.default, (box, group, 0.2, 4))
    torch.library.opcheck(ops.circle_nms.default, (box, box[:, 3].abs(), None, None))


BOX = torch.ones(3, 7)
MISTAKES = {
    "columns": (lambda: rotated_iou_bev(BOX, BOX[:, :6]), r"b must be \[N, 7\] or more columns, got \[3, 6\]"),
    "dtype": (lambda: rotated_iou_bev(BOX.half(), BOX), "a must be float32 or float64, got Half"),
    "dtypes": (lambda: rotated_iou_3d(BOX, BOX.double()), "a is Float but b Double"),
    "threshold": (lambda: rotated_nms(BOX, BOX[:, 0], 1.5), r"threshold must be an IoU in \[0, 1\], got 1.5"),
    "max_kept": (lambda: rotated_nms(BOX, BOX[:, 0], 0.5, max_kept=-1), "max_kept must not be negative, got -1"),
    "scores": (lambda: circle_nms(BOX, BOX[:2, 0], 1.0), r"scores must be \[3\] on cpu, got \[2\]"),
    "classes": (lambda: circle_nms(BOX, BOX[:, 0], 1.0, BOX[:, 0]), r"classes must be integers \[3\] on cpu"),
    "no classes": (lambda: circle_nms(BOX, BOX[:, 0], torch.ones(2)), "classes is missing"),
}


@pytest.mark.parametrize(("call", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

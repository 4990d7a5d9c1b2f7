import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from data_prep.regions.size_filter import SizeFilter, _members, _shapes


def block(x: float, y: float, length: float, width: float, top: float = 0.0) -> np.ndarray:
    """A filled rectangle of points from the ground up to `top`."""
    along, across = np.meshgrid(np.linspace(-0.5, 0.5, 9), np.linspace(-0.5, 0.5, 9))
    height = np.linspace(-1.8, top, along.size)
    return np.column_stack([x + length * along.ravel(), y + width * across.ravel(), height]).astype(np.float32)


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        (block(10, 10, 4.5, 1.9), True),  # a car
        (block(10, 10, 4.5, 0.4), False),  # a wall: sides of 1 to 0.09
        (block(10, 10, 4.5, 0.5), True),
        (block(10, 10, 0.4, 0.4), False),  # 0.16 square metres
        (block(10, 10, 0.6, 0.6), True),
        (block(10, 10, 5, 5), False),  # 25 square metres
        (block(10, 10, 4.4, 4.4), True),
        (block(10, 10, 4.5, 1.9, top=3.1), False),  # a building
        (block(10, 10, 4.5, 1.9, top=-1.6), False),  # a kerb
        (block(0, 10, 1.8, 1.8), False),  # within 1.5 m of the line of travel
        (block(10, 0, 1.8, 1.8), False),
        (block(0, 0, 2, 2), False),  # the vehicle itself
    ],
)
def test_what_is_kept(points: np.ndarray, kept: bool) -> None:
    assert SizeFilter()(points, np.zeros(len(points), np.int32), points[:, 2] + 1.84).tolist() == [kept]


def test_clusters_are_filtered_independently() -> None:
    cloud = np.concatenate([block(10, 10, 4.5, 1.9), block(-10, 10, 5, 5), block(10, -10, 4.5, 1.9)])
    cluster = np.repeat([2, 0, 1], 81).astype(np.int32)
    order = np.random.default_rng(0).permutation(len(cloud))
    noise = np.full(len(cloud), -1, np.int32)
    shuffled = np.concatenate([cloud[order], cloud]), np.concatenate([cluster[order], noise])
    assert SizeFilter()(*shuffled, shuffled[0][:, 2] + 1.84).tolist() == [False, True, True]


def test_no_clusters() -> None:
    assert SizeFilter()(np.zeros((4, 3), np.float32), np.full(4, -1, np.int32), np.zeros(4)).shape == (0,)
    assert SizeFilter()(np.zeros((0, 3), np.float32), np.zeros(0, np.int32), np.zeros(0)).shape == (0,)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(3, 200), on_lattice=st.booleans())
def test_hull_and_rectangle_equal_qhulls_and_opencvs(seed: int, count: int, on_lattice: bool) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(0, 3, (count, 3)) * [1, 0.3, 1]
    xyz = np.round(xyz * 2) / 2 if on_lattice else xyz
    xyz = np.concatenate([xyz, [[0, 0, 0], [4, 0, 0], [0, 4, 0]]]).astype(np.float32)
    _, _, top, area, short, long = _shapes(xyz.astype(np.float64), *_members(np.zeros(len(xyz), np.int32)))[0]
    sides = cv2.minAreaRect(np.ascontiguousarray(xyz[:, :2]))[1]
    assert top == xyz[:, 2].max()
    assert area == pytest.approx(ConvexHull(xyz[:, :2]).volume, rel=1e-6)
    assert short * long == pytest.approx(sides[0] * sides[1], rel=1e-3)


@pytest.mark.parametrize("xy", [[[1, 2]], [[1, 2], [1, 2]], [[0, 0], [1, 1]], [[0, 0], [1, 1], [2, 2], [1, 1]]])
def test_points_without_a_footprint_have_no_area(xy: list[list[float]]) -> None:
    xyz = np.column_stack([np.array(xy, float), np.zeros(len(xy))])
    _, _, _, area, short, _ = _shapes(xyz, *_members(np.zeros(len(xyz), np.int32)))[0]
    assert (area, short) == (0, 0)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from data_prep.regions.grid_dbscan import dbscan


def scikit(points: np.ndarray, eps: float, min_points: int) -> np.ndarray:
    return DBSCAN(eps=eps, min_samples=min_points).fit_predict(points)


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    dimensions=st.sampled_from([2, 3]),
    count=st.integers(1, 300),
    spread=st.sampled_from([0.5, 2.0, 6.0, 40.0]),
    eps=st.floats(0.1, 2.0),
    min_points=st.integers(1, 12),
    copies=st.booleans(),
)
def test_labels_equal_scikit_learns(
    seed: int, dimensions: int, count: int, spread: float, eps: float, min_points: int, copies: bool
) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-spread, spread, (5, dimensions))
    points = (centres[rng.integers(0, 5, count)] + rng.normal(0, 0.5, (count, dimensions))).astype(np.float32)
    if copies:
        points = points[rng.integers(0, count, count)]
    np.testing.assert_array_equal(dbscan(points, eps, min_points), scikit(points, eps, min_points))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), dimensions=st.sampled_from([2, 3]), min_points=st.integers(1, 8))
def test_distances_of_exactly_eps_count(seed: int, dimensions: int, min_points: int) -> None:
    lattice = np.random.default_rng(seed).integers(0, 8, (200, dimensions)).astype(np.float32)
    np.testing.assert_array_equal(dbscan(lattice, 1.0, min_points), scikit(lattice, 1.0, min_points))


def test_two_groups_and_noise() -> None:
    points = np.array([[9, 9], [0, 0], [0.5, 0], [0, 0.5], [30, 0], [30.5, 0], [30, 0.5]])
    np.testing.assert_array_equal(dbscan(points, 0.75, 3), [-1, 0, 0, 0, 1, 1, 1])


def test_a_border_point_between_two_clusters_goes_to_the_first() -> None:
    # three points left and three right, each group dense; the point at 0 is in reach of both and has too few neighbours
    left, right = [-1.9, -1.5, -1.0], [1.0, 1.5, 1.9]
    for order in (left + right, right + left):
        points = np.array([[x, 0.0] for x in [0.0, *order]])
        label = dbscan(points, 1.0, 4)
        np.testing.assert_array_equal(label, scikit(points, 1.0, 4))
    points = np.array([[x, 0.0] for x in [0.0, -1.0, -1.2, -1.4, -1.6, 1.0, 1.2, 1.4, 1.6]])
    np.testing.assert_array_equal(dbscan(points, 1.0, 4), [0, 0, 0, 0, 0, 1, 1, 1, 1])


def test_coincident_points_are_one_cluster() -> None:
    assert set(dbscan(np.ones((1000, 3), np.float32), 0.5, 5)) == {0}


def test_a_line_of_a_thousand_points_is_one_cluster() -> None:
    line = np.column_stack([np.arange(1000) * 0.9, np.zeros(1000)])
    assert set(dbscan(line, 1.0, 3)) == {0}
    assert set(dbscan(line, 0.8, 2)) == {-1}


def test_no_points() -> None:
    assert dbscan(np.empty((0, 2)), 1.0, 5).shape == (0,)


@pytest.mark.parametrize(
    ("points", "eps", "min_points", "message"),
    [
        (np.zeros((3, 4)), 1.0, 5, r"must be \[N, 2\] or \[N, 3\]"),
        (np.zeros(3), 1.0, 5, r"must be \[N, 2\] or \[N, 3\]"),
        (np.zeros((3, 2)), 0.0, 5, "eps > 0"),
        (np.zeros((3, 2)), 1.0, 0, "min_points >= 1"),
        (np.array([[0, np.nan]]), 1.0, 5, "finite"),
        (np.array([[0, np.inf]]), 1.0, 5, "finite"),
        (np.array([[0, 0], [1e9, 0]]), 1.0, 5, "span less than"),
    ],
)
def test_wrong_arguments(points: np.ndarray, eps: float, min_points: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dbscan(points, eps, min_points)

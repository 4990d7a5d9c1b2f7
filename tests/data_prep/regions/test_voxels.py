import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.regions.voxels import thinned


def plain_numpy(points: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    cell = np.floor(points[:, :3].astype(np.float64) * (1 / size))
    _, first, inverse = np.unique(cell, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    voxel = order[inverse.ravel()]
    return np.array([points[voxel == v].astype(np.float64).mean(axis=0) for v in range(len(first))]), voxel


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.5, 3.0]), st.integers(1, 300), st.sampled_from([3, 5]))
def test_means_and_order_of_voxels(seed: int, size: float, count: int, columns: int) -> None:
    points = np.random.default_rng(seed).normal(scale=2.0, size=(count, columns)).astype(np.float32)
    mean, voxel = thinned(points, size)
    expected_mean, expected_voxel = plain_numpy(points, size)
    np.testing.assert_array_equal(voxel, expected_voxel)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-12, atol=1e-12)


def test_far_points_and_none() -> None:
    mean, voxel = thinned(np.array([[-1e4, 0, 0], [1e4, 0, 0], [-1e4, 0.001, 0]], np.float32), 0.1)
    assert (len(mean), voxel.tolist()) == (2, [0, 1, 0])
    assert thinned(np.empty((0, 4), np.float32), 0.1)[0].shape == (0, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_points_beyond_the_largest_grid_are_rejected(value: float) -> None:
    with pytest.raises(ValueError, match="must be finite and span less than"):
        thinned(np.array([[0, 0, 0], [0, value, 0]]), 0.1)

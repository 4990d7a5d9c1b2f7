import numpy as np
import pytest

from data_prep.regions.ground_height import height_above_ground


def test_heights_follow_a_slope_and_ignore_reflections() -> None:
    rng = np.random.default_rng(0)
    xy = rng.uniform(-40, 40, (20_000, 2))
    above = np.where(rng.random(20_000) < 0.2, rng.uniform(0.5, 3, 20_000), 0)
    below = rng.random(20_000) < 0.02
    above[below] = -2.0
    z = 0.05 * xy[:, 0] - 0.03 * xy[:, 1] + above - 2.7
    height = height_above_ground(np.column_stack([xy, z]).astype(np.float32), above <= 0)
    assert height.dtype == np.float32
    np.testing.assert_allclose(height, above, atol=0.165)  # a slope of 5.8 % over a cell's diagonal of 2.83 m


def test_missing_ground_is_interpolated() -> None:
    """Two cells with ground at 0 m and 1 m; halfway between it is at 0.5 m, three times nearer to one at 0.1 m."""
    ground = [[1.0, 1.0, 0.0], [17.0, 1.0, 1.0]]
    objects = [[9.0, 1.0, 3.0], [5.0, 1.0, 3.0], [1.0, 1.5, 3.0]]
    xyz = np.array(ground + objects, np.float32)
    height = height_above_ground(xyz, np.array([True, True, False, False, False]))
    np.testing.assert_allclose(height, [0, 0, 2.5, 2.9, 3.0], atol=1e-6)


@pytest.mark.parametrize("points", [0, 1, 50])
def test_without_ground_the_lowest_layer_is_used(points: int) -> None:
    xyz = np.column_stack([np.linspace(-9, 9, points), np.zeros(points), np.full(points, -2.5)]).astype(np.float32)
    np.testing.assert_allclose(height_above_ground(xyz, np.zeros(points, bool)), 0, atol=1e-6)

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.simulate.street.triangulate import triangulate


def areas(xy: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(xy[triangle], 1, 0)
    return 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), cell=st.floats(2.0, 30.0))
def test_triangles_cover_polygons_with_holes_exactly_once(seed: int, cell: float) -> None:
    rng = np.random.default_rng(seed)
    area = shapely.Point(0, 0).buffer(rng.uniform(10, 30), quad_segs=4)
    for _ in range(4):
        area = area.difference(shapely.Point(*rng.uniform(-20, 20, 2)).buffer(rng.uniform(1, 6), quad_segs=3))
    xy, triangle = triangulate(area, cell)
    signed = areas(xy, triangle)
    assert (signed > -1e-9).all()  # counter-clockwise, so that faces point up
    np.testing.assert_allclose(signed.sum(), area.area, rtol=1e-6)
    middle = shapely.points(xy[triangle[signed > 1e-3]].mean(1))
    assert shapely.contains(area.buffer(1e-6), middle).all()

from __future__ import annotations

import numpy as np
import pytest

from data_prep.simulate.street.curve import Curve


def circle(radius: float) -> Curve:
    return Curve.integrate((0.0, 0.0), 0.0, [(np.pi * radius, 1.0 / radius)])


def test_constant_curvature_draws_a_circle() -> None:
    curve = circle(50.0)
    np.testing.assert_allclose(np.linalg.norm(curve.point - [0.0, 50.0], axis=1), 50.0, atol=0.02)
    assert curve.length == pytest.approx(np.pi * 50.0, rel=1e-3)
    assert curve.heading_at(curve.length) == pytest.approx(np.pi, abs=0.02)


def test_offset_to_the_left_of_a_left_bend_is_shorter() -> None:
    curve = circle(50.0)
    assert curve.offset(10.0).length == pytest.approx(np.pi * 40.0, rel=2e-3)
    assert curve.offset(-10.0, backwards=True).length == pytest.approx(np.pi * 60.0, rel=2e-3)


def test_backwards_curve_ends_where_the_other_begins() -> None:
    curve = circle(30.0)
    np.testing.assert_allclose(curve.offset(2.0, backwards=True).point[0], curve.offset(2.0).point[-1], atol=1e-9)


def test_strip_has_the_area_of_a_ring() -> None:
    strip = circle(50.0).strip(0.0, np.pi * 50.0, -5.0, 5.0, 1.0)
    assert strip.is_valid
    assert strip.area == pytest.approx(0.5 * np.pi * (55.0**2 - 45.0**2), rel=5e-3)


def test_nearest_inverts_at() -> None:
    curve = circle(50.0)
    for s in (3.0, 40.0, 111.0):
        assert curve.nearest(curve.at(s, 4.0)) == pytest.approx(s, abs=0.6)

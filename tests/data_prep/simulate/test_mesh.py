"""Closed meshes have outward faces: their volume by the divergence theorem is the solid's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Mesh, ball, both_sides, box, extrude, join, mirrored, tube

GRAY = (120, 120, 120)
LENGTH = st.floats(0.05, 20.0)
PLACE = st.floats(-50.0, 50.0)


def volume(mesh: Mesh) -> float:
    a, b, c = np.moveaxis(mesh.vertex[mesh.triangle].astype(np.float64), 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


@settings(deadline=None, max_examples=30)
@given(size=st.tuples(LENGTH, LENGTH, LENGTH), center=st.tuples(PLACE, PLACE, PLACE))
def test_box_encloses_its_volume(size: tuple, center: tuple) -> None:
    mesh = box(size, center, Material.METAL, GRAY)
    assert volume(mesh) == pytest.approx(np.prod(size), rel=1e-2, abs=1e-2)
    low, high = mesh.bounds()
    np.testing.assert_allclose(high - low, size, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(0.5 * (high + low), center, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(
    start=st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3)),
    way=st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.2, 3)),
    radius=st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)),
)
def test_tube_is_a_frustum_in_any_direction(start: tuple, way: tuple, radius: tuple) -> None:
    end = np.add(start, way)
    r, q = radius
    share = 0.5 * 24 * np.sin(2 * np.pi / 24) / np.pi  # of a circle that a polygon of 24 corners fills
    expected = share * np.pi * np.linalg.norm(way) * (r * r + r * q + q * q) / 3
    mesh = tube(start, end, radius, Material.METAL, GRAY, sides=24)
    assert volume(mesh) == pytest.approx(expected, rel=1e-3)


def test_finer_balls_approach_the_ellipsoid_from_inside() -> None:
    expected = 4 / 3 * np.pi * 0.5 * 1.0 * 2.0
    volumes = [volume(ball((5, 6, 7), (0.5, 1, 2), Material.SKIN, GRAY, rings=n, sides=2 * n)) for n in (4, 16, 64)]
    assert volumes[0] < volumes[1] < volumes[2] < expected
    assert volumes[2] == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize("axis", ["y", "z"])
def test_extruded_prism_has_outward_faces(axis: str) -> None:
    outline = np.array([[0, 0], [2, 0], [2, 1], [0, 1]])
    assert volume(extrude(outline, -1.0, 2.0, Material.METAL, GRAY, axis=axis)) == pytest.approx(6.0, rel=1e-5)


def test_mirror_image_keeps_its_faces_outward() -> None:
    mesh = box((1, 2, 3), (0, 4, 0), Material.METAL, GRAY, top_scale=(0.5, 0.8))
    assert volume(mirrored(mesh)) == pytest.approx(volume(mesh), rel=1e-5)
    assert both_sides(mesh).bounds()[0][1] == -both_sides(mesh).bounds()[1][1]


def test_joined_meshes_keep_their_triangles_apart() -> None:
    parts = [box((1, 1, 1), (3.0 * k, 0, 0), Material(k), (k, k, k)) for k in range(4)]
    mesh = join(parts)
    assert volume(mesh) == pytest.approx(4.0, rel=1e-4)
    np.testing.assert_array_equal(mesh.material, np.repeat(np.arange(4), 12))
    np.testing.assert_array_equal(mesh.color[:, 0], np.repeat(np.arange(4), 12))
    assert join([]).num_triangles == 0

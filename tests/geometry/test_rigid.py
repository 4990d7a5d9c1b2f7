import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyquaternion import Quaternion

from pc_ssl.geometry import apply, invert, rotation_about_z, transform_from, yaw_of

unit = arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1)
offset = arrays(np.float64, 3, elements=st.floats(-1e3, 1e3))


@settings(deadline=None)
@given(unit, offset)
def test_a_quaternion_gives_the_rotation_that_pyquaternion_gives(
    quaternion: np.ndarray, translation: np.ndarray
) -> None:
    expected = Quaternion(quaternion).transformation_matrix
    expected[:3, 3] = translation
    np.testing.assert_allclose(transform_from(quaternion, translation), expected, atol=1e-9)


@settings(deadline=None)
@given(unit, offset)
def test_the_inverse_leads_back(quaternion: np.ndarray, translation: np.ndarray) -> None:
    dst_from_src = transform_from(quaternion, translation)
    np.testing.assert_allclose(invert(dst_from_src) @ dst_from_src, np.eye(4), atol=1e-9)


def test_points_move_to_the_destination_frame() -> None:
    global_from_ego = transform_from(rotation_about_z(np.pi / 2), [10.0, 0.0, 1.0])
    ahead = np.array([[2.0, 0.0, 0.0]], dtype=np.float32)
    moved = apply(global_from_ego, ahead)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, [[10.0, 2.0, 1.0]], atol=1e-6)


def test_yaw_is_counter_clockwise_from_above() -> None:
    assert np.isclose(yaw_of(rotation_about_z(2.5)), 2.5)

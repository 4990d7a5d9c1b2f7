import numpy as np

from data_prep.merge import merge_sweeps
from data_prep.reader import Sweep
from pc_ssl.geometry import rotation_about_z, transform_from


def test_two_scans_of_a_wall_from_a_moving_vehicle_coincide() -> None:
    wall = np.column_stack([np.linspace(5, 15, 50), np.full(50, 20.0), np.linspace(-1, 2, 50)])
    global_from_key = transform_from(rotation_about_z(0.2), [4, 1, 0])
    global_from_earlier = transform_from(rotation_about_z(-0.1), [0, 0, 0])
    key, earlier = (
        np.column_stack([(wall - pose[:3, 3]) @ pose[:3, :3], np.full(50, 0.2), np.arange(50)]).astype(np.float32)
        for pose in (global_from_key, global_from_earlier)
    )
    key_from_earlier = np.linalg.inv(global_from_key) @ global_from_earlier
    points = merge_sweeps(key, [Sweep(earlier, key_from_earlier, 0.5)])
    assert (points.dtype, points.shape) == (np.float32, (100, 6))
    np.testing.assert_array_equal(points[:50, :5], key)
    np.testing.assert_allclose(points[50:, :3], points[:50, :3], atol=1e-5)
    np.testing.assert_array_equal(points[50:, 3:5], key[:, 3:])
    np.testing.assert_array_equal(points[:, 5], np.repeat(np.float32([0, 0.5]), 50))


def test_a_frame_without_earlier_sweeps_has_the_time_column() -> None:
    key = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(merge_sweeps(key, []), [[1, 1, 1, 1, 0]] * 3)

from pathlib import Path

import numpy as np
import pytest

from data_prep.sweeps import is_return, merge, read_sweep
from pc_ssl.errors import UserError
from pc_ssl.geometry import rotation_about_z, transform_from


def test_a_wall_seen_twice_from_a_moving_vehicle_falls_on_itself() -> None:
    wall = np.column_stack([np.linspace(5, 15, 50), np.full(50, 20.0), np.linspace(-1, 2, 50)])
    global_from_key = transform_from(rotation_about_z(0.2), [4, 1, 0])
    sweeps, poses = [], []
    for global_from_sensor in (global_from_key, transform_from(rotation_about_z(-0.1), [0, 0, 0])):
        seen = (wall - global_from_sensor[:3, 3]) @ global_from_sensor[:3, :3]
        sweeps.append(np.column_stack([seen, np.full(50, 51.0), np.zeros(50)]).astype(np.float32))
        poses.append(np.linalg.inv(global_from_key) @ global_from_sensor)
    points = merge(sweeps, poses, [0.0, 0.5])
    np.testing.assert_allclose(points[50:, :3], points[:50, :3], atol=1e-5)
    np.testing.assert_allclose(points[:, 3], 0.2, rtol=1e-6)
    np.testing.assert_array_equal(points[:, 4], np.repeat(np.float32([0, 0.5]), 50))


def test_returns_from_the_vehicle_are_left_out_of_every_sweep() -> None:
    sweep = np.zeros((4, 5), np.float32)
    sweep[:, :2] = [[0.9, -0.9], [1.0, 0.0], [0.0, -1.0], [0.5, 0.5]]
    shift = transform_from(np.eye(3), [100, 0, 0])
    points = merge([sweep, sweep], [np.eye(4), shift], None)
    np.testing.assert_array_equal(points[:, :2], [[1, 0], [0, -1], [101, 0], [100, -1]])
    assert is_return(sweep).tolist() == [False, True, True, False]


def test_a_sweep_is_read_as_it_lies(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    points.tofile(tmp_path / "sweep.bin")
    np.testing.assert_array_equal(read_sweep(tmp_path / "sweep.bin"), points)


@pytest.mark.parametrize("length", [0, 1, 19, 21, 1999])
def test_a_cut_off_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "sweep.bin"
    path.write_bytes(np.zeros((100, 5), np.float32).tobytes()[:length])
    with pytest.raises(UserError, match=rf"sweep\.bin: {length} bytes are not a whole number of points of 20 bytes"):
        read_sweep(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e4, -1e38])
@pytest.mark.parametrize("column", range(5))
def test_values_that_no_sensor_gives_are_refused(tmp_path: Path, value: float, column: int) -> None:
    points = np.zeros((100, 5), np.float32)
    points[42, column] = value
    points.tofile(tmp_path / "sweep.bin")
    name = ["x", "y", "z", "intensity", "ring"][column]
    with pytest.raises(UserError, match=rf"sweep\.bin: {name} of point 42 is "):
        read_sweep(tmp_path / "sweep.bin")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_sweep(tmp_path)

from pathlib import Path

import numpy as np
import pytest

from data_prep.point_files.layout import PointLayout
from data_prep.sweeps import is_return, read_sweep
from pc_ssl.errors import UserError


def test_returns_from_the_vehicle_are_left_out() -> None:
    sweep = np.zeros((4, 4), np.float32)
    sweep[:, :2] = [[0.9, -0.9], [1.0, 0.0], [0.0, -1.0], [0.5, 0.5]]
    assert is_return(sweep).tolist() == [False, True, True, False]


def test_a_sweep_is_read_with_its_intensity_in_shares_of_255_and_without_its_ring(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    points[:, 3], points[:, 4] = 51.0, np.arange(7)
    points.tofile(tmp_path / "sweep.bin")
    expected = np.column_stack([points[:, :3], np.full(7, 0.2)]).astype(np.float32)
    np.testing.assert_array_equal(read_sweep(tmp_path / "sweep.bin"), expected)


def test_a_sweep_of_other_columns_is_read_by_their_names(tmp_path: Path) -> None:
    points = np.float32([[1, 2, 3, 0.5, 7], [4, 5, 6, 30.0, 8]])  # intensity without a limit, then elongation
    points.tofile(tmp_path / "sweep.bin")
    layout = PointLayout(("x", "y", "z", "intensity", "elongation"), intensity_max=2.0, intensity_clip=True)
    expected = np.float32([[1, 2, 3, 0.25, 7], [4, 5, 6, 1.0, 8]])
    np.testing.assert_array_equal(read_sweep(tmp_path / "sweep.bin", layout), expected)


@pytest.mark.parametrize("length", [1, 19, 21, 1999])
def test_a_cut_off_file_is_rejected(tmp_path: Path, length: int) -> None:
    path = tmp_path / "sweep.bin"
    path.write_bytes(np.zeros((100, 5), np.float32).tobytes()[:length])
    with pytest.raises(UserError, match=rf"sweep\.bin: {length} bytes .* points of 20 bytes"):
        read_sweep(path)


def test_an_empty_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "sweep.bin").touch()
    with pytest.raises(UserError, match=r"sweep\.bin: .*no points"):
        read_sweep(tmp_path / "sweep.bin")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e4, -1e38])
@pytest.mark.parametrize("column", range(5))
def test_values_out_of_range_are_rejected(tmp_path: Path, value: float, column: int) -> None:
    points = np.zeros((100, 5), np.float32)
    points[42, column] = value
    points.tofile(tmp_path / "sweep.bin")
    name = ["x", "y", "z", "intensity", "ring"][column]
    if column < 3 and not np.isfinite(value):  # a single point is left out, many indicate damage
        kept = is_return(read_sweep(tmp_path / "sweep.bin") + np.float32([5, 0, 0, 0]))
        assert np.flatnonzero(~kept).tolist() == [42]
        points[:91, column] = value
        points.tofile(tmp_path / "sweep.bin")
        with pytest.raises(UserError, match=r"sweep\.bin: x, y, z of 91 of 100 points are not finite"):
            read_sweep(tmp_path / "sweep.bin")
        return
    with pytest.raises(UserError, match=rf"sweep\.bin: {name} of point 42 is "):
        read_sweep(tmp_path / "sweep.bin")


def test_four_columns_read_as_five_are_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    four = np.column_stack([rng.uniform(-30, 30, (100, 3)), rng.uniform(0, 1, 100)]).astype(np.float32)
    four.tofile(tmp_path / "sweep.bin")
    with pytest.raises(UserError, match=r"sweep\.bin: (intensity|ring) of point .*x y z intensity ring the file's"):
        read_sweep(tmp_path / "sweep.bin")


def test_a_folder_in_place_of_a_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_sweep(tmp_path)

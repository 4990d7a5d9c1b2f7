"""Folders of point files, with poses, calibration and images."""

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import open3d as o3d
import pytest
from PIL import Image
from typer.testing import CliRunner

from data_prep.cache_folder import CacheFolder
from data_prep.folder import FolderReader
from data_prep.folder_source import COARSE_FILES, WIDE_FILES, XYZ
from data_prep.left_out import NO_RETURN, NOT_FINITE
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.point_options import PointOptions
from data_prep.reader import RawFrame
from pc_ssl.cli import app
from pc_ssl.data.cache import Cache
from pc_ssl.data.verify import verify
from pc_ssl.errors import UsageError, UserError

COLUMNS = ("x", "y", "z", "intensity")


def cloud(seed: int, count: int = 400) -> np.ndarray:
    """[N, 4]: a floor and four objects on it."""
    rng = np.random.default_rng(seed)
    floor = np.column_stack([rng.uniform(-20, 20, (count, 2)), rng.normal(-1.8, 0.02, count)])
    things = (rng.uniform(-10, 10, (4, 1, 3)) * [1, 1, 0.05] + rng.uniform(-0.5, 0.5, (4, 30, 3))).reshape(-1, 3)
    xyz = np.concatenate([floor, things])
    return np.column_stack([xyz, rng.uniform(0, 1, len(xyz))]).astype(np.float32)


def poses(count: int) -> np.ndarray:
    """[count, 3, 4] poses of a vehicle on a curve."""
    yaw = 0.1 * np.arange(count)
    zero, one = np.zeros(count), np.ones(count)
    rows = [np.cos(yaw), -np.sin(yaw), zero, 5 * yaw, np.sin(yaw), np.cos(yaw), zero, yaw, zero, zero, one, zero]
    return np.stack(rows, 1).reshape(count, 3, 4)


def encoded(kind: str, size: tuple[int, int] = (64, 48)) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


CALIBRATION: dict[str, Any] = {
    "FRONT": {
        "intrinsic": [[40, 0, 31.5], [0, 40, 23.5], [0, 0, 1]],
        "camera_from_lidar": [[0, -1, 0, 0], [0, 0, -1, -0.3], [1, 0, 0, 0.1], [0, 0, 0, 1]],
    }
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two scenes of two .bin files: the first with all optional files, the second with only points."""
    for scene, folder in (("a", tmp_path / "drive/a/points"), ("b", tmp_path / "drive/b")):
        folder.mkdir(parents=True)
        for row in range(2):
            (folder / f"{row:06d}.bin").write_bytes(cloud(10 * (scene == "b") + row).tobytes())
    home = tmp_path / "drive/a"
    np.savetxt(home / "poses.txt", poses(2).reshape(2, 12))
    (home / "calibration.json").write_text(json.dumps(CALIBRATION))
    (home / "images/FRONT").mkdir(parents=True)
    (home / "images/FRONT/000000.jpg").write_bytes(encoded("JPEG"))
    (home / "images/FRONT/000001.png").write_bytes(encoded("PNG"))
    return tmp_path / "drive"


def frames(reader: FolderReader) -> list[RawFrame]:
    return [reader.source(frame).read() for frame in reader.frames(None)]


def test_frames_are_the_files_in_the_order_of_their_names(root: Path) -> None:
    reader = FolderReader(root, PointOptions(COLUMNS))
    assert [frame.token for frame in reader.frames(None)] == ["a-000000", "a-000001", "b-000000", "b-000001"]
    for raw, seed in zip(frames(reader), (0, 1, 10, 11), strict=True):
        np.testing.assert_array_equal(raw.points, cloud(seed))


def test_poses_are_those_of_the_file(root: Path) -> None:
    found = frames(FolderReader(root, PointOptions(COLUMNS)))
    for row in range(2):
        np.testing.assert_allclose(found[row].global_from_lidar[:3], poses(2)[row], atol=1e-9)
        np.testing.assert_array_equal(found[row].global_from_lidar[3], [0, 0, 0, 1])
    np.testing.assert_array_equal(found[2].global_from_lidar, np.eye(4))


def test_points_are_projected_with_the_calibration(root: Path) -> None:
    raw = frames(FolderReader(root, PointOptions(COLUMNS)))[0]
    pixel, point = raw.cameras["FRONT"].pairs(raw.points[:, :3])
    assert len(point) > 10
    x, y, z = raw.points[point, :3].T.astype(float)  # the camera looks along x, 0.1 m behind and 0.3 m above
    u, v = 31.5 + 40 * -y / (x + 0.1), 23.5 + 40 * (-z - 0.3) / (x + 0.1)
    np.testing.assert_allclose(pixel, np.stack([u, v], 1), rtol=1e-4, atol=1e-3)


def test_png_and_jpeg_images_are_equivalent(root: Path, tmp_path: Path) -> None:
    prepare(
        FolderReader(root, PointOptions(COLUMNS)),
        choose_stages(regions=("dbscan", "slic")),
        CacheFolder(tmp_path / "cache"),
    )
    assert not verify(tmp_path / "cache").problems
    cache = Cache(tmp_path / "cache")
    assert cache[1]["image/FRONT"].numpy().tobytes() == encoded("PNG")
    assert cache[1]["superpixel/slic/FRONT"].shape == (48, 64)
    assert "image/FRONT" not in cache[2]
    assert cache.manifest.splits == {"train": ["a", "b"]}
    assert cache.manifest.options["columns"] == ["x", "y", "z", "intensity"]


def test_missing_files_are_reported(root: Path) -> None:
    assert FolderReader(root, PointOptions(COLUMNS)).absent() == [
        "poses.txt (each frame's pose is the identity) of 1 of 2 scenes",
        "calibration.json (no images) of 1 of 2 scenes",
    ]


def test_splits_can_be_named(root: Path) -> None:
    (root / "splits.json").write_text('{"train": ["a"], "val": ["b"]}')
    reader = FolderReader(root, PointOptions(COLUMNS))
    assert [frame.scene for frame in reader.frames("val")] == ["b", "b"]
    (root / "splits.json").write_text('{"train": "a"}')
    with pytest.raises(UserError, match=r"splits.json: split 'train' is not a list of scene names"):
        reader.splits()


def test_a_folder_of_files_is_one_scene(root: Path) -> None:
    reader = FolderReader(root / "b", PointOptions(COLUMNS))
    assert reader.splits() == {"train": ["b"]}
    assert [frame.token for frame in reader.frames("train")] == ["b-000000", "b-000001"]


def test_columns_can_be_skipped_and_kept(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).uniform(0, 1, (50, 6)).astype(np.float32)
    np.save(tmp_path / "0.npy", rows)
    reader = FolderReader(tmp_path, PointOptions(("height", "x", "-", "y", "z", "-")))
    np.testing.assert_array_equal(frames(reader)[0].points, rows[:, [1, 3, 4, 0]])
    assert reader.options()["columns"] == ["x", "y", "z", "height"]


def test_intensities_and_colours_are_scaled_to_one(tmp_path: Path) -> None:
    points = o3d.t.geometry.PointCloud(cloud(0)[:, :3].copy())
    color = np.random.default_rng(0).integers(0, 256, (len(cloud(0)), 3), dtype=np.uint8)
    points.point["colors"] = o3d.core.Tensor(color)
    points.point["intensity"] = o3d.core.Tensor(100 * cloud(0)[:, 3:].copy())
    o3d.t.io.write_point_cloud(str(tmp_path / "0.ply"), points)
    (raw,) = frames(FolderReader(tmp_path, PointOptions(("x", "y", "z", "red", "green", "blue", "intensity"), 100.0)))
    np.testing.assert_allclose(raw.points[:, 3:6], color / 255, atol=1e-6)
    np.testing.assert_allclose(raw.points[:, 6], cloud(0)[:, 3], atol=1e-6)
    with pytest.raises(
        UserError, match=r"0.ply: intensity of point \d+ is [\d.]+, expected 0 to 1; .* --intensity-max"
    ):
        frames(FolderReader(tmp_path))


def test_coordinates_of_a_map_keep_their_millimetres(tmp_path: Path) -> None:
    near = cloud(0)[:, :3].astype(np.float64)
    far = near + np.array([435_123.0, 5_400_456.0, 300.0])
    np.save(tmp_path / "0.npy", far)
    (tmp_path / "poses.txt").write_text("0 -1 0 7 1 0 0 8 0 0 1 9\n")
    (raw,) = frames(FolderReader(tmp_path, PointOptions(("x", "y", "z"))))
    moved = raw.points.astype(np.float64) @ raw.global_from_lidar[:3, :3].T + raw.global_from_lidar[:3, 3]
    expected = np.column_stack([-far[:, 1] + 7, far[:, 0] + 8, far[:, 2] + 9])
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    assert np.abs(raw.points).max() < 100


def test_the_columns_of_a_bin_file_must_be_named(root: Path) -> None:
    with pytest.raises(UsageError, match=r"columns: .*000000.bin .*--columns"):
        FolderReader(root)
    with pytest.raises(UserError, match="8320 bytes are not a whole number of points of 24 bytes"):
        frames(FolderReader(root, PointOptions((*COLUMNS, "ring", "time"))))


@pytest.mark.parametrize("columns", [("x", "y"), ("x", "y", "z", "x"), ()])
def test_columns_without_coordinates_or_twice_are_rejected(root: Path, columns: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"columns: got .*, expected x, y, z"):
        FolderReader(root, PointOptions(columns))


def test_roots_without_points(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        FolderReader(tmp_path / "missing", PointOptions(COLUMNS))
    with pytest.raises(UserError, match="no point files"):
        FolderReader(tmp_path, PointOptions(COLUMNS))
    with pytest.raises(UsageError, match="intensity-max: nan is not positive"):
        FolderReader(tmp_path, PointOptions(COLUMNS, float("nan")))


def test_two_files_of_one_name_are_reported(root: Path) -> None:
    np.save(root / "b/000000.npy", cloud(0))
    with pytest.raises(UserError, match=r"000000.bin: 000000.npy has the same name"):
        FolderReader(root, PointOptions(COLUMNS))


def test_two_files_with_the_same_frame_name_are_reported(tmp_path: Path) -> None:
    """Scene `a` with `b-c` and scene `a-b` with `c` would both be called a-b-c."""
    for name in ("a/b-c.npy", "a-b/c.npy"):
        (tmp_path / name).parent.mkdir()
        np.save(tmp_path / name, cloud(0))
    with pytest.raises(UserError, match=r"a-b/c\.npy: .*'a-b-c' of .*a/b-c\.npy"):
        FolderReader(tmp_path, PointOptions(COLUMNS))


@pytest.mark.parametrize("name", ["my drive/0.npy", "caf\u00e9/0.npy", "a/scan 1.npy", "a/\u00e9.npy", ".cache/0.npy"])
def test_names_invalid_in_the_cache_are_reported_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir()
    np.save(tmp_path / name, cloud(0))
    with pytest.raises(UserError, match=r"only letters, digits and _ \+ - \. .*; rename") as caught:
        FolderReader(tmp_path, PointOptions(COLUMNS))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a/poses.txt", b"1 0 0 0 0 1 0 0 0 0 1 0\n", "holds 1 poses, but the scene has 2 point files"),
        ("a/poses.txt", b"1 0 0\n0 1 0\n", "pose 0 is not a transform of 12 or 16"),
        ("a/poses.txt", b"2 0 0 0 0 1 0 0 0 0 1 0\n" * 2, "pose 0 is not a rigid transform"),
        ("a/poses.txt", b"1 0 0 0 0 1 0 0 0 0 1 zero\n" * 2, "line 1 is .*, expected numbers"),
        ("a/calibration.json", b"[]", "expected an object with cameras"),
        ("a/calibration.json", b'{"..": {}}', r"camera name '\.\.': expected only letters"),
        ("a/calibration.json", b'{"A": {"intrinsic": [[1]]}}', "camera 'A' has no intrinsic of 3 x 3 numbers"),
        ("a/images/FRONT/000000.jpg", b"\xff\xd8\xff", "cannot be decoded as a JPEG or PNG image"),
        ("b/000000.bin", b"", "holds no points"),
        ("b/000000.bin", struct.pack("<4f", 1, 2, float("nan"), 0), "1 of 1 points are not finite"),
        ("b/000000.bin", struct.pack("<8f", 1, 2, 3, 0, 1e30, 2, 3, 0), "expected at most 10000 m"),
    ],
)
def test_errors_name_file_and_field(root: Path, file: str, content: bytes, message: str) -> None:
    (root / file).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        frames(FolderReader(root, PointOptions(COLUMNS)))
    assert file in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_points_that_are_not_returns_are_left_out_with_a_count(tmp_path: Path) -> None:
    """Half of an organised cloud has no return: a quarter at the origin, a quarter NaN or infinite."""
    points = cloud(0)
    expected = points[::2].copy()
    points[1::4, :3] = 0
    points[3::8, 0], points[7::8, 2] = np.nan, np.inf
    (tmp_path / "0.bin").write_bytes(points.tobytes())
    (tmp_path / "1.bin").write_bytes(points.tobytes())
    for raw in frames(FolderReader(tmp_path, PointOptions(COLUMNS))):
        np.testing.assert_array_equal(raw.points, expected)
        assert raw.left_out == {NOT_FINITE: len(points[3::4]), NO_RETURN: len(points[1::4])}


def test_a_cloud_without_returns_is_rejected(tmp_path: Path) -> None:
    np.zeros((50, 4), np.float32).tofile(tmp_path / "0.bin")
    with pytest.raises(UserError, match=r"0\.bin: all 50 points are at \(0, 0, 0\)"):
        frames(FolderReader(tmp_path, PointOptions(COLUMNS)))


def test_names_are_in_natural_order_and_resource_forks_are_ignored(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10, 11):
        cloud(number).tofile(tmp_path / f"{number}.bin")
    (tmp_path / "._10.bin").write_bytes(b"macOS")
    np.savetxt(tmp_path / "poses.txt", poses(5).reshape(5, 12))
    reader = FolderReader(tmp_path, PointOptions(COLUMNS))
    names = [frame.token.rpartition("-")[2] for frame in reader.frames(None)]
    assert names == ["0", "1", "2", "10", "11"]
    np.testing.assert_allclose([raw.global_from_lidar[:3] for raw in frames(reader)], poses(5), atol=1e-9)


@pytest.mark.parametrize("key", ["distortion", "width"])
def test_unused_keys_of_a_calibration_are_rejected(root: Path, key: str) -> None:
    content = {"FRONT": {**CALIBRATION["FRONT"], key: [0.1, 0, 0, 0, 0]}}
    (root / "a/calibration.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"a/calibration.json: camera 'FRONT' has '{key}'"):
        frames(FolderReader(root, PointOptions(COLUMNS)))


def test_a_distortion_of_zero_is_accepted(root: Path) -> None:
    content = {"FRONT": {**CALIBRATION["FRONT"], "distortion": [0, 0, 0, 0, 0]}}
    (root / "a/calibration.json").write_text(json.dumps(content))
    assert set(frames(FolderReader(root, PointOptions(COLUMNS)))[0].cameras) == {"FRONT"}


def test_images_without_a_frame_are_reported(root: Path) -> None:
    (root / "a/images/FRONT/1690000000123.jpg").write_bytes(encoded("JPEG"))
    assert any(
        "1 of 3 images" in phrase and "FRONT" in phrase for phrase in FolderReader(root, PointOptions(COLUMNS)).absent()
    )


def test_images_named_by_their_own_times_go_to_the_nearest_points(tmp_path: Path) -> None:
    """Points each 100 ms in nanoseconds; images in microseconds, 20 ms later, but for one 60 ms and one 1 s later."""
    start = 1_690_000_000
    (tmp_path / "images/FRONT").mkdir(parents=True)
    (tmp_path / "calibration.json").write_text(json.dumps(CALIBRATION))
    for row in range(3):
        cloud(row).tofile(tmp_path / f"{start * 10**9 + row * 10**8}.bin")
    for delay_us in (20_000, 160_000, 220_000, 1_200_000):
        (tmp_path / f"images/FRONT/{start * 10**6 + delay_us}.jpg").write_bytes(encoded("JPEG"))
    reader = FolderReader(tmp_path, PointOptions(COLUMNS))
    assert [len(raw.cameras) for raw in frames(reader)] == [1, 0, 1]
    assert any("2 of 4 images" in phrase for phrase in reader.absent())
    assert "image_tolerance" not in reader.options()
    wider = FolderReader(tmp_path, PointOptions(COLUMNS), image_tolerance=0.061)
    assert [len(raw.cameras) for raw in frames(wider)] == [1, 1, 1]
    assert wider.options()["image_tolerance"] == 0.061
    with pytest.raises(UsageError, match="image-tolerance"):
        FolderReader(tmp_path, PointOptions(COLUMNS), image_tolerance=-1)


def named_cloud(path: Path, **features: np.ndarray) -> Path:
    """A PCD file of 50 points with float64 or integer features."""
    xyz = np.random.default_rng(0).uniform(-9, 9, (50, 3))
    columns = {"x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2], **features}
    record = np.dtype([(name, values.dtype) for name, values in columns.items()])
    rows = np.empty(50, record)
    for name, values in columns.items():
        rows[name] = values
    kinds = [values.dtype for values in columns.values()]
    header = (
        f"VERSION 0.7\nFIELDS {' '.join(columns)}\nSIZE {' '.join(str(kind.itemsize) for kind in kinds)}\n"
        f"TYPE {' '.join(kind.kind.upper() for kind in kinds)}\nWIDTH 50\nHEIGHT 1\nPOINTS 50\nDATA binary\n"
    )
    path.write_bytes(header.encode() + rows.tobytes())
    return path


def test_colours_of_0_to_255_require_color_max(tmp_path: Path) -> None:
    value = np.linspace(0, 255, 50)
    named_cloud(tmp_path / "0.pcd", red=value, diffuse_green=value.astype(np.uint8))
    columns = ("x", "y", "z", "red", "green")
    with pytest.raises(UserError, match=r"0\.pcd: red of point 1 is .*--color-max 255"):
        frames(FolderReader(tmp_path, PointOptions(columns)))
    raw = frames(FolderReader(tmp_path, PointOptions(columns, color_max=255)))[0]
    np.testing.assert_allclose(raw.points[:, 3], np.linspace(0, 1, 50), rtol=1e-6)
    np.testing.assert_allclose(raw.points[:, 4], value.astype(np.uint8) / 255, rtol=1e-6)


def test_8_bit_colours_in_16_bits_are_reported(tmp_path: Path) -> None:
    named_cloud(tmp_path / "0.pcd", red=np.arange(50, dtype=np.uint16) * 5)
    with pytest.raises(UserError, match=r"0\.pcd: red holds 16-bit numbers up to 245.*--color-max 255"):
        frames(FolderReader(tmp_path, PointOptions((*XYZ, "red"))))
    raw = frames(FolderReader(tmp_path, PointOptions((*XYZ, "red"), color_max=255)))[0]
    assert raw.points[:, 3].max() == pytest.approx(245 / 255)


def test_intensities_beyond_the_largest_are_rejected_or_clipped(tmp_path: Path) -> None:
    named_cloud(tmp_path / "0.pcd", reflectivity=np.arange(50.0))
    columns = (*XYZ, "intensity=reflectivity")
    with pytest.raises(UserError, match=r"intensity of point 41 is 41, expected 0 to 40; .*--intensity-clip"):
        frames(FolderReader(tmp_path, PointOptions(columns, 40.0)))
    reader = FolderReader(tmp_path, PointOptions(columns, 40.0, intensity_clip=True))
    assert reader.columns() == COLUMNS
    np.testing.assert_allclose(frames(reader)[0].points[:, 3], np.minimum(np.arange(50) / 40, 1))


def test_intensities_without_a_largest_value_are_compressed(tmp_path: Path) -> None:
    named_cloud(tmp_path / "0.pcd", intensity=np.arange(50.0))
    reader = FolderReader(tmp_path, PointOptions((*XYZ, "intensity"), 10.0, intensity_tanh=True))
    np.testing.assert_allclose(frames(reader)[0].points[:, 3], np.tanh(np.arange(50) / 10), rtol=1e-6)
    with pytest.raises(UsageError, match="intensity-tanh"):
        FolderReader(tmp_path, PointOptions(intensity_clip=True, intensity_tanh=True))
    named_cloud(tmp_path / "0.pcd", intensity=np.arange(50.0) - 1)
    with pytest.raises(UserError, match=r"intensity of point 0 is -1"):
        frames(reader)


def test_wrong_columns_are_reported_once_and_the_folder_can_be_used_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "drive", tmp_path / "cache"
    root.mkdir()
    for number in range(5):
        named_cloud(root / f"{number}.pcd", reflectivity=np.arange(50.0) / 50)
    wrong = FolderReader(root)
    with pytest.raises(UserError, match=r"0\.pcd: has no column 'intensity'.*nothing was prepared"):
        prepare(wrong, choose_stages(()), CacheFolder(out))
    assert "pcd" not in capsys.readouterr().err
    right = FolderReader(root, PointOptions((*XYZ, "intensity=reflectivity")))
    assert prepare(right, choose_stages(()), CacheFolder(out)).prepared == 5


def test_columns_of_one_file_cost_that_frame(tmp_path: Path) -> None:
    root = tmp_path / "drive"
    root.mkdir()
    for number in range(3):
        named_cloud(root / f"{number}.pcd", **{"other" if number == 0 else "intensity": np.arange(50.0) / 50})
    report = prepare(FolderReader(root), choose_stages(()), CacheFolder(tmp_path / "cache"))
    assert (report.prepared, len(report.failures)) == (2, 1)


def test_a_ring_is_a_whole_number(tmp_path: Path) -> None:
    cloud(0).tofile(tmp_path / "0.bin")
    with pytest.raises(UserError, match=r"0\.bin: ring of point .* --columns"):
        frames(FolderReader(tmp_path, PointOptions((*XYZ, "ring"))))


def test_suspicious_files_are_counted(tmp_path: Path) -> None:
    """UTM coordinates in float32 are 0.5 m apart; a room in millimetres is 6 km wide."""
    utm, room = cloud(0), cloud(1)
    utm[:, :3] += np.float32([500_000, 5_400_000, 300])
    room[:, :3] *= 150
    utm.tofile(tmp_path / "0.bin")
    room.tofile(tmp_path / "1.bin")
    coarse, wide = frames(FolderReader(tmp_path, PointOptions(COLUMNS)))
    assert coarse.left_out == {COARSE_FILES: 1}
    assert wide.left_out == {WIDE_FILES: 1}


def test_a_compressed_las_file_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "points/0.LAZ").write_bytes(b"LASF")
    with pytest.raises(UserError, match=r"points/0\.LAZ: is compressed .*PDAL"):
        FolderReader(tmp_path)


def test_the_command(root: Path, tmp_path: Path) -> None:
    arguments = ["prepare", "folder", "--root", str(root), "--out", str(tmp_path / "cache")]
    result = CliRunner().invoke(app, [*arguments, "--columns", "x,y,z,intensity"])
    assert result.exit_code == 0, result.output
    assert len(Cache(tmp_path / "cache")) == 4
    again = CliRunner().invoke(app, [*arguments, "--columns", "x,y,z,-"])
    assert "prepared with other options (columns is" in str(again.exception)


def test_a_scene_without_read_permission_is_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, access = root / "a", os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and access(path, mode))
    reader = FolderReader(root, PointOptions(COLUMNS))
    assert {frame.scene for frame in reader.frames(None)} == {"b"}
    assert f"{closed} (no permission to read the folder)" in reader.absent()


def test_sweeps_are_merged_by_poses_and_times(root: Path, tmp_path: Path) -> None:
    (root / "a/times.txt").write_text("3.0\n3.5\n")
    (root / "b/poses.txt").write_text((root / "a/poses.txt").read_text())
    (root / "b/times.txt").write_text("1.0\n1.25\n")
    reader = FolderReader(root, PointOptions(COLUMNS), sweeps=3)
    assert reader.columns() == ("x", "y", "z", "intensity", "time")
    assert [frame.timestamp_us for frame in reader.frames(None)] == [3_000_000, 3_500_000, 1_000_000, 1_250_000]
    prepare(reader, choose_stages(), CacheFolder(tmp_path / "cache"))
    cache, alone = Cache(tmp_path / "cache"), FolderReader(root, PointOptions(COLUMNS))
    first, second = (alone.source(frame).read() for frame in alone.frames(None)[:2])
    frame = cache[1]
    assert cache.columns == reader.columns()
    assert frame.keyframe.tolist() == [True] * len(second.points) + [False] * len(first.points)
    np.testing.assert_array_equal(frame["points"][frame.keyframe][:, :4].numpy(), second.points)
    moved = np.linalg.inv(second.global_from_lidar) @ first.global_from_lidar
    expected = first.points[:, :3] @ moved[:3, :3].T + moved[:3, 3]
    np.testing.assert_allclose(frame["points"][~frame.keyframe][:, :3].numpy(), expected, atol=1e-4)
    assert set(frame["points"][~frame.keyframe][:, 4].tolist()) == {0.5}
    assert bool(cache[0].keyframe.all())


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (None, "a/times.txt: no such file; sweeps are merged by poses and times"),
        ("3.0\n", "a/times.txt: expected 2 lines of one number, increasing seconds"),
        ("3.5\n3.0\n", "a/times.txt: expected 2 lines of one number, increasing seconds"),
        ("3.0 1\n3.5 1\n", "a/times.txt: expected 2 lines of one number, increasing seconds"),
    ],
)
def test_times_that_sweeps_cannot_be_merged_by_are_rejected(root: Path, times: str | None, message: str) -> None:
    if times is not None:
        (root / "a/times.txt").write_text(times)
    reader = FolderReader(root, PointOptions(COLUMNS), sweeps=2)
    with pytest.raises(UserError) as caught:
        reader.source(reader.frames(None)[0])
    assert message in str(caught.value)

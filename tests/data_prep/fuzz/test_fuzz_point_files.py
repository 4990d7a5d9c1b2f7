"""Damaged point files: any bytes give at most a one-line error, within bounded time and memory."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open3d as o3d
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.folder import FolderReader
from data_prep.point_files.ply import read_mesh
from data_prep.point_options import PointOptions
from data_prep.poses import read_matrix, read_numbers, rigid

COLUMNS = ("x", "y", "z", "intensity")
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = settings(QUICK, max_examples=20_000)
FILES = ("a.bin", "a.npy", "a.npz", "a.ply", "ascii.ply", "a.pcd", "ascii.pcd", "packed.pcd", "a.las")


def write_all(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(0, 10, (40, 3)), rng.uniform(0, 1, 40)]).astype(np.float32)
    cloud = o3d.t.geometry.PointCloud(rows[:, :3])
    cloud.point["intensity"] = o3d.core.Tensor(rows[:, 3:].copy())
    (folder / "a.bin").write_bytes(rows.tobytes())
    np.save(folder / "a.npy", rows)
    np.savez_compressed(folder / "a.npz", points=rows)
    for name, text, packed in (
        ("a.ply", False, False),
        ("ascii.ply", True, False),
        ("a.pcd", False, False),
        ("ascii.pcd", True, False),
        ("packed.pcd", False, True),
    ):
        o3d.t.io.write_point_cloud(str(folder / name), cloud, write_ascii=text, compressed=packed)
    header = bytearray(227)
    header[:4], header[24], header[25] = b"LASF", 1, 2
    struct.pack_into("<IIBHI", header, 96, 227, 0, 0, 20, 40)
    struct.pack_into("<6d", header, 131, 1e-6, 1e-6, 1e-6, 0, 0, 0)
    (folder / "a.las").write_bytes(bytes(header) + rng.integers(0, 255, 800, dtype=np.uint8).tobytes())


@pytest.fixture(scope="module", autouse=True)
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    write_all(folder)
    contents = {name: (folder / name).read_bytes() for name in FILES}
    for name, content in contents.items():  # compile kernels before time is measured
        alone = tmp_path_factory.mktemp("alone")
        (alone / name).write_bytes(content)
        read(alone)
    return contents


def read(folder: Path) -> None:
    reader = FolderReader(folder, PointOptions(COLUMNS, 65535.0))
    for frame in reader.frames(None):
        reader.source(frame).read()


def attack(whole: dict[str, bytes], folder: Path, damaged: Callable, judge: Callable, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES))
    path = folder / name
    path.write_bytes(data.draw(damaged(whole[name])))
    try:
        judge(read, folder)
        if path.suffix == ".ply":
            judge(read_mesh, path)
    finally:
        path.unlink()


def test_whole_files_are_read(whole: dict[str, bytes], tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(whole[name])
        read(tmp_path)
        (tmp_path / name).unlink()


@settings(QUICK, max_examples=300)
@given(st.data())
def test_damaged_files(
    whole: dict[str, bytes], tmp_path: Path, damaged: Callable, judge: Callable, data: st.DataObject
) -> None:
    attack(whole, tmp_path, damaged, judge, data)


@pytest.mark.slow
@LONG
@given(st.data())
def test_damaged_files_at_length(
    whole: dict[str, bytes], tmp_path: Path, damaged: Callable, judge: Callable, data: st.DataObject
) -> None:
    attack(whole, tmp_path, damaged, judge, data)


@QUICK
@given(content=st.binary(max_size=400), name=st.sampled_from(FILES))
def test_bytes_of_no_format(tmp_path: Path, judge: Callable, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    try:
        judge(read, tmp_path)
    finally:
        (tmp_path / name).unlink()


def test_a_zip_with_a_false_size_is_not_unpacked(tmp_path: Path, judge: Callable) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("points.npy", bytes(390_000_000))
    content = (tmp_path / "a.npz").read_bytes()
    lie = content.replace((390_000_000).to_bytes(4, "little"), (300).to_bytes(4, "little"))
    (tmp_path / "a.npz").write_bytes(lie)
    judge(read, tmp_path)
    (tmp_path / "a.npz").write_bytes(content)
    judge(read, tmp_path)


@pytest.mark.parametrize("count", [2**31, 2**32 - 1, 10**17, 10**18 - 1])
@pytest.mark.parametrize("form", ["binary_little_endian", "ascii"])
def test_huge_counts_in_a_ply(tmp_path: Path, judge: Callable, count: int, form: str) -> None:
    head = f"ply\nformat {form} 1.0\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z\n"
    (tmp_path / "a.ply").write_text(head + "end_header\n1 2 3\n")
    judge(read, tmp_path)


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize(("count", "of"), [(10**17, 1), (3, 10**17), (2**31, 9999)])
def test_huge_counts_in_a_pcd(tmp_path: Path, judge: Callable, data: str, count: int, of: int) -> None:
    head = f"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT {of} 1 1\nPOINTS {count}\nDATA {data}\n"
    (tmp_path / "a.pcd").write_bytes(head.encode() + b"\xff\xff\xff\x0f" * 20)
    judge(read, tmp_path)


def test_a_pcd_that_unpacks_to_too_many_bytes_is_rejected(tmp_path: Path, judge: Callable) -> None:
    points = 40_000_000
    head = f"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nPOINTS {points}\nDATA binary_compressed\n"
    packed = b"\x00\x00" + b"\xe0\xff\x00" * (12 * points // 264 + 1)  # a zero, then the last byte 264 times, ...
    sizes = struct.pack("<II", len(packed), 12 * points)
    (tmp_path / "a.pcd").write_bytes(head.encode() + sizes + packed)
    judge(read, tmp_path)


def test_a_deeply_nested_header(tmp_path: Path, judge: Callable) -> None:
    header = b"{'descr': " + b"(" * 5000 + b"}\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    judge(read, tmp_path)


@QUICK
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_text_that_is_not_a_pose(tmp_path: Path, judge: Callable, content: bytes) -> None:
    path = tmp_path / "pose.txt"
    path.write_bytes(content)
    judge(read_matrix, path)
    judge(lambda: [rigid(path, "pose", row) for row in read_numbers(path)])

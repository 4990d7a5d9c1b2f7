"""Point files of other tools: Open3D's PLY and PCD, numpy's arrays, LAS by its specification."""

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import open3d as o3d
import pytest

from data_prep.point_files import read_columns
from data_prep.point_files.ply import read_mesh
from pc_ssl.errors import UserError

XYZ = ("x", "y", "z")


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 10, (500, 3)).astype(np.float32)


def stacked(columns: dict[str, np.ndarray], names: tuple[str, ...] = XYZ) -> np.ndarray:
    return np.stack([columns[name] for name in names], 1)


@pytest.mark.parametrize("ascii_text", [False, True])
def test_ply_of_open3d(tmp_path: Path, points: np.ndarray, ascii_text: bool) -> None:
    cloud = o3d.t.geometry.PointCloud(points)
    color = np.random.default_rng(1).integers(0, 256, (500, 3), dtype=np.uint8)
    cloud.point["colors"] = o3d.core.Tensor(color)
    cloud.point["intensity"] = o3d.core.Tensor(points[:, :1] * 2)
    o3d.t.io.write_point_cloud(str(tmp_path / "a.ply"), cloud, write_ascii=ascii_text)
    columns = read_columns(tmp_path / "a.ply", (*XYZ, "red", "green", "blue", "intensity"))
    np.testing.assert_allclose(stacked(columns), points, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(columns["intensity"], points[:, 0] * 2, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(stacked(columns, ("red", "green", "blue")), color)
    assert columns["red"].dtype == np.uint8


@pytest.mark.parametrize("ascii_text", [False, True])
def test_mesh_of_open3d(tmp_path: Path, ascii_text: bool) -> None:
    mesh = o3d.geometry.TriangleMesh.create_sphere(1.0, 8)
    o3d.io.write_triangle_mesh(str(tmp_path / "a.ply"), mesh, write_ascii=ascii_text)
    columns, triangle = read_mesh(tmp_path / "a.ply")
    np.testing.assert_allclose(stacked(columns), np.asarray(mesh.vertices), atol=1e-6)
    np.testing.assert_array_equal(triangle, np.asarray(mesh.triangles))


def test_big_endian_ply_with_another_element_first(tmp_path: Path, points: np.ndarray) -> None:
    header = (
        "ply\r\nformat binary_big_endian 1.0\r\ncomment made by hand\r\nelement camera 2\r\nproperty short id\r\n"
        "element vertex 500\r\nproperty double z\r\nproperty double y\r\nproperty double x\r\nend_header\r\n"
    )
    content = header.encode() + np.array([7, 8], ">i2").tobytes() + points[:, ::-1].astype(">f8").tobytes()
    (tmp_path / "a.ply").write_bytes(content)
    np.testing.assert_array_equal(stacked(read_columns(tmp_path / "a.ply", XYZ)), points.astype(np.float64))


@pytest.mark.parametrize("kind", ["ascii", "binary", "compressed"])
def test_pcd_of_open3d(tmp_path: Path, points: np.ndarray, kind: str) -> None:
    points[:100] = 1.5  # something to compress
    cloud = o3d.t.geometry.PointCloud(points)
    cloud.point["intensity"] = o3d.core.Tensor(points[:, 1:2].copy())
    o3d.t.io.write_point_cloud(
        str(tmp_path / "a.pcd"), cloud, write_ascii=kind == "ascii", compressed=kind == "compressed"
    )
    data = {"ascii": b"DATA ascii", "binary": b"DATA binary\n", "compressed": b"DATA binary_compressed"}[kind]
    assert data in (tmp_path / "a.pcd").read_bytes()
    columns = read_columns(tmp_path / "a.pcd", (*XYZ, "intensity"))
    np.testing.assert_allclose(stacked(columns), points, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(columns["intensity"], points[:, 1], rtol=1e-5, atol=1e-5)


def test_a_text_pcd_keeps_pixels_without_a_return(tmp_path: Path) -> None:
    header = "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z ring hog\nSIZE 4 4 4 2 4\nTYPE F F F U F\nCOUNT 1 1 1 1 3\n"
    header += "WIDTH 3\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\nDATA ascii\n"
    (tmp_path / "a.pcd").write_text(header + "1 2 3 9 0 0 0\nnan nan nan 0 0 0 0\n4 5 6 65535 0 0 0\n")
    columns = read_columns(tmp_path / "a.pcd", (*XYZ, "ring"))
    np.testing.assert_array_equal(stacked(columns), [[1, 2, 3], [np.nan] * 3, [4, 5, 6]])
    assert columns["ring"].tolist() == [9, 0, 65535]
    with pytest.raises(UserError, match="column 'hog', found x, y, z, ring"):
        read_columns(tmp_path / "a.pcd", ("hog",))


@pytest.mark.parametrize("kind", ["F", "U", "I"])
@pytest.mark.parametrize("text", [True, False])
def test_packed_colours_of_a_pcd_are_three_channels(tmp_path: Path, kind: str, text: bool) -> None:
    """0xrrggbb in 4 bytes, see the Point Cloud Library's documentation of PointXYZRGB."""
    bits = np.array([0x0A141E, 0xFF0080], "<u4")
    stored = bits.view({"F": "<f4", "U": "<u4", "I": "<i4"}[kind])
    header = (
        f"VERSION 0.7\nFIELDS X Y Z RGB\nSIZE 4 4 4 4\nTYPE F F F {kind}\nCOUNT 1 1 1 1\nWIDTH 2\nHEIGHT 1\nPOINTS 2\n"
    )
    if text:
        rows = "".join(f"{k} 2 3 {value!r}\n" for k, value in enumerate(stored.tolist()))
        content = f"{header}DATA ascii\n{rows}".encode()
    else:
        xyz = np.array([[0, 2, 3], [1, 2, 3]], "<f4")
        content = f"{header}DATA binary\n".encode() + b"".join(
            a.tobytes() + b.tobytes() for a, b in zip(xyz, stored, strict=True)
        )
    (tmp_path / "a.pcd").write_bytes(content)
    columns = read_columns(tmp_path / "a.pcd", (*XYZ, "red", "green", "blue"))
    assert stacked(columns).tolist() == [[0, 2, 3], [1, 2, 3]]
    assert stacked(columns, ("red", "green", "blue")).tolist()[0] == [10, 20, 30]
    if kind == "U":
        assert stacked(columns, ("red", "green", "blue")).tolist()[1] == [255, 0, 128]
    with pytest.raises(UserError, match=r"a\.pcd: 'rgb' holds packed colours.*red,green,blue"):
        read_columns(tmp_path / "a.pcd", (*XYZ, "rgb"))


def test_packed_colours_of_open3d(tmp_path: Path, points: np.ndarray) -> None:
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    color = np.random.default_rng(1).integers(0, 256, (500, 3))
    cloud.colors = o3d.utility.Vector3dVector(color / 255)
    o3d.io.write_point_cloud(str(tmp_path / "a.pcd"), cloud)
    columns = read_columns(tmp_path / "a.pcd", (*XYZ, "red", "green", "blue"))
    np.testing.assert_array_equal(stacked(columns, ("red", "green", "blue")), color)


def test_names_are_case_insensitive_and_can_be_mapped(tmp_path: Path) -> None:
    header = "VERSION 0.7\nFIELDS X Y Z Reflectivity\nSIZE 4 4 4 4\nTYPE F F F F\nWIDTH 1\nHEIGHT 1\nPOINTS 1\n"
    (tmp_path / "a.pcd").write_text(header + "DATA ascii\n1 2 3 0.5\n")
    columns = read_columns(tmp_path / "a.pcd", (*XYZ, "intensity=reflectivity"))
    assert {name: values.tolist() for name, values in columns.items()} == {
        "x": [1], "y": [2], "z": [3], "intensity": [0.5],
    }  # fmt: skip
    with pytest.raises(UserError, match=r"column 'intensity', found X, Y, Z, Reflectivity.*intensity=COLUMN"):
        read_columns(tmp_path / "a.pcd", (*XYZ, "intensity"))


PLY_FACE_FIRST = (
    "ply\nformat {format} 1.0\nelement face 2\nproperty list uchar int vertex_indices\nelement vertex 3\n"
    "property float x\nproperty float y\nproperty float z\nproperty uchar diffuse_red\nend_header\n"
)


@pytest.mark.parametrize("format", ["ascii", "binary_little_endian"])
def test_a_ply_with_its_faces_first_is_read(tmp_path: Path, format: str) -> None:
    vertex = [(1, 2, 3, 7), (4, 5, 6, 8), (7, 8, 9, 255)]
    if format == "ascii":
        body = ("3 0 1 2\n3 2 1 0\n" + "".join(" ".join(map(str, row)) + "\n" for row in vertex)).encode()
    else:
        body = struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 2, 1, 0) + b"".join(struct.pack("<3fB", *row) for row in vertex)
    (tmp_path / "a.ply").write_bytes(PLY_FACE_FIRST.format(format=format).encode() + body)
    columns = read_columns(tmp_path / "a.ply", (*XYZ, "red"))
    assert stacked(columns, (*XYZ, "red")).tolist() == [list(row) for row in vertex]
    with pytest.raises(UserError, match=r"a\.ply: element 'face' precedes 'vertex'"):
        read_mesh(tmp_path / "a.ply")


def test_vertices_of_a_ply_may_have_a_list(tmp_path: Path) -> None:
    header = (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 2\nproperty float x\nproperty list uchar short seen_by\n"
        b"property float y\nproperty float z\nend_header\n"
    )
    row = struct.Struct("<fB2hff")
    (tmp_path / "a.ply").write_bytes(header + row.pack(1, 2, 7, 8, 2, 3) + row.pack(4, 2, 7, 9, 5, 6))
    assert stacked(read_columns(tmp_path / "a.ply", XYZ)).tolist() == [[1, 2, 3], [4, 5, 6]]


LISTS_PLY = (
    "ply\nformat {format} 1.0\nelement face 2\nproperty list uchar int vertex_indices\nproperty uchar kind\n"
    "element vertex 3\nproperty float x\nproperty list uchar short seen_by\nproperty float y\nproperty float z\n"
    "property list int double weight\nend_header\n"
)
FACES = (((0, 1, 2), 7), ((2, 1, 0, 1), 8))
VERTICES = ((1.0, (7, 8), 2.0, 3.0, ()), (4.0, (), 5.0, 6.0, (0.5,)), (7.0, (1,), 8.0, 9.0, (0.25, 0.5)))


def with_lists(order: str) -> bytes:
    """Rows of several lists of different lengths; order: "<", ">" or "" for text."""
    if not order:
        rows = [(len(corners), *corners, kind) for corners, kind in FACES]
        rows += [(x, len(seen), *seen, y, z, len(weight), *weight) for x, seen, y, z, weight in VERTICES]
        body = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    else:
        body = b"".join(
            struct.pack(f"{order}B{len(corners)}iB", len(corners), *corners, kind) for corners, kind in FACES
        ) + b"".join(
            struct.pack(f"{order}fB{len(seen)}hffi{len(weight)}d", x, len(seen), *seen, y, z, len(weight), *weight)
            for x, seen, y, z, weight in VERTICES
        )
    names = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}
    return LISTS_PLY.format(format=names[order]).encode() + body


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_lists_of_different_lengths_are_skipped(tmp_path: Path, order: str) -> None:
    (tmp_path / "a.ply").write_bytes(with_lists(order))
    assert stacked(read_columns(tmp_path / "a.ply", XYZ)).tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_lists_that_are_cut_off_or_too_long_are_errors(tmp_path: Path, order: str) -> None:
    content = with_lists(order)
    for length in range(len(content) - 1, len(LISTS_PLY) + 20, -7):
        assert "cut off" in message(tmp_path / "a.ply", content[:length])
    long = content.replace(struct.pack(order + "fBhhf", 1, 2, 7, 8, 2), struct.pack(order + "fBhhf", 1, 255, 7, 8, 2))
    assert "cut off" in message(tmp_path / "a.ply", long)


def test_a_line_of_text_with_another_length_of_a_list_is_an_error(tmp_path: Path) -> None:
    content = with_lists("").replace(b"4.0 0 5.0", b"4.0 9 5.0")
    assert "4.0 9 5.0" in message(tmp_path / "a.ply", content)
    content = with_lists("").replace(b"4.0 0 5.0", b"4.0 x 5.0")
    assert "'seen_by'" in message(tmp_path / "a.ply", content)


def las(points: np.ndarray, intensity: np.ndarray, version: int = 2, form: int = 2) -> bytes:
    """By the specification: X Y Z as multiples of 1 mm plus an offset, intensity, then the fields of the format."""
    size, color_at = {0: (20, None), 2: (26, 20), 7: (36, 30)}[form]
    offset = np.floor(points.min(0))
    header = bytearray(375 if version == 4 else 227)
    header[:4], header[24], header[25] = b"LASF", 1, version
    struct.pack_into("<H", header, 94, len(header))
    struct.pack_into("<IIBHI", header, 96, len(header), 0, form, size, 0 if version == 4 else len(points))
    struct.pack_into("<6d", header, 131, 0.001, 0.001, 0.001, *offset)
    if version == 4:
        struct.pack_into("<Q", header, 247, len(points))
    rows = np.zeros((len(points), size), np.uint8)
    rows[:, :12] = np.rint((points - offset) / 0.001).astype("<i4").view(np.uint8)
    rows[:, 12:14] = intensity.astype("<u2")[:, None].view(np.uint8)
    if color_at is not None:
        rows[:, color_at : color_at + 2] = np.frombuffer(struct.pack("<H", 4660), np.uint8)
    return bytes(header) + rows.tobytes()


@pytest.mark.parametrize(("version", "form"), [(2, 0), (2, 2), (4, 7)])
def test_las_by_its_specification(tmp_path: Path, points: np.ndarray, version: int, form: int) -> None:
    far = points.astype(np.float64) + np.array([435_000.0, 5_400_000.0, 300.0])
    intensity = np.arange(500) * 100
    (tmp_path / "a.las").write_bytes(las(far, intensity, version, form))
    columns = read_columns(tmp_path / "a.las", (*XYZ, "intensity"))
    np.testing.assert_allclose(stacked(columns), far, atol=0.00051)
    np.testing.assert_array_equal(columns["intensity"], intensity)
    if form:
        assert set(read_columns(tmp_path / "a.las", ("red",))["red"]) == {4660}


def test_arrays_of_numpy(tmp_path: Path, points: np.ndarray) -> None:
    names = (*XYZ, "intensity")
    four = np.column_stack([points, points[:, 0]])
    np.save(tmp_path / "a.npy", np.asfortranarray(four.astype(np.float64)))
    np.savez_compressed(tmp_path / "one.npz", cloud=four)
    np.savez(tmp_path / "two.npz", points=four, other=np.zeros(3))
    (tmp_path / "a.bin").write_bytes(four.tobytes())
    for file in ("a.npy", "one.npz", "two.npz", "a.bin"):
        np.testing.assert_array_equal(stacked(read_columns(tmp_path / file, names), names), four)


def message(path: Path, content: bytes, names: tuple[str, ...] = XYZ) -> str:
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_columns(path, names)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


PLY = (
    b"ply\nformat binary_little_endian 1.0\nelement vertex %s\n"
    b"property float x\nproperty float y\nproperty float z\nend_header\n"
)


def test_counts_of_a_header_are_compared_with_the_size_of_the_file(tmp_path: Path) -> None:
    a = tmp_path / "a.ply"
    assert "3 points of 12 bytes, but 24 bytes" in message(a, PLY % b"3" + bytes(24))
    assert "999999999999999999 points" in message(a, PLY % b"999999999999999999" + bytes(24))
    assert "expected a whole number" in message(a, PLY % b"9999999999999999999999" + bytes(24))
    assert "expected a whole number" in message(a, PLY % b"-1" + bytes(24))
    text = (PLY % b"2").replace(b"binary_little_endian", b"ascii")
    assert "1 lines of 'vertex', but the header declares 2" in message(a, text + b"1 2 3\n")
    assert "expected lines of 3 numbers" in message(a, text + b"1 2 3\n4 5 six\n")
    assert "no PLY header" in message(a, b"plywood")
    assert "floot" in message(a, b"ply\nformat ascii 1.0\nelement vertex 1\nproperty floot x\nend_header\n1\n")
    assert "not a whole number of points of 12 bytes" in message(tmp_path / "a.bin", bytes(13))
    cut = las(np.zeros((10, 3)), np.zeros(10))[:-5]
    assert "10 points of 26 bytes, but 255 bytes" in message(tmp_path / "a.las", cut)


def test_compressed_las_is_reported(tmp_path: Path) -> None:
    content = bytearray(las(np.zeros((10, 3)), np.zeros(10)))
    content[104] |= 0x80
    assert "is compressed (LAZ); unpack it" in message(tmp_path / "a.las", bytes(content))


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert "holds object [1], expected numbers [N, 3]" in message(tmp_path / "a.npy", (tmp_path / "a.npy").read_bytes())


def test_other_columns_than_named_are_reported(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((7, 5), np.float32))
    with pytest.raises(UserError, match=r"holds float32 \[7, 5\], expected numbers \[N, 3\]: x, y, z; .*--columns"):
        read_columns(tmp_path / "a.npy", XYZ)
    np.savez(tmp_path / "a.npz", a=np.zeros((7, 3)), b=np.zeros((7, 3)))
    with pytest.raises(UserError, match=r"expected an array 'points'.* found 'a.npy', 'b.npy'"):
        read_columns(tmp_path / "a.npz", XYZ)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("points.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(50):
            file.write(bytes(10_000_000))
    with pytest.raises(UserError, match="unpacks to 500000000 bytes, expected at most 400000000"):
        read_columns(path, XYZ)


def test_faces_that_are_not_triangles_or_have_a_wrong_index(tmp_path: Path) -> None:
    def mesh(*faces: Any) -> Path:
        head = PLY % b"3"
        head = head.replace(
            b"end_header", b"element face %d\nproperty list uchar int vertex_indices\nend_header" % len(faces)
        )
        body = b"".join(struct.pack(f"<B{len(face)}i", len(face), *face) for face in faces)
        (tmp_path / "m.ply").write_bytes(head + bytes(36) + body + bytes(8))
        return tmp_path / "m.ply"

    assert read_mesh(mesh((0, 1, 2), (2, 1, 0)))[1].tolist() == [[0, 1, 2], [2, 1, 0]]
    with pytest.raises(UserError, match="a face has 4 corners, expected triangles"):
        read_mesh(mesh((0, 1, 2, 0), (0, 1, 2)))
    with pytest.raises(UserError, match="a face has vertex index 3, expected 0 to 2"):
        read_mesh(mesh((0, 1, 3)))

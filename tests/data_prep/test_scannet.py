"""Frames read from a small room in ScanNet's format."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scannet_room import (
    DEPTH_SIZE,
    SCENE,
    SIZE,
    THINGS,
    image,
    intrinsic,
    ply,
    read,
    sens,
    things,
    triangles,
    world_from_room,
    write_scene,
)
from typer.testing import CliRunner

from data_prep.cache_folder import CacheFolder
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.projection import pairs_of_cameras
from data_prep.rgbd import TOLERANCE, RgbdCamera
from data_prep.scannet import ScanNetReader
from data_prep.scannet_frames import CUT_OFF, DAMAGED, LOST
from data_prep.scannet_names import LABEL_CLASSES, NYU40
from pc_ssl.cli import app
from pc_ssl.data.cache import Cache
from pc_ssl.data.verify import verify
from pc_ssl.errors import UsageError, UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scene(tmp_path)
    (tmp_path / "scannetv2_train.txt").write_text(f"{SCENE}\nscene0001_00\n")
    (tmp_path / "scannetv2_val.txt").write_text("scene0002_00\n")
    return tmp_path


def test_points_are_aligned_with_the_walls_and_keep_their_order(root: Path) -> None:
    raw, (xyz, _) = read(root), things()
    np.testing.assert_allclose(raw.points[:, :3], xyz, atol=2e-5)
    np.testing.assert_allclose(raw.global_from_lidar, world_from_room(), atol=1e-5)
    color = np.random.default_rng(2).integers(0, 256, (len(xyz), 3))
    np.testing.assert_allclose(raw.points[:, 3:6], color / 255, atol=1e-6)


def test_normals_are_those_of_the_triangles(root: Path) -> None:
    raw, (xyz, _) = read(root), things()
    for corners in triangles():  # they share no vertices
        a, b, c = xyz[corners]
        normal = np.cross(b - a, c - a)
        np.testing.assert_allclose(raw.points[corners, 6:], np.tile(normal / np.linalg.norm(normal), (3, 1)), atol=2e-3)


def test_labels_are_the_benchmarks_classes(root: Path) -> None:
    names = [LABEL_CLASSES[k] for k in read(root).label[::60]]
    assert names == ["floor", "chair", "otherfurniture", "ignore", "picture"]
    assert len(LABEL_CLASSES) == 21
    assert NYU40[24] == "refrigerator"


def test_instances_are_the_objects_of_the_aggregation(root: Path) -> None:
    raw = read(root)
    _, thing = things()
    np.testing.assert_array_equal(raw.instance, np.where(thing == 3, 0, thing + 1))


def test_boxes_surround_the_objects_of_the_detection_task(root: Path) -> None:
    raw = read(root)
    names = [ScanNetReader(root).classes()["box"][k] for k in raw.box_class]
    assert names == ["chair", "otherfurniture", "picture"]  # the floor has none
    low_high = [THINGS[k][2:] for k in (1, 2, 4)]
    for box, (low, high) in zip(raw.box, low_high, strict=True):
        np.testing.assert_allclose(box[:3], 0.5 * (np.array(low) + high), atol=1e-4)
        np.testing.assert_allclose(box[3:6], np.maximum(np.array(high) - low, 0.01), atol=1e-4)
        assert not box[6:].any()


def test_segments_are_regions_of_the_data_set(root: Path) -> None:
    np.testing.assert_array_equal(read(root).region["segment"], np.arange(300) // 20)


@pytest.mark.parametrize("source", ["exported", "25k", "sens"])
def test_exported_frames_and_sens_files_give_the_same_frames(root: Path, source: str) -> None:
    expected = read(root)
    folder = root / "scans" / SCENE
    if source == "25k":
        other = root / "scannet_frames_25k" / SCENE
        other.mkdir(parents=True)
        for name in ("color", "depth", "pose"):
            (folder / name).rename(other / name)
        for kind in ("color", "depth"):
            (folder / f"intrinsic/intrinsic_{kind}.txt").rename(other / f"intrinsics_{kind}.txt")
    elif source == "sens":
        (folder / "color").rename(folder / "not color")
        (folder / f"{SCENE}.sens").write_bytes(sens())
    raw = read(root, step=20 if source == "sens" else 10)
    wanted = ["000000", "000040"] if source == "sens" else ["000000", "000010", "000040"]  # tracking was lost in 20
    assert list(raw.cameras) == wanted
    for name in wanted:
        assert raw.images[name] == expected.images[name]
        assert raw.image_names[name] == f"{SCENE}_{name}"
        first, second = raw.cameras[name], expected.cameras[name]
        assert (first.width, first.height) == SIZE
        np.testing.assert_allclose(first.camera_from_lidar, second.camera_from_lidar, atol=1e-5)
        np.testing.assert_allclose(first.intrinsic, intrinsic(SIZE)[:3, :3], atol=1e-5)
        np.testing.assert_array_equal(first.read_depth(), second.read_depth())


def test_points_are_paired_where_the_depth_agrees(root: Path) -> None:
    raw, (xyz, thing) = read(root), things()
    camera = raw.cameras["000000"]
    pixel, point = camera.pairs(raw.points[:, :3])
    seen = {}
    for row, (x, y, z) in enumerate(xyz):  # seen from above, (1.5, 1.5, 2.4): x to the right, y upwards
        depth = 2.4 - z
        u, v = (scale * 0.8 * 64 / depth + centre for scale, centre in ((x - 1.5, 31.5), (1.5 - y, 23.5)))
        column = (x - 1.5) * 0.8 * 32 / depth + 15.5
        inside = 0 <= u <= 63 and 0 <= v <= 47
        if inside and round(column) >= 4 and abs(depth - 2.4) <= TOLERANCE:
            seen[row] = (u, v)
    assert point.tolist() == list(seen)
    np.testing.assert_allclose(pixel, list(seen.values()), atol=1e-3)
    assert 10 < len(seen) < len(xyz)
    assert not (thing[point] == 4).any()  # the picture is nearer than the measured depth


def test_pairs_stay_inside_the_image() -> None:
    depth = np.full((24, 32), 1000, np.uint16)
    camera = RgbdCamera(64, 48, intrinsic(SIZE)[:3, :3], np.eye(4), intrinsic(DEPTH_SIZE)[:3, :3], lambda: depth)
    xyz = np.random.default_rng(0).uniform([-2, -2, -2], [2, 2, 2], (5000, 3)).astype(np.float32)
    pixel, point = camera.pairs(xyz)
    assert len(point) > 20
    assert (pixel >= 0).all()
    assert (pixel <= [63, 47]).all()
    assert (np.abs(xyz[point, 2] - 1) <= TOLERANCE + 1e-6).all()


def test_missing_files_are_left_out_and_reported(root: Path) -> None:
    folder = root / "scans" / SCENE
    for path in [*folder.glob("*.json"), *folder.glob("*.labels.ply"), folder / f"{SCENE}.txt"]:
        path.unlink()
    (folder / "color").rename(folder / "not color")
    raw = read(root)
    assert raw.label is raw.instance is raw.box is None
    assert not raw.cameras
    np.testing.assert_array_equal(raw.global_from_lidar, np.eye(4))
    absent = ScanNetReader(root).absent()
    assert [phrase.split(" (")[0] for phrase in absent] == [
        "labels",
        "segments",
        "aggregation",
        "description",
        "RGB-D frames",
    ]
    assert all(phrase.endswith("of 1 of 1 scenes") for phrase in absent)


def test_missing_segments_are_computed_from_the_mesh(root: Path) -> None:
    """Two perpendicular planes and a separate one, finely meshed: three segments."""
    u, v = (grid.ravel() for grid in np.meshgrid(np.arange(12), np.arange(12), indexing="ij"))
    cell = (12 * u + v)[(u < 11) & (v < 11)]
    faces = np.concatenate([np.stack([cell, cell + 12, cell + 1], 1), np.stack([cell + 1, cell + 12, cell + 13], 1)])
    u, v = 0.1 * u, 0.1 * v
    floor, wall = np.stack([u, v, 0 * u], 1), np.stack([0 * u - 0.1, v, u + 0.1], 1)
    table = floor + np.array([3, 3, 0.8])
    bridge = [[a, a + 1, 144 + a] for a in range(11)] + [[a + 1, 144 + a + 1, 144 + a] for a in range(11)]
    face = np.concatenate([faces, faces + 144, faces + 288, bridge])
    vertex = np.concatenate([floor, wall, table])
    folder = root / "scans" / SCENE
    for path in [*folder.glob("*.json"), *folder.glob("*.labels.ply"), folder / f"{SCENE}.txt"]:
        path.unlink()
    (folder / f"{SCENE}_vh_clean_2.ply").write_bytes(ply(vertex, np.zeros((432, 3), int), face=face))
    raw = read(root)
    inner = (u > 0.25) & (u < 0.95)  # away from the edge, where normals change
    segments = [set(part[inner]) for part in np.split(raw.region["segment"], 3)]
    assert [len(segment) for segment in segments] == [1, 1, 1]
    assert len(set.union(*segments)) == 3
    assert raw.instance is None


def test_splits_are_the_lists_of_the_benchmark(root: Path) -> None:
    write_scene(root, "scene0001_00", frames=False)
    reader = ScanNetReader(root)
    assert reader.splits() == {"train": [SCENE, "scene0001_00"], "val": ["scene0002_00"]}
    assert [frame.scene for frame in reader.frames("train")] == [SCENE, "scene0001_00"]
    with pytest.raises(UserError, match="no scene of split 'val' found"):
        reader.frames("val")


def test_a_room_gives_a_valid_cache(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "cache"
    prepare(ScanNetReader(root, 10), choose_stages(regions=("dbscan3d", "slic"), ground="floor"), CacheFolder(out))
    report = verify(out)
    assert not report.problems
    frame = Cache(out)[0]
    assert {"region/segment", "region/dbscan3d", "superpixel/slic/000040", "pixel/000000"} <= set(frame.keys())
    _, thing = things()
    ground = frame["ground"].numpy()
    assert ground[thing == 0].all()
    assert not ground[thing == 3].any()


Edit = Callable[[Path], None]


def replace(ending: str, old: bytes, new: bytes) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / f"{SCENE}{ending}" if ending[0] in "._" else folder / ending
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return edit


MISTAKES: dict[str, tuple[Edit, str]] = {
    "fewer labels": (
        replace("_vh_clean_2.labels.ply", b"element vertex 300", b"element vertex 299"),
        r"labels.ply: holds 299 labels, but the mesh has 300 vertices",
    ),
    "no colours": (
        replace("_vh_clean_2.ply", b"uchar red", b"uchar rod"),
        r"_vh_clean_2.ply: the vertices have no 'red', found x, y, z, rod",
    ),
    "vertices at infinity": (
        lambda folder: (folder / f"{SCENE}_vh_clean_2.ply").write_bytes(
            ply(np.full((300, 3), np.inf), np.zeros((300, 3), int))
        ),
        r"_vh_clean_2.ply: x, y, z of 300 of 300 points are not finite",
    ),
    "vertices far away": (
        lambda folder: (folder / f"{SCENE}_vh_clean_2.ply").write_bytes(
            ply(np.full((300, 3), 2e4), np.zeros((300, 3), int))
        ),
        r"_vh_clean_2.ply: vertex 0 .* expected .* 1000 m",
    ),
    "too few segments": (
        replace("_vh_clean_2.0.010000.segs.json", b"[0, ", b"["),
        r"segs.json: segIndices has 299 values, but the mesh has 300 vertices",
    ),
    "segments that are not numbers": (
        replace("_vh_clean_2.0.010000.segs.json", b"[0, ", b'["0", '),
        r"segs.json: field 'segIndices' is not a list",
    ),
    "an object of unknown segments": (
        replace(".aggregation.json", b"[2006, ", b"[77, "),
        r"aggregation.json: segGroups\[2\] has segment 77",
    ),
    "an object without a number": (
        replace(".aggregation.json", b'"objectId": 1', b'"objectId": null'),
        r"aggregation.json: segGroups\[1\] has no objectId from 0 on",
    ),
    "an alignment that is not rigid": (
        replace(".txt", b"axisAlignment = 0.9", b"axisAlignment = 7.9"),
        r"scene0000_00.txt: axisAlignment is not a rigid transform",
    ),
    "images of another size than the intrinsics": (
        lambda folder: (folder / "color/0.jpg").write_bytes(image("JPEG", np.zeros((12, 16, 3), np.uint8))),
        r"frame 0: the colour image has 16x12 pixels, but the principal point is 31.5, 23.5",
    ),
    "a frame without a number": (
        lambda folder: (folder / "color/0.jpg").rename(folder / "color/first.jpg"),
        r"color/first.jpg: .*, expected for example 120.jpg",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_errors_name_file_and_field(root: Path, name: str) -> None:
    edit, message = MISTAKES[name]
    edit(root / "scans" / SCENE)
    with pytest.raises(UserError, match=message) as caught:
        read(root)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("segments", [True, False])
def test_vertices_that_are_not_finite_are_left_out_with_all_that_belongs_to_them(root: Path, segments: bool) -> None:
    folder = root / "scans" / SCENE
    if not segments:
        (folder / f"{SCENE}_vh_clean_2.0.010000.segs.json").unlink()
    whole, lost = read(root), [0, 7, 130, 299]
    content = bytearray((folder / f"{SCENE}_vh_clean_2.ply").read_bytes())
    first = content.index(b"end_header\n") + len(b"end_header\n")
    for row in lost:
        content[first + 16 * row : first + 16 * row + 4] = np.float32(np.nan).tobytes()
    (folder / f"{SCENE}_vh_clean_2.ply").write_bytes(content)
    raw, kept = read(root), np.setdiff1d(np.arange(300), lost)
    assert raw.left_out == {**whole.left_out, "points without finite coordinates": 4}
    np.testing.assert_array_equal(raw.points[:, :6], whole.points[kept, :6])
    np.testing.assert_array_equal(raw.label, whole.label[kept])
    assert len(raw.region["segment"]) == 296
    if segments:
        np.testing.assert_array_equal(raw.instance, whole.instance[kept])
        pairs = set(zip(whole.region["segment"][kept].tolist(), raw.region["segment"].tolist(), strict=True))
        assert len(pairs) == len({old for old, _ in pairs}) == len({new for _, new in pairs})
    whole_faces = {0, 7 // 3, 130 // 3, 299 // 3}  # faces do not share vertices
    touched = [row for row in kept if row // 3 in whole_faces]
    untouched = np.setdiff1d(kept, touched)
    np.testing.assert_array_equal(raw.points[np.searchsorted(kept, untouched), 6:], whole.points[untouched, 6:])
    assert (raw.points[np.searchsorted(kept, touched), 6:] == 0).all()


BAD_VIEWS: dict[str, tuple[Edit, str]] = {
    "an image that is cut off": (
        lambda folder: (folder / "color/0.jpg").write_bytes((folder / "color/0.jpg").read_bytes()[:500]),
        DAMAGED,
    ),
    "depth in colour": (
        lambda folder: (folder / "depth/0.png").write_bytes(image("PNG", np.zeros((24, 32, 3), np.uint8))),
        DAMAGED,
    ),
    "no depth": (lambda folder: (folder / "depth/0.png").unlink(), DAMAGED),
    "a pose of 15 numbers": (
        lambda folder: (folder / "pose/0.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0 0 0 0"),
        DAMAGED,
    ),
    "no pose": (lambda folder: (folder / "pose/0.txt").unlink(), DAMAGED),
    "a pose of zeros": (lambda folder: (folder / "pose/0.txt").write_text("0 0 0 0 " * 4), LOST),
}


@pytest.mark.parametrize("name", BAD_VIEWS)
def test_an_invalid_view_is_left_out_and_the_room_is_kept(root: Path, name: str) -> None:
    edit, reason = BAD_VIEWS[name]
    before = read(root)
    assert before.left_out == {LOST: 1}  # frame 20
    edit(root / "scans" / SCENE)
    raw = read(root)
    assert list(raw.cameras) == ["000010", "000040"]
    assert raw.left_out == {LOST: 1, reason: 1} if reason != LOST else {LOST: 2}
    np.testing.assert_array_equal(raw.points, before.points)


def test_a_view_with_an_invalid_depth_image_is_left_out(root: Path) -> None:
    depth = root / "scans" / SCENE / "depth/0.png"
    depth.write_bytes(depth.read_bytes()[:60])
    reader = ScanNetReader(root, 10)
    raw = reader.source(reader.frames(None)[0]).read()
    assert "000000" in raw.cameras  # the header is valid; pixels are decoded when points are paired
    assert list(pairs_of_cameras(raw.cameras, raw.points[:, :3])) == ["000010", "000040"]


def test_rooms_are_read_without_their_images(root: Path) -> None:
    reader = ScanNetReader(root, 10, images=False)
    raw = reader.source(reader.frames(None)[0]).read()
    assert (dict(raw.cameras), dict(raw.images), dict(raw.left_out)) == ({}, {}, {})
    assert reader.options()["images"] is False
    assert "images" not in ScanNetReader(root).options()


def test_a_sens_file_that_is_cut_off_gives_the_views_before_the_cut(tmp_path: Path) -> None:
    folder = write_scene(tmp_path, frames=False)
    content = sens()
    (folder / f"{SCENE}.sens").write_bytes(content)
    names = ["000000", "000040"]
    assert list(read(tmp_path, 20).cameras) == names
    seen = set()
    for length in range(len(content) - 20, 400, -(len(content) // 40)):
        (folder / f"{SCENE}.sens").write_bytes(content[:length])
        raw = read(tmp_path, 20)
        assert list(raw.cameras) == names[: len(raw.cameras)]
        assert len(raw.cameras) + sum(raw.left_out.values()) == 3
        assert raw.left_out[CUT_OFF] >= 1
        seen.add(len(raw.cameras))
    assert seen == {0, 1}


def test_without_labels_they_are_made_from_the_objects_names(root: Path) -> None:
    expected = read(root)
    folder = root / "scans" / SCENE
    (folder / f"{SCENE}_vh_clean_2.labels.ply").unlink()
    assert read(root).label is None
    lines = ["id\traw_category\tnyu40id", *(f"1\t{name}\t{nyu40}" for nyu40, name, *_ in THINGS)]
    (root / "scannetv2-labels.combined.tsv").write_text("\n".join(lines) + "\n")
    raw = read(root)
    assert expected.label is not None
    assert expected.instance is not None
    assert raw.label is not None
    np.testing.assert_array_equal(raw.label, np.where(expected.instance > 0, expected.label, 0))
    np.testing.assert_array_equal(raw.box, expected.box)
    (root / "scannetv2-labels.combined.tsv").write_text(lines[0] + "\n1\tchair\tfive\n")
    with pytest.raises(UserError, match=r"combined.tsv: line 2: nyu40id is 'five'"):
        read(root)


@pytest.mark.parametrize(
    ("start", "new", "message"),
    [
        (0, struct.pack("<I", 5), "version 5, sensor name of 15 bytes; expected a .sens file of version 4"),
        (4, struct.pack("<Q", 2**60), "sensor name of 1152921504606846976 bytes"),
        (283, struct.pack("<i", 0), "unsupported compression of colour .0. or depth .1."),
        (299, struct.pack("<I", 2**31), "depth images of 2147483648x24 pixels"),
        (299, struct.pack("<I", 0), "depth images of 0x24 pixels"),
    ],
)
def test_damaged_sens_files_are_reported(tmp_path: Path, start: int, new: bytes, message: str) -> None:
    content = sens()
    folder = write_scene(tmp_path, frames=False)
    (folder / f"{SCENE}.sens").write_bytes(content[:start] + new + content[start + len(new) :])
    with pytest.raises(UserError, match=message):
        read(tmp_path, 20)


@pytest.mark.parametrize(
    ("start", "value", "left_out"),
    [(311, 2**62, {LOST: 1, CUT_OFF: len(range(60, 2**62, 20))}), (399, 2**63, {CUT_OFF: 3})],
)
def test_counts_beyond_the_end_of_a_sens_file_end_its_views(
    tmp_path: Path, start: int, value: int, left_out: dict[str, int]
) -> None:
    content = sens()
    folder = write_scene(tmp_path, frames=False)
    (folder / f"{SCENE}.sens").write_bytes(content[:start] + struct.pack("<Q", value) + content[start + 8 :])
    assert read(tmp_path, 20).left_out == left_out


def test_folders_that_are_not_scannet_roots(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        ScanNetReader(tmp_path / "missing")
    with pytest.raises(UserError, match="has no scans/sceneNNNN_NN"):
        ScanNetReader(tmp_path)
    with pytest.raises(UsageError, match="frame-step: 0"):
        ScanNetReader(tmp_path, 0)


def test_the_real_room_prepares_and_verifies_with_root_and_output_alone(tmp_path: Path) -> None:
    if "PC_SSL_REAL_DATA" not in os.environ:
        pytest.skip("PC_SSL_REAL_DATA is not set to a folder with scannet-real/")
    root, out = Path(os.environ["PC_SSL_REAL_DATA"]) / "scannet-real", tmp_path / "cache"
    result = CliRunner().invoke(app, ["prepare", "scannet", "--root", str(root), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert not verify(out).problems
    frame = Cache(out)[0]
    points, ground = frame["points"].numpy(), frame["ground"].numpy()
    assert points.shape == (40684, 9)
    assert 0.1 < ground.mean() < 0.25
    assert np.ptp(points[ground, 2]) < 0.15
    assert np.median(np.abs(points[ground, 8])) > 0.98  # normals of floors point up
    np.testing.assert_allclose(np.linalg.norm(points[:, 6:], axis=1), 1, atol=1e-5)
    assert int(frame["region/graph"].max()) > 100


def test_a_scene_without_read_permission_is_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = root / "scans/scene0999_00"
    other.mkdir()
    before, access = len(ScanNetReader(root).frames(None)), os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != other and access(path, mode))
    reader = ScanNetReader(root)
    assert len(reader.frames(None)) == before - 1
    assert any(phrase.startswith(f"{other} (no permission") for phrase in reader.absent())

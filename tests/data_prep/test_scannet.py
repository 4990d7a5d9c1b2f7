"""A small room in ScanNet's files, written here by their specification, and what the reader makes of it."""

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data_prep.pipeline import PrepareOptions, prepare
from data_prep.reader import RawFrame
from data_prep.rgbd import TOLERANCE, RgbdCamera
from data_prep.scannet import ScanNetReader
from data_prep.scannet_names import LABEL_CLASSES, NYU40
from pc_ssl.cli import app
from pc_ssl.data.cache import Cache
from pc_ssl.data.verify import verify
from pc_ssl.errors import UsageError, UserError

SCENE = "scene0000_00"
SIZE, DEPTH_SIZE = (64, 48), (32, 24)
YAW, SHIFT = 0.4, np.array([1.0, -2.0, 0.5])
# the room's things: label of NYU40, raw name, low and high corner in the aligned frame
THINGS = [
    (2, "floor", (0, 0, 0), (4, 3, 0)),
    (5, "office chair", (1, 1, 0), (1.5, 1.6, 0.9)),
    (39, "trash can", (3, 2, 0), (3.3, 2.4, 0.5)),
    (40, "cup", (2, 0.5, 0.7), (2.1, 0.6, 0.8)),
    (11, "picture", (0.5, 3, 1.2), (1.3, 3, 1.8)),  # flat
]


def world_from_room() -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(YAW), -np.sin(YAW)], [np.sin(YAW), np.cos(YAW)]]
    pose[:3, 3] = SHIFT
    return pose


def things() -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] in the aligned frame, 60 of each thing with its corners, and the thing [V] of each."""
    rng, parts = np.random.default_rng(0), []
    for _, _, low, high in THINGS:
        parts.append(np.concatenate([[low, high], rng.uniform(low, high, (58, 3))]))
    return np.concatenate(parts), np.repeat(np.arange(len(THINGS)), 60)


def triangles() -> np.ndarray:
    first = np.arange(0, 60 * len(THINGS), 3)
    return np.column_stack([first, first + 1, first + 2])


def ply(vertex: np.ndarray, color: np.ndarray, label: np.ndarray | None = None) -> bytes:
    names = "float x;float y;float z;uchar red;uchar green;uchar blue;uchar alpha" + (
        ";ushort label" if label is not None else ""
    )
    face = triangles()
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertex)}"]
    head += [f"property {name}" for name in names.split(";")]
    head += [f"element face {len(face)}", "property list uchar int vertex_indices", "end_header"]
    rows = b"".join(
        struct.pack("<3f4B", *xyz, *rgb, 255) + (b"" if label is None else struct.pack("<H", label[row]))
        for row, (xyz, rgb) in enumerate(zip(vertex, color, strict=True))
    )
    return "\n".join(head).encode() + b"\n" + rows + b"".join(struct.pack("<B3i", 3, *corners) for corners in face)


def image(kind: str, pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def views() -> list[tuple[int, np.ndarray, bytes, np.ndarray]]:
    """(number, world_from_camera, JPEG, depth [24, 32] uint16) of four frames; tracking was lost in number 20."""
    rng, frames = np.random.default_rng(1), []
    down = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])  # looks down from above
    for number in (0, 10, 20, 40):
        room_from_camera = np.eye(4)
        room_from_camera[:3, :3], room_from_camera[:3, 3] = down, [1.5 + 0.02 * number, 1.5, 2.4]
        pose = world_from_room() @ room_from_camera
        if number == 20:
            pose = np.full((4, 4), -np.inf)
        pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        depth = np.full(DEPTH_SIZE[::-1], 2400, np.uint16)
        depth[:, :4] = 0
        frames.append((number, pose, image("JPEG", pixels), depth))
    return frames


def intrinsic(size: tuple[int, int]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 0] = matrix[1, 1] = 0.8 * size[0]
    matrix[:2, 2] = 0.5 * np.array(size) - 0.5
    return matrix


def text(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.6f}" for value in row) for row in matrix) + "\n"


def write_exported(folder: Path) -> None:
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    for number, pose, jpeg, depth in views():
        (folder / f"color/{number}.jpg").write_bytes(jpeg)
        (folder / f"depth/{number}.png").write_bytes(image("PNG", depth))
        (folder / f"pose/{number}.txt").write_text(text(pose))
    (folder / "intrinsic/intrinsic_color.txt").write_text(text(intrinsic(SIZE)))
    (folder / "intrinsic/intrinsic_depth.txt").write_text(text(intrinsic(DEPTH_SIZE)))


def sens() -> bytes:
    """Version 4: every frame from 0 to 40, those without a view of ours with a blank one."""
    name = b"StructureSensor"
    content = struct.pack("<IQ", 4, len(name)) + name
    for matrix in (intrinsic(SIZE), np.eye(4), intrinsic(DEPTH_SIZE), np.eye(4)):
        content += matrix.astype("<f4").tobytes()
    content += struct.pack("<iiIIIIfQ", 2, 1, *SIZE, *DEPTH_SIZE, 1000.0, 41)
    known = {number: rest for number, *rest in views()}
    for number in range(41):
        pose, jpeg, depth = known.get(number, (np.eye(4), b"not decoded", np.zeros(DEPTH_SIZE[::-1], np.uint16)))
        packed = zlib.compress(depth.tobytes())
        content += pose.astype("<f4").tobytes() + struct.pack("<4Q", 5, 6, len(jpeg), len(packed)) + jpeg + packed
    return content + struct.pack("<Q", 0)


def write_scene(root: Path, scene: str = SCENE, frames: bool = True) -> Path:
    folder = root / "scans" / scene
    folder.mkdir(parents=True)
    xyz, thing = things()
    pose = world_from_room()
    world = xyz @ pose[:3, :3].T + pose[:3, 3]
    color = np.random.default_rng(2).integers(0, 256, (len(xyz), 3))
    label = np.array([nyu for nyu, *_ in THINGS])[thing]
    segment = 1000 * thing + np.arange(len(thing)) // 20  # ids with gaps, three segments a thing
    segments = [sorted(set(segment[thing == k].tolist())) for k in range(len(THINGS))]
    groups = [
        {"id": k, "objectId": k, "segments": segments[k], "label": raw}
        for k, (_, raw, *_) in enumerate(THINGS)
        if k != 3
    ]
    alignment = " ".join(f"{value:.6f}" for value in np.linalg.inv(pose).ravel())
    files: dict[str, Any] = {
        "_vh_clean_2.ply": ply(world, color),
        "_vh_clean_2.labels.ply": ply(world, color, label),
        "_vh_clean_2.0.010000.segs.json": json.dumps({"segIndices": segment.tolist()}).encode(),
        ".aggregation.json": json.dumps({"segGroups": groups}).encode(),
        ".txt": f"axisAlignment = {alignment} \ncolorHeight = 48\nsceneType = Office\n".encode(),
    }
    for ending, content in files.items():
        (folder / f"{scene}{ending}").write_bytes(content)
    if frames:
        write_exported(folder)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scene(tmp_path)
    (tmp_path / "scannetv2_train.txt").write_text(f"{SCENE}\nscene0001_00\n")
    (tmp_path / "scannetv2_val.txt").write_text("scene0002_00\n")
    return tmp_path


def read(root: Path, step: int = 10) -> RawFrame:
    reader = ScanNetReader(root, step)
    return reader.source(reader.frames(None)[0]).read()


def test_points_are_aligned_with_the_walls_and_keep_their_order(root: Path) -> None:
    raw, (xyz, _) = read(root), things()
    np.testing.assert_allclose(raw.points[:, :3], xyz, atol=2e-5)
    np.testing.assert_allclose(raw.global_from_lidar, world_from_room(), atol=1e-5)
    color = np.random.default_rng(2).integers(0, 256, (len(xyz), 3))
    np.testing.assert_allclose(raw.points[:, 3:6], color / 255, atol=1e-6)


def test_normals_are_those_of_the_triangles(root: Path) -> None:
    raw, (xyz, _) = read(root), things()
    for corners in triangles():  # no two share a vertex
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
def test_frames_are_the_same_however_they_come(root: Path, source: str) -> None:
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
    wanted = ["000000", "000040"] if source == "sens" else ["000000", "000010", "000040"]  # 20 lost its track
    assert list(raw.cameras) == wanted
    for name in wanted:
        assert raw.images[name] == expected.images[name]
        assert raw.image_names[name] == f"{SCENE}_{name}"
        first, second = raw.cameras[name], expected.cameras[name]
        assert (first.width, first.height) == SIZE
        np.testing.assert_allclose(first.camera_from_lidar, second.camera_from_lidar, atol=1e-5)
        np.testing.assert_allclose(first.intrinsic, intrinsic(SIZE)[:3, :3], atol=1e-5)
        np.testing.assert_array_equal(first.depth_mm, second.depth_mm)


def test_points_are_paired_where_the_depth_agrees(root: Path) -> None:
    raw, (xyz, thing) = read(root), things()
    camera = raw.cameras["000000"]
    pixel, point = camera.pairs(raw.points[:, :3])
    seen = {}
    for row, (x, y, z) in enumerate(xyz):  # looking down from (1.5, 1.5, 2.4): x to the right, y upwards
        depth = 2.4 - z
        u, v = (scale * 0.8 * 64 / depth + centre for scale, centre in ((x - 1.5, 31.5), (1.5 - y, 23.5)))
        column = (x - 1.5) * 0.8 * 32 / depth + 15.5
        inside = 0 <= u <= 63 and 0 <= v <= 47
        if inside and round(column) >= 4 and abs(depth - 2.4) <= TOLERANCE:
            seen[row] = (u, v)
    assert point.tolist() == list(seen)
    np.testing.assert_allclose(pixel, list(seen.values()), atol=1e-3)
    assert 10 < len(seen) < len(xyz)
    assert not (thing[point] == 4).any()  # the picture hangs nearer than what was measured


def test_pairs_stay_inside_the_image() -> None:
    camera = RgbdCamera(
        64, 48, intrinsic(SIZE)[:3, :3], np.eye(4), intrinsic(DEPTH_SIZE)[:3, :3], np.full((24, 32), 1000, np.uint16)
    )
    xyz = np.random.default_rng(0).uniform([-2, -2, -2], [2, 2, 2], (5000, 3)).astype(np.float32)
    pixel, point = camera.pairs(xyz)
    assert len(point) > 20
    assert (pixel >= 0).all()
    assert (pixel <= [63, 47]).all()
    assert (np.abs(xyz[point, 2] - 1) <= TOLERANCE + 1e-6).all()


def test_what_is_missing_is_left_out_and_told(root: Path) -> None:
    folder = root / "scans" / SCENE
    for path in [*folder.glob("*.json"), *folder.glob("*.labels.ply"), folder / f"{SCENE}.txt"]:
        path.unlink()
    (folder / "color").rename(folder / "not color")
    raw = read(root)
    assert raw.label is raw.instance is raw.box is None
    assert not raw.cameras
    assert not raw.region
    np.testing.assert_array_equal(raw.global_from_lidar, np.eye(4))
    told = ScanNetReader(root).absent()
    assert [phrase.split(" (")[0] for phrase in told] == [
        "labels",
        "segments",
        "aggregation",
        "description",
        "RGB-D frames",
    ]
    assert all(phrase.endswith("of 1 of 1 scenes") for phrase in told)


def test_splits_are_the_lists_of_the_benchmark(root: Path) -> None:
    write_scene(root, "scene0001_00", frames=False)
    reader = ScanNetReader(root)
    assert reader.splits() == {"train": [SCENE, "scene0001_00"], "val": ["scene0002_00"]}
    assert [frame.scene for frame in reader.frames("train")] == [SCENE, "scene0001_00"]
    with pytest.raises(UserError, match="no scene of split 'val' is there"):
        reader.frames("val")


def test_a_room_goes_into_the_cache_and_is_sound(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "cache"
    prepare(ScanNetReader(root, 10), out, PrepareOptions(regions=("dbscan3d", "slic"), ground="floor"))
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
        r"_vh_clean_2.ply: the vertices have no 'red', but x, y, z, rod",
    ),
    "vertices at infinity": (
        lambda folder: (folder / f"{SCENE}_vh_clean_2.ply").write_bytes(
            ply(np.full((300, 3), np.inf), np.zeros((300, 3), int))
        ),
        r"_vh_clean_2.ply: vertex 0 lies at \[inf, inf, inf\], expected numbers up to 1000",
    ),
    "too few segments": (
        replace("_vh_clean_2.0.010000.segs.json", b"[0, ", b"["),
        r"segs.json: segIndices has 299 values, but the mesh has 300 vertices",
    ),
    "segments that are no numbers": (
        replace("_vh_clean_2.0.010000.segs.json", b"[0, ", b'["0", '),
        r"segs.json: field 'segIndices' is no list of whole numbers",
    ),
    "an object of unknown segments": (
        replace(".aggregation.json", b"[2006, ", b"[77, "),
        r"aggregation.json: segGroups\[2\] names segment 77, which no vertex is in",
    ),
    "an object without a number": (
        replace(".aggregation.json", b'"objectId": 1', b'"objectId": null'),
        r"aggregation.json: segGroups\[1\] has no objectId from 0 on",
    ),
    "an alignment that is none": (
        replace(".txt", b"axisAlignment = 0.9", b"axisAlignment = 7.9"),
        r"scene0000_00.txt: axisAlignment is no rigid transform",
    ),
    "images of another size than the intrinsics": (
        lambda folder: (folder / "color/0.jpg").write_bytes(image("JPEG", np.zeros((12, 16, 3), np.uint8))),
        r"frame 0: the colour image has 16x12 pixels, but its intrinsics say that the middle is at 31.5, 23.5",
    ),
    "an image that is cut off": (
        lambda folder: (folder / "color/0.jpg").write_bytes((folder / "color/0.jpg").read_bytes()[:500]),
        r"color/0.jpg: cannot be decoded",
    ),
    "depth in colour": (
        lambda folder: (folder / "depth/0.png").write_bytes(image("PNG", np.zeros((24, 32, 3), np.uint8))),
        r"depth/0.png: is 32x24 of mode RGB, expected one channel of 16 bits",
    ),
    "no depth": (lambda folder: (folder / "depth/0.png").unlink(), r"depth/0.png: no such file"),
    "a frame without a number": (
        lambda folder: (folder / "color/0.jpg").rename(folder / "color/first.jpg"),
        r"color/first.jpg: the name of an exported frame is its number",
    ),
    "a pose of 15 numbers": (
        lambda folder: (folder / "pose/0.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0 0 0 0"),
        r"pose/0.txt: the pose is no transform of 12 or 16 numbers",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_by_file_and_field(root: Path, name: str) -> None:
    edit, told = MISTAKES[name]
    edit(root / "scans" / SCENE)
    with pytest.raises(UserError, match=told) as caught:
        read(root)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("start", "new", "told"),
    [
        (0, struct.pack("<I", 5), "version 5, sensor's name of 15 bytes: expected a .sens file, version 4"),
        (4, struct.pack("<Q", 2**60), "sensor's name of 1152921504606846976 bytes"),
        (283, struct.pack("<i", 0), "colour of kind 0 and depth of kind 1 cannot be decoded"),
        (299, struct.pack("<I", 2**31), "depth images of 2147483648x24 pixels"),
        (311, struct.pack("<Q", 2**62), "ends in the middle of a frame"),
        (399, struct.pack("<Q", 2**63), "frame 0 has 9223372036854775808"),
    ],
)
def test_damaged_sens_files_are_told(tmp_path: Path, start: int, new: bytes, told: str) -> None:
    content = sens()
    folder = write_scene(tmp_path, frames=False)
    (folder / f"{SCENE}.sens").write_bytes(content[:start] + new + content[start + len(new) :])
    with pytest.raises(UserError, match=told):
        read(tmp_path, 20)


def test_roots_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        ScanNetReader(tmp_path / "missing")
    with pytest.raises(UserError, match="holds no scans/sceneNNNN_NN"):
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
    assert np.median(np.abs(points[ground, 8])) > 0.98  # floors look up
    np.testing.assert_allclose(np.linalg.norm(points[:, 6:], axis=1), 1, atol=1e-5)
    assert int(frame["region/graph"].max()) > 100

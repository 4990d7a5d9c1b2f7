"""Damaged rooms: any bytes give at most a one-line error, within bounded time and memory."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scannet_room import DEPTH_SIZE, SCENE, SIZE, image, intrinsic, sens, write_scene

from data_prep.options import choose_stages
from data_prep.scannet import ScanNetReader
from data_prep.scannet_frames import DAMAGED, MOST_DEPTH_PIXELS, read_exported, read_sens
from data_prep.stages import Stages
from pc_ssl.data.cache import encode_frame
from pc_ssl.errors import UserError

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = settings(QUICK, max_examples=10_000)
WIDE_DEPTH = (1500, 1400)  # the largest accepted size
FILES = (
    *(f"{SCENE}{ending}" for ending in ("_vh_clean_2.ply", "_vh_clean_2.labels.ply", ".aggregation.json", ".txt")),
    f"{SCENE}_vh_clean_2.0.010000.segs.json",
    *("color/0.jpg", "depth/0.png", "pose/0.txt", "intrinsic/intrinsic_color.txt", "intrinsic/intrinsic_depth.txt"),
)


@pytest.fixture(scope="module")
def stages() -> Stages:
    """Stages of preparation, compiled in advance so that compilation is not timed."""
    stages = choose_stages(regions=("graph",), ground="floor", classes=ScanNetReader.classes(None)["label"])
    stages.compile()
    return stages


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, stages: Stages) -> Path:
    """The folder of a scene with exported frames; tests restore the files that they damage."""
    folder = write_scene(tmp_path_factory.mktemp("exported"))
    prepare_room(folder, stages)
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Callable[[bytes], Path]:
    """`recording(content)`: the folder of a scene with a .sens file."""
    folder = write_scene(tmp_path, frames=False)

    def write(content: bytes) -> Path:
        (folder / f"{SCENE}.sens").write_bytes(content)
        return folder

    return write


def prepare_room(folder: Path, stages: Stages) -> None:
    """Preparation of a room, without writing it."""
    reader = ScanNetReader(folder.parents[1], 10)
    reader.absent()
    raw = reader.source(reader.frames(None)[0]).read()
    encode_frame(stages(raw))


def attack(room: Path, stages: Stages, damaged: Callable, judge: Callable, data: st.DataObject) -> None:
    path = room / data.draw(st.sampled_from(FILES))
    original = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged(original)))
        judge(prepare_room, room, stages)
    finally:
        path.write_bytes(original)


@settings(QUICK, max_examples=200)
@given(st.data())
def test_damaged_files(room: Path, stages: Stages, damaged: Callable, judge: Callable, data: st.DataObject) -> None:
    attack(room, stages, damaged, judge, data)


@pytest.mark.slow
@LONG
@given(st.data())
def test_damaged_files_at_length(
    room: Path, stages: Stages, damaged: Callable, judge: Callable, data: st.DataObject
) -> None:
    attack(room, stages, damaged, judge, data)


@settings(QUICK, max_examples=200)
@given(st.data())
def test_damaged_recordings(
    recording: Callable, stages: Stages, damaged: Callable, judge: Callable, data: st.DataObject
) -> None:
    judge(prepare_room, recording(data.draw(damaged(sens()))), stages)


@pytest.mark.slow
@LONG
@given(st.data())
def test_damaged_recordings_at_length(
    recording: Callable, stages: Stages, damaged: Callable, judge: Callable, data: st.DataObject
) -> None:
    judge(prepare_room, recording(data.draw(damaged(sens()))), stages)


@QUICK
@given(st.binary(max_size=600))
def test_bytes_that_are_not_a_recording(tmp_path: Path, judge: Callable, content: bytes) -> None:
    (tmp_path / "a.sens").write_bytes(content)
    judge(read_sens, tmp_path / "a.sens", 1)


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=3)),
    max_leaves=6,
)


@settings(QUICK, max_examples=150)
@given(st.data())
def test_junk_in_segments_and_objects(room: Path, stages: Stages, judge: Callable, data: st.DataObject) -> None:
    path = room / data.draw(st.sampled_from(sorted(path.name for path in room.glob("*.json"))))
    original = path.read_bytes()
    content: Any = json.loads(original)
    target: Any = content
    for _ in range(data.draw(st.integers(0, 3))):  # descend to a random position
        steps = list(target) if isinstance(target, dict) else list(range(len(target)))
        step = data.draw(st.sampled_from(steps))
        if not isinstance(target[step], dict | list) or not target[step]:
            break
        target = target[step]
    step = data.draw(st.sampled_from(list(target) if isinstance(target, dict) else list(range(len(target)))))
    target[step] = data.draw(JUNK)
    try:
        path.write_text(json.dumps(content))
        judge(prepare_room, room, stages)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"segIndices": [' + b"1" * 5000 + b"]}", b"\xff\xfe"])
def test_deeply_nested_or_endless_segments(room: Path, stages: Stages, judge: Callable, content: bytes) -> None:
    path = room / f"{SCENE}_vh_clean_2.0.010000.segs.json"
    original = path.read_bytes()
    try:
        path.write_bytes(content)
        judge(prepare_room, room, stages)
    finally:
        path.write_bytes(original)


def many_views(count: int, depth_size: tuple[int, int], jpeg: bytes, packed: bytes) -> bytes:
    """A .sens file of `count` equal views."""
    content = struct.pack("<IQ", 4, 0)
    for matrix in (intrinsic(SIZE), np.eye(4), intrinsic(depth_size), np.eye(4)):
        content += matrix.astype("<f4").tobytes()
    content += struct.pack("<iiIIIIfQ", 2, 1, *SIZE, *depth_size, 1000.0, 10 * count)
    view = np.eye(4).astype("<f4").tobytes() + struct.pack("<4Q", 0, 0, len(jpeg), len(packed)) + jpeg + packed
    skipped = np.eye(4).astype("<f4").tobytes() + struct.pack("<4Q", 0, 0, 0, 0)
    return content + count * (view + 9 * skipped)


def test_views_larger_than_the_memory_are_decoded_one_at_a_time(
    recording: Callable, stages: Stages, judge: Callable
) -> None:
    """A file of 2 MB whose depth images unpack to 1 GB."""
    assert 0.9 * MOST_DEPTH_PIXELS < WIDE_DEPTH[0] * WIDE_DEPTH[1] <= MOST_DEPTH_PIXELS
    packed = zlib.compress(bytes(2 * WIDE_DEPTH[0] * WIDE_DEPTH[1]), 9)
    content = many_views(250, WIDE_DEPTH, image("JPEG", np.zeros((SIZE[1], SIZE[0], 3), np.uint8)), packed)
    assert len(content) < 2_000_000
    judge(prepare_room, recording(content), stages)


def test_exported_views_larger_than_the_memory(tmp_path: Path, stages: Stages, judge: Callable) -> None:
    folder = write_scene(tmp_path)
    depth = image("PNG", np.zeros(WIDE_DEPTH[::-1], np.uint16))
    pose, color = ((folder / name).read_bytes() for name in ("pose/0.txt", "color/0.jpg"))
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in intrinsic(WIDE_DEPTH))
    (folder / "intrinsic/intrinsic_depth.txt").write_text(rows)
    for number in range(0, 2500, 10):
        (folder / f"color/{number}.jpg").write_bytes(color)
        (folder / f"depth/{number}.png").write_bytes(depth)
        (folder / f"pose/{number}.txt").write_bytes(pose)
    judge(prepare_room, folder, stages)


def test_depth_that_unpacks_to_too_many_bytes_is_rejected(recording: Callable, stages: Stages, judge: Callable) -> None:
    jpeg = image("JPEG", np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    folder = recording(many_views(1, DEPTH_SIZE, jpeg, zlib.compress(bytes(1_200_000_000), 1)))
    judge(prepare_room, folder, stages)
    (view,) = read_sens(folder / f"{SCENE}.sens", 1).views
    with pytest.raises(UserError, match=r"frame 0: the depth image has 1537 bytes or more, expected 1536"):
        view.read_depth()


@pytest.mark.parametrize("place", ["color/0.png", "depth/0.png"])
def test_an_image_with_a_too_large_size_in_its_header_is_rejected(
    tmp_path: Path, stages: Stages, judge: Callable, place: str
) -> None:
    folder = write_scene(tmp_path)
    stream = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(stream, "PNG")  # 0.1 MB for 0.9 billion pixels
    (folder / "color/0.jpg").rename(folder / ("not color" if place.startswith("color") else "color/0.jpg"))
    (folder / place).write_bytes(stream.getvalue())
    before = read_exported(folder, 10).left_out.get(DAMAGED, 0)
    judge(prepare_room, folder, stages)
    assert before == 1


@pytest.mark.parametrize("field", [4, 291, 295, 299, 303, 311, 383, 391, 399, 407])  # sizes and counts of the header
@pytest.mark.parametrize("value", [2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1])
def test_impossible_counts_are_rejected(
    recording: Callable, stages: Stages, judge: Callable, field: int, value: int
) -> None:
    content = bytearray(sens())
    size = 4 if value < 2**32 else 8
    content[field : field + size] = value.to_bytes(size, "little")
    judge(prepare_room, recording(bytes(content)), stages)


def test_a_ply_with_larger_counts_than_the_file_is_rejected(tmp_path: Path, stages: Stages, judge: Callable) -> None:
    folder = write_scene(tmp_path)
    path = folder / f"{SCENE}_vh_clean_2.ply"
    content = path.read_bytes()
    counts = ((b"vertex 300", b"vertex 9999999999"), (b"face 100", b"face 99999999999"), (b"uchar int", b"uint int"))
    for old, new in counts:
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
        judge(prepare_room, folder, stages)
        with pytest.raises(UserError, match=r"_vh_clean_2\.ply"):
            prepare_room(folder, stages)

"""Damaged roots: any bytes give at most a one-line error, within bounded time and memory."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.nuscenes import NuScenesReader
from data_prep.nuscenes_map import GRID, LocationMap
from data_prep.nuscenes_source import read_panoptic
from data_prep.options import choose_stages
from data_prep.sweeps import read_sweep
from pc_ssl.data.cache import encode_frame
from pc_ssl.errors import UserError

VERSION = "v1.0-mini"
FUZZ = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
# values that a damaged table may hold at any position
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=8),
    st.just("../../../../etc/passwd"),
    st.just("/etc/passwd"),
    st.just("a\x00b"),
    st.lists(st.integers(-5, 5), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def prepare_last_frame(root: Path) -> None:
    """Preparation of a frame, without writing it."""
    reader = NuScenesReader(root, VERSION, 3)
    frames = reader.frames("mini_val")
    reader.absent()
    stages = choose_stages(classes=reader.classes()["label"])
    raw = reader.source(frames[-1]).read()
    encode_frame(stages(raw))


@pytest.fixture(scope="module", autouse=True)
def compiled(pristine_root: Path) -> None:
    """Compile kernels before time is measured; a new checkout compiles them at the first call."""
    prepare_last_frame(pristine_root)


@FUZZ
@given(st.data())
def test_damaged_sensor_files(pristine_root: Path, damaged: Callable, judge: Callable, data: st.DataObject) -> None:
    folders = ["samples/LIDAR_TOP", "sweeps/LIDAR_TOP", "samples/CAM_BACK", "lidarseg/v1.0-mini"]
    folder = data.draw(st.sampled_from(folders))
    path = sorted((pristine_root / folder).iterdir())[-1]
    original = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged(original)))
        judge(prepare_last_frame, pristine_root)
    finally:
        path.write_bytes(original)


TABLES = [
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "lidarseg", "log", "map", "sample"),
    *("sample_annotation", "sample_data", "scene", "sensor", "visibility"),
]


@FUZZ
@given(st.data())
def test_damaged_table_files(pristine_root: Path, damaged: Callable, judge: Callable, data: st.DataObject) -> None:
    path = pristine_root / VERSION / f"{data.draw(st.sampled_from(TABLES))}.json"
    original = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged(original)))
        judge(prepare_last_frame, pristine_root)
    finally:
        path.write_bytes(original)


@settings(FUZZ, max_examples=250)
@given(st.data())
def test_junk_in_any_field_of_any_table(pristine_root: Path, judge: Callable, data: st.DataObject) -> None:
    path = pristine_root / VERSION / f"{data.draw(st.sampled_from(TABLES))}.json"
    original = path.read_bytes()
    records = json.loads(original)
    record = records[data.draw(st.integers(0, len(records) - 1))]
    field = data.draw(st.sampled_from(sorted(record)))
    if data.draw(st.booleans()):
        record[field] = data.draw(JUNK)
    else:
        del record[field]
    try:
        path.write_text(json.dumps(records))
        judge(prepare_last_frame, pristine_root)
    finally:
        path.write_bytes(original)


@FUZZ
@given(st.binary(max_size=300))
def test_bytes_that_are_not_a_sweep(tmp_path: Path, judge: Callable, content: bytes) -> None:
    (tmp_path / "sweep").write_bytes(content)
    judge(read_sweep, tmp_path / "sweep")


@FUZZ
@given(st.data())
def test_damaged_panoptic_files(tmp_path: Path, damaged: Callable, judge: Callable, data: st.DataObject) -> None:
    np.savez_compressed(tmp_path / "whole.npz", data=np.arange(200, dtype=np.uint16))
    path = tmp_path / "damaged.npz"
    path.write_bytes(data.draw(damaged((tmp_path / "whole.npz").read_bytes())))
    judge(read_panoptic, path, 200)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, judge: Callable) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("data.npy", bytes(400_000_000))
    judge(read_panoptic, path, 200)
    with pytest.raises(UserError, match="400000000 bytes, too many for 200 points"):
        read_panoptic(path, 200)


def test_a_zip_with_a_false_size_is_not_unpacked(tmp_path: Path, judge: Callable) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("data.npy", bytes(400_000_000))
    content = path.read_bytes().replace((400_000_000).to_bytes(4, "little"), (300).to_bytes(4, "little"))
    path.write_bytes(content)
    judge(read_panoptic, path, 200)


def test_a_too_large_count_in_a_header_is_rejected(tmp_path: Path, judge: Callable) -> None:
    np.savez(tmp_path / "whole.npz", data=np.zeros(200, np.uint16))
    content = (tmp_path / "whole.npz").read_bytes().replace(b"(200,), }    ", b"(9000000000,),}"[:13])
    (tmp_path / "promise.npz").write_bytes(content)
    judge(read_panoptic, tmp_path / "promise.npz", 200)


@FUZZ
@given(st.recursive(JUNK, lambda inner: st.lists(inner, max_size=3), max_leaves=5), st.data())
def test_junk_in_a_map(tmp_path: Path, judge: Callable, junk: Any, data: st.DataObject) -> None:
    ring = [{"token": f"n{i}", "x": float(i), "y": float(i * i)} for i in range(4)]
    content: dict[str, Any] = {
        "node": ring,
        "polygon": [{"token": "p", "exterior_node_tokens": ["n0", "n1", "n2"], "holes": []}],
        "line": [{"token": "l", "node_tokens": ["n0", "n3"]}],
        "drivable_area": [{"token": "d", "polygon_tokens": ["p"]}],
        **{name: [{"token": name, "polygon_token": "p"}] for name in ("ped_crossing", "walkway", "stop_line")},
        "carpark_area": [],
        **{name: [{"token": name, "line_token": "l"}] for name in ("road_divider", "lane_divider")},
    }
    layer = data.draw(st.sampled_from(sorted(content)))
    if content[layer] and data.draw(st.booleans()):
        record = content[layer][0]
        record[data.draw(st.sampled_from(sorted(record)))] = junk
    else:
        content[layer] = junk
    path = tmp_path / "map.json"
    path.write_text(json.dumps(content))

    def draw() -> None:
        for elements in LocationMap.read(path).near((0.0, 0.0), 50.0).values():
            GRID.rasterize(elements, (0.0, 0.0), 0.5)

    judge(draw)

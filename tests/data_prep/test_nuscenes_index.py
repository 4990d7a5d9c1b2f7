import json
import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes

from data_prep import nuscenes_index
from data_prep.nuscenes import NuScenesReader
from data_prep.nuscenes_index import INDEX, indexed_tables
from data_prep.nuscenes_tables import NONE, NuScenesTables, read_tables
from data_prep.strings import Strings

VERSION = "v1.0-mini"


def assert_equal(found: NuScenesTables, expected: NuScenesTables) -> None:
    for group in fields(expected):
        for field in fields(getattr(expected, group.name)):
            first, second = (getattr(getattr(tables, group.name), field.name) for tables in (found, expected))
            if isinstance(second, Strings):
                assert list(first) == list(second)
            else:
                assert first.dtype == second.dtype
                np.testing.assert_array_equal(first, second, err_msg=field.name)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths of tables, appended when they are read."""
    calls: list[Path] = []
    monkeypatch.setattr(nuscenes_index, "read_tables", lambda *at: calls.append(at[0]) or read_tables(*at))
    return calls


def test_columns_equal_the_devkits_tables(pristine_root: Path) -> None:
    tables, devkit = read_tables(pristine_root, VERSION), NuScenes(VERSION, str(pristine_root), verbose=False)
    files = tables.recordings
    row_of = {token: row for row, token in enumerate(files.token)}
    lidar = [r for r in devkit.sample_data if r["channel"] == "LIDAR_TOP" or r["is_key_frame"]]
    assert list(files.token) == [record["token"] for record in lidar]
    for row, record in enumerate(lidar):
        pose = devkit.get("ego_pose", record["ego_pose_token"])
        assert files.file[row] == record["filename"]
        assert files.time_us[row] == record["timestamp"]
        assert files.ego[row].tolist() == [*pose["translation"], *pose["rotation"]]
        has_one_before = record["channel"] == "LIDAR_TOP" and record["prev"] != ""
        assert files.before[row] == (row_of[record["prev"]] if has_one_before else NONE)
    channels = ["LIDAR_TOP", *tables.names.camera]
    for row, sample in enumerate(devkit.sample):
        assert [row_of[sample["data"][channel]] for channel in channels] == tables.samples.keyframe[row].tolist()
        first, end = tables.samples.first_box[row : row + 2]
        velocity = [devkit.box_velocity(token) for token in sample["anns"]]
        np.testing.assert_array_equal(tables.boxes.velocity[first:end], velocity)
        for box, token in zip(range(first, end), sample["anns"], strict=True):
            annotation = devkit.get("sample_annotation", token)
            assert tables.boxes.pose[box].tolist() == [*annotation["translation"], *annotation["rotation"]]
            assert tables.names.category[tables.boxes.category[box]] == annotation["category_name"]


def test_the_index_equals_the_tables(root: Path, tmp_path: Path, reads: list[Path]) -> None:
    index = tmp_path / INDEX
    expected = indexed_tables(root, VERSION, index, keep=True)
    assert_equal(indexed_tables(root, VERSION, index, keep=True), expected)
    assert len(reads) == 1
    first = NuScenesReader(root, VERSION, 3, index=index)
    again = NuScenesReader(root, VERSION, 3)
    for one, other in zip(first.frames(None), again.frames(None), strict=True):
        assert one == other
        np.testing.assert_array_equal(first.source(one).read().points, again.source(other).read().points)


def test_tables_that_changed_are_read_again(root: Path, tmp_path: Path, reads: list[Path]) -> None:
    index, table = tmp_path / INDEX, root / VERSION / "scene.json"
    indexed_tables(root, VERSION, index, keep=True)
    scenes = json.loads(table.read_text())
    scenes[0]["name"] = "scene-0001"
    table.write_text(json.dumps(scenes))
    os.utime(table, ns=(1, 1))
    assert indexed_tables(root, VERSION, index, keep=True).names.scene[0] == "scene-0001"
    assert len(reads) == 2
    (root / VERSION / "lidarseg.json").unlink()
    assert not any(indexed_tables(root, VERSION, index, keep=True).recordings.lidarseg_file)
    assert len(reads) == 3


@pytest.mark.parametrize("place", [0, 20, 3000, -5])
def test_a_damaged_index_is_written_again(root: Path, tmp_path: Path, reads: list[Path], place: int) -> None:
    index = tmp_path / INDEX
    expected = indexed_tables(root, VERSION, index, keep=True)
    whole = index.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 0x55
    for content in (bytes(damaged), whole[: len(whole) // 2], b""):
        index.write_bytes(content)
        assert_equal(indexed_tables(root, VERSION, index, keep=True), expected)
        assert index.read_bytes() == whole
    assert len(reads) == 4


def test_nothing_is_written_unless_requested(root: Path, tmp_path: Path) -> None:
    indexed_tables(root, VERSION, tmp_path / INDEX, keep=False)
    indexed_tables(root, VERSION, tmp_path / "nowhere" / INDEX, keep=True)
    assert not (tmp_path / INDEX).exists()
    assert not (tmp_path / "nowhere").exists()

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pc_ssl.data.cache import (
    SCHEMA_VERSION,
    Cache,
    Manifest,
    damage_of,
    encode_frame,
    write_frame,
    write_manifest,
)
from pc_ssl.data.fields import field_of
from pc_ssl.errors import UserError


def tensors(num_points: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(num_points)
    return {
        "points": rng.normal(size=(num_points, 4)).astype(np.float32),
        "ground": rng.random(num_points) < 0.5,
        "region/dbscan": np.arange(num_points, dtype=np.int32) - 1,
        "ego_pose": np.eye(4),
        "global_from_lidar": np.eye(4),
        "pixel/CAM_FRONT": np.zeros((3, 2), np.float32),
        "point/CAM_FRONT": np.arange(3, dtype=np.int32),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scenes, three frames."""
    frames = [
        write_frame(tmp_path, scene, token, time, encode_frame(tensors(4 + time)))
        for time, (scene, token) in enumerate([("scene-0001", "a"), ("scene-0001", "b"), ("scene-0002", "c")])
    ]
    classes = {"label": ["ignore", "car"], "box": ["car"]}
    splits = {"train": ["scene-0001"], "val": ["scene-0002"]}
    write_manifest(tmp_path, Manifest("toy", "v1", {"sweeps": 1}, classes, splits, frames))
    return tmp_path


def edit_manifest(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(content | changes))


def test_written_tensors_are_read(folder: Path) -> None:
    cache = Cache(folder)
    assert len(cache) == 3
    for index, (token, scene) in enumerate([("a", "scene-0001"), ("b", "scene-0001"), ("c", "scene-0002")]):
        frame, expected = cache[index], tensors(4 + index)
        assert (frame.token, frame.scene, list(frame)) == (token, scene, sorted(expected))
        for key, value in expected.items():
            assert isinstance(frame[key], torch.Tensor)
            np.testing.assert_array_equal(frame[key].numpy(), value, strict=True)
    assert cache.class_names == ["ignore", "car"]
    assert cache.manifest.options == {"sweeps": 1}


def test_a_frame_is_a_mapping(folder: Path) -> None:
    frame = Cache(folder)[0]
    assert dict(frame).keys() == tensors(4).keys()
    assert len(frame) == len(tensors(4))
    assert (frame.cameras, frame.regions) == ((), ("dbscan",))
    assert frame.get("label") is None
    assert frame.shape("points") == (4, 4)


def test_columns_and_keyframe_of_a_cache_that_stores_them(tmp_path: Path) -> None:
    points = np.zeros((3, 5), np.float32)
    own = np.array([True, True, False])
    content = tensors(3) | {"points": points, "keyframe": own}
    entry = write_frame(tmp_path, "scene", "a", 0, encode_frame(content))
    columns, classes = ("x", "y", "z", "intensity", "time"), {"label": [], "box": []}
    write_manifest(tmp_path, Manifest("toy", "v1", {"sweeps": 2}, classes, {}, [entry], columns))
    cache = Cache(tmp_path)
    assert cache.columns == columns
    assert cache[0].keyframe.tolist() == own.tolist()


@pytest.mark.parametrize(
    ("options", "width", "columns"),
    [
        ({}, 4, ("x", "y", "z", "intensity")),
        ({"sweeps": 1}, 4, ("x", "y", "z", "intensity")),
        ({"sweeps": 3}, 5, ("x", "y", "z", "intensity", "time")),
        ({"columns": ["x", "y", "z", "red"]}, 4, ("x", "y", "z", "red")),
    ],
)
def test_columns_and_keyframe_of_older_caches(tmp_path: Path, options: dict, width: int, columns: tuple) -> None:
    points = np.ones((3, width), np.float32)
    points[:2, -1] = 0
    entry = write_frame(tmp_path, "scene", "a", 0, encode_frame(tensors(3) | {"points": points}))
    write_manifest(tmp_path, Manifest("toy", "v1", options, {"label": [], "box": []}, {}, [entry]))
    cache = Cache(tmp_path)
    assert cache.columns == columns
    assert cache[0].keyframe.tolist() == ([True, True, False] if "time" in columns else [True] * 3)


def test_an_older_cache_of_unknown_columns_is_rejected(tmp_path: Path) -> None:
    entry = write_frame(tmp_path, "scene", "a", 0, encode_frame(tensors(3)))
    write_manifest(tmp_path, Manifest("toy", "v1", {"sweeps": 3}, {"label": [], "box": []}, {}, [entry]))
    with pytest.raises(UserError, match=r"manifest\.json: .*4 columns where x, y, z, intensity, time "):
        _ = Cache(tmp_path).columns


def test_a_tensor_is_mapped_and_the_file_is_not_changed(folder: Path) -> None:
    frame = Cache(folder)[0]
    before = frame.path.read_bytes()
    points = frame["points"]
    assert str(frame.path) in Path("/proc/self/maps").read_text()
    points.zero_()
    assert frame.path.read_bytes() == before


def test_splits_select_by_scene(folder: Path) -> None:
    cache = Cache(folder)
    assert (cache.indices("train"), cache.indices("val")) == ([0, 1], [2])
    with pytest.raises(UserError, match="no split 'test'; the cache has: train, val"):
        cache.indices("test")


def test_manifest_holds_size_and_checksum_of_the_files(folder: Path) -> None:
    for entry in json.loads((folder / "manifest.json").read_text())["frames"]:
        content = (folder / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_order_of_tensors_does_not_change_the_bytes() -> None:
    forward = tensors()
    assert encode_frame(forward) == encode_frame(dict(reversed(forward.items())))


def test_unknown_key_lists_the_known(folder: Path) -> None:
    frame = Cache(folder)[0]
    assert "label" not in frame
    with pytest.raises(UserError, match=r"no 'label'; it has ego_pose, .*region/dbscan"):
        frame["label"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 99}, f"schema_version is 99, but this pc_ssl reads {SCHEMA_VERSION}"),
        ({"schema_version": None}, f"schema_version is None, but this pc_ssl reads {SCHEMA_VERSION}"),
        ({"splits": []}, r"field 'splits' is '\[\]', expected an object"),
        ({"frames": [{"token": "a"}]}, r"frames\[0\] has no field 'scene' of type str"),
        ({"classes": {"label": []}}, "field 'classes' has no 'box'"),
        ({"columns": "xyz"}, "field 'columns' is 'xyz', expected names"),
        ({"columns": ["x", "z", "y"]}, r"field 'columns' is \['x', 'z', 'y'\], expected names"),
        ({"columns": ["x", "y", "z", "z"]}, r"field 'columns' is .*, each once"),
        ({"options": {"sweeps": 10}}, "options_hash does not match the options"),
    ],
)
def test_a_wrong_manifest_is_rejected(folder: Path, changes: dict, message: str) -> None:
    edit_manifest(folder, **changes)
    with pytest.raises(UserError, match=rf"manifest\.json: {message}"):
        Cache(folder)


def test_a_folder_without_manifest_is_rejected(folder: Path) -> None:
    (folder / "manifest.json").rename(folder / "manifest.json.0.partial")
    with pytest.raises(UserError, match=r"not a complete cache, manifest\.json is missing"):
        Cache(folder)


def test_paths_of_a_manifest_are_inside_the_cache(folder: Path) -> None:
    frames = json.loads((folder / "manifest.json").read_text())["frames"]
    edit_manifest(folder, frames=[frames[0] | {"file": "../secret.safetensors"}])
    with pytest.raises(UserError, match="leaves the folder"):
        Cache(folder)[0]


def test_damage_is_reported(folder: Path) -> None:
    entries = Cache(folder).frames
    assert [damage_of(folder, entry) for entry in entries] == [None, None, None]
    first, second, third = (folder / entry.file for entry in entries)
    first.write_bytes(first.read_bytes()[:-1])
    content = bytearray(second.read_bytes())
    content[-1] ^= 1
    second.write_bytes(content)
    third.unlink()
    assert "bytes, but" in str(damage_of(folder, entries[0]))
    assert "another checksum" in str(damage_of(folder, entries[1]))
    assert damage_of(folder, entries[2]) == "is missing"
    with pytest.raises(UserError, match=r"a\.safetensors: damaged"):
        Cache(folder)[0]
    with pytest.raises(UserError, match=r"c\.safetensors: the frame's file is missing"):
        Cache(folder)[2]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("points", np.zeros((5, 4)), "points is float64, expected float32"),
        ("points", np.zeros((5, 2), np.float32), "points has 2 columns"),
        ("ground", np.zeros(4, bool), r"points has shape \[5, 4\], expected \[N, C\] with {'N': 4"),
        ("ground", np.zeros((5, 1), bool), r"ground has shape \[5, 1\], expected \[N\]"),
        ("point/CAM_FRONT", np.zeros(2, np.int32), r"point/CAM_FRONT has shape \[2\], expected \[P\] with {'P': 3}"),
        ("colour", np.zeros(5), "colour is not a tensor of a frame"),
        ("region/", np.zeros(5, np.int32), "region/ is not a tensor of a frame"),
        ("points/x", np.zeros(5, np.int32), "points/x is not a tensor of a frame"),
    ],
)
def test_a_frame_with_invalid_tensors_is_not_written(key: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_frame(tensors() | {key: value})


def test_a_frame_without_points_is_not_written() -> None:
    content = tensors()
    del content["points"]
    with pytest.raises(ValueError, match="points is missing"):
        encode_frame(content)


def test_cameras_have_independent_lengths() -> None:
    encode_frame(tensors() | {"pixel/CAM_BACK": np.zeros((7, 2), np.float32), "point/CAM_BACK": np.zeros(7, np.int32)})


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden", "new\nline"])
def test_a_name_that_is_not_a_file_name_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected only letters, digits"):
        write_frame(tmp_path, "scene-0001", name, 0, b"")
    with pytest.raises(UserError, match="expected only letters, digits"):
        write_frame(tmp_path, name, "token", 0, b"")


def test_field_of_knows_families() -> None:
    assert field_of("region/any_name") is not None
    assert field_of("region") is None


def test_a_manifest_without_a_field_says_what_is_missing_and_what_to_do(folder: Path) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["splits"]
    path.write_text(json.dumps(content))
    with pytest.raises(
        UserError, match=r"manifest\.json: field 'splits' is missing, expected an object; .*pc-ssl prepare"
    ):
        Cache(folder)

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pc_ssl.data.cache import Manifest, encode_frame, read_manifest, write_frame, write_manifest
from pc_ssl.data.verify import verify
from pc_ssl.errors import UserError

CLASSES = {
    "label": ["ignore", "car", "road"],
    "box": ["car"],
    "attribute": ["none", "moving"],
    "map": ["road", "walkway"],
}
OPTIONS = {"regions": {"dbscan": {}}, "images": {"slic": {"tensor": "superpixel"}}}


def jpeg(width: int, height: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "JPEG")
    return np.frombuffer(stream.getvalue(), np.uint8)


def sound() -> dict[str, np.ndarray]:
    """Every tensor that a frame may have; six points, an image of 8 x 6 pixels."""
    rng = np.random.default_rng(0)
    return {
        "points": rng.normal(size=(6, 4)).astype(np.float32),
        "ground": np.array([1, 1, 0, 0, 0, 0], bool),
        "region/dbscan": np.array([-1, -1, 0, 0, 1, 1], np.int32),
        "label": np.array([0, 1, 2, 2, 2, 0], np.uint8),
        "instance": np.array([0, 0, 4, 4, 9, 9], np.int32),
        "box": np.array([[1, 2, 0, 4, 2, 1.5, 0.3, np.nan, np.nan]], np.float32),
        "box_class": np.zeros(1, np.uint8),
        "box_attribute": np.ones(1, np.uint8),
        "bev_map": np.zeros((2, 4, 4), bool),
        "ego_pose": np.eye(4),
        "global_from_lidar": np.eye(4),
        "image/FRONT": jpeg(8, 6),
        "intrinsic/FRONT": np.eye(3, dtype=np.float32),
        "camera_from_lidar/FRONT": np.eye(4, dtype=np.float32),
        "pixel/FRONT": np.array([[0, 0], [7, 5]], np.float32),
        "point/FRONT": np.array([1, 5], np.int32),
        "superpixel/slic/FRONT": np.zeros((6, 8), np.int32),
    }


def write_cache(folder: Path, tensors: dict[str, np.ndarray]) -> Path:
    """A cache of one frame; returns the frame's file."""
    entry = write_frame(folder, "scene", "frame", 0, encode_frame(tensors))
    write_manifest(folder, Manifest("toy", "v1", OPTIONS, CLASSES, {"train": ["scene"]}, [entry]))
    return folder / entry.file


def reasons(folder: Path) -> list[str]:
    report = verify(folder)
    assert report.exit_code == (1 if report.problems else 0)
    return [problem.reason for problem in report.problems]


def test_a_sound_cache(tmp_path: Path) -> None:
    write_cache(tmp_path, sound())
    assert reasons(tmp_path) == []
    assert verify(tmp_path).summary().endswith("1 frames, 0.0 MB, all sound")


def put(key: str, row: Any, value: Any) -> Callable[[dict], None]:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[key] = tensors[key].copy()
        tensors[key][row] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("points", (2, 1), np.nan), "points holds values that are not finite"),
        (put("points", (2, 3), np.inf), "points holds values that are not finite"),
        (put("box", (0, 6), np.nan), "box holds values that are not finite"),
        (put("box", (0, 4), 0), "box holds a size that is not positive"),
        (put("region/dbscan", 0, -2), "region/dbscan holds id -2, expected -1 or more"),
        (put("region/dbscan", 5, 3), "region/dbscan holds ids up to 3, but none of its points has id 2"),
        (put("region/dbscan", 5, 2**31 - 1), "region/dbscan holds id 2147483647, but the frame has 6 points"),
        (put("label", 0, 3), "label holds class 3, but the manifest names 3"),
        (put("instance", 0, -1), "instance holds -1, expected 0 or more"),
        (put("box_class", 0, 1), "box_class holds class 1, but the manifest names 1"),
        (put("box_attribute", 0, 2), "box_attribute holds class 2, but the manifest names 2"),
        (put("ego_pose", (0, 0), 2), "ego_pose is not a rigid transform"),
        (put("global_from_lidar", (3, 0), 1), "global_from_lidar is not a rigid transform"),
        (put("camera_from_lidar/FRONT", (0, 1), 1), "camera_from_lidar/FRONT is not a rigid transform"),
        (put("pixel/FRONT", (0, 0), 7.5), "pixel/FRONT leaves the image of 8x6 pixels"),
        (put("point/FRONT", 0, 6), "point/FRONT names rows outside the 6 points"),
        (put("image/FRONT", slice(0, 4), 0), "image/FRONT cannot be decoded"),
        (lambda tensors: tensors.pop("region/dbscan"), "region/dbscan is missing"),
        (lambda tensors: tensors.pop("superpixel/slic/FRONT"), "superpixel/slic/FRONT is missing"),
        (lambda tensors: tensors.pop("pixel/FRONT"), "pixel/FRONT is missing"),
        (lambda tensors: tensors.pop("box"), "one of box and box_class is missing"),
        (lambda tensors: tensors.update({"bev_map": np.zeros((1, 4, 4), bool)}), "bev_map holds 1 classes, but the"),
        (
            lambda tensors: tensors.update({"superpixel/slic/FRONT": np.zeros((8, 6), np.int32)}),
            "superpixel/slic/FRONT has 6x8 pixels, but its image has 8x6",
        ),
    ],
)
def test_values_that_contradict_their_meaning(tmp_path: Path, change: Callable[[dict], Any], reason: str) -> None:
    tensors = sound()
    change(tensors)
    write_cache(tmp_path, tensors)
    found = reasons(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(reason)


@pytest.mark.parametrize(
    ("columns", "change", "reason"),
    [
        (("x", "y", "z", "intensity"), {}, "points has 5 columns, but the manifest names 4: x, y, z, intensity"),
        (("x", "y", "z", "intensity", "time"), {}, "keyframe is True for point 4, whose time lag is not 0"),
        (("x", "y", "z", "intensity", "time"), {"keyframe": None}, "keyframe is missing"),
    ],
)
def test_columns_and_keyframe(tmp_path: Path, columns: tuple[str, ...], change: dict, reason: str) -> None:
    points = np.zeros((6, 5), np.float32)
    points[4, 4] = 0.05
    tensors = sound() | {"points": points, "keyframe": np.ones(6, bool)} | change
    tensors = {key: value for key, value in tensors.items() if value is not None}
    entry = write_frame(tmp_path, "scene", "frame", 0, encode_frame(tensors))
    options = OPTIONS | {"sweeps": 2}
    write_manifest(tmp_path, Manifest("toy", "v1", options, CLASSES, {"train": ["scene"]}, [entry], columns))
    assert reasons(tmp_path) == [reason]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has "),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x07"), "has another checksum"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b""), "has 0 bytes, but "),
    ],
)
def test_files_that_differ_from_the_written_ones(tmp_path: Path, damage: Callable[[Path], Any], reason: str) -> None:
    path = write_cache(tmp_path, sound())
    damage(path)
    report = verify(tmp_path)
    assert [problem.file for problem in report.problems] == [path]
    assert report.problems[0].reason.startswith(reason)
    assert str(path) in report.summary()
    assert "run the same pc-ssl prepare again" in report.summary()


def test_a_frame_in_the_wrong_place_or_listed_twice(tmp_path: Path) -> None:
    write_cache(tmp_path, sound())
    manifest = read_manifest(tmp_path)
    write_manifest(tmp_path, replace(manifest, frames=[*manifest.frames, *manifest.frames]))
    assert reasons(tmp_path) == ["the manifest lists frame 'frame' twice"]
    write_manifest(tmp_path, replace(manifest, frames=[replace(manifest.frames[0], token="other")]))
    assert reasons(tmp_path) == ["is not where frame 'other' of 'scene' belongs"]


def test_a_manifest_with_paths_outside_the_cache_is_rejected(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache", sound())
    manifest = read_manifest(tmp_path / "cache")
    entry = replace(manifest.frames[0], scene="..", file="frames/../frame.safetensors")
    write_manifest(tmp_path / "cache", replace(manifest, frames=[entry]))
    assert "expected only letters, digits" in reasons(tmp_path / "cache")[0]


def test_no_cache_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a complete cache"):
        verify(tmp_path)


def test_a_generator_that_finds_nothing_in_most_frames_is_named(tmp_path: Path) -> None:
    empty = sound() | {"region/dbscan": np.full(6, -1, np.int32)}
    entries = [
        write_frame(tmp_path, "scene", f"frame{row}", row, encode_frame(tensors))
        for row, tensors in enumerate((empty, sound(), empty))
    ]
    write_manifest(tmp_path, Manifest("toy", "v1", OPTIONS, CLASSES, {"train": ["scene"]}, entries))
    report = verify(tmp_path)
    assert (report.exit_code, report.without_regions) == (0, {"dbscan": 2})
    assert "region/dbscan: no regions in 2 of 3 frames" in report.summary()
    write_manifest(tmp_path, Manifest("toy", "v1", OPTIONS, CLASSES, {"train": ["scene"]}, entries[:2]))
    assert "no regions" not in verify(tmp_path).summary()

"""Frames without images are left out with a count, and a split without training signal is a one-line error."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pc_ssl.data.cache import FAILED, Cache, Manifest, encode_frame, write_frame, write_manifest
from pc_ssl.data.content import check_content, with_images
from pc_ssl.errors import UserError
from pc_ssl.files import write_json

Change = Callable[[int, dict[str, NDArray]], None]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Change], Cache]:
    """Writes three frames of a drive with all tensors, each changed by a function."""

    def frame(number: int) -> dict[str, NDArray]:
        pose = np.eye(4)
        pose[0, 3] = 2.0 * number
        return {
            "points": np.ones((4, 4), np.float32),
            "ground": np.zeros(4, bool),
            "ego_pose": pose,
            "global_from_lidar": pose,
            "region/dbscan": np.array([-1, 0, 0, 1], np.int32),
            "label": np.array([0, 0, 1, 1], np.uint8),
            "box": np.ones((1, 9), np.float32),
            "box_class": np.zeros(1, np.uint8),
            "box_points": np.array([3], np.int32),
            "bev_map": np.ones((1, 2, 2), bool),
            "image/A": np.zeros(5, np.uint8),
            "intrinsic/A": np.eye(3, dtype=np.float32),
            "camera_from_lidar/A": np.eye(4, dtype=np.float32),
            "pixel/A": np.ones((1, 2), np.float32),
            "point/A": np.zeros(1, np.int32),
        }

    def write(change: Change) -> Cache:
        entries = []
        for number in range(3):
            tensors = frame(number)
            change(number, tensors)
            entries.append(write_frame(tmp_path, "drive", f"frame-{number}", number, encode_frame(tensors)))
        classes = {"label": ["ignore", "car"], "box": ["car"], "map": ["road"]}
        write_manifest(tmp_path, Manifest("street", "v1", {}, classes, {"train": ["drive"]}, entries))
        return Cache(tmp_path)

    return write


def without_images(tensors: dict[str, NDArray]) -> None:
    for key in [key for key in tensors if key.endswith("/A")]:
        del tensors[key]


def fill(key: str, value: float) -> Change:
    return lambda _, tensors: tensors[key].fill(value)


def no_row(*keys: str) -> Change:
    return lambda _, tensors: tensors.update({key: tensors[key][:0] for key in keys})


def no_pose(_: int, tensors: dict[str, NDArray]) -> None:
    tensors["global_from_lidar"] = np.eye(4)


def test_frames_without_images_are_left_out_and_counted(
    make: Callable[[Change], Cache], capsys: pytest.CaptureFixture[str]
) -> None:
    cache = make(lambda number, tensors: without_images(tensors) if number != 1 else None)
    assert with_images(cache, range(3), {"cameras"}, "split train") == [1]
    (line,) = capsys.readouterr().err.splitlines()
    assert "split train: 2 of 3 frames" in line
    assert "frame-0" in line
    assert with_images(cache, range(3), {"label"}, "split train") == [0, 1, 2]
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="none of the 2 frames of split val has images"):
        with_images(cache, [0, 2], {"cameras"}, "split val")


NOTHING: dict[str, tuple[Change, set[str], str | None, str]] = {
    "labels": (fill("label", 0), {"label"}, None, "label 0"),
    "boxes": (no_row("box", "box_class", "box_points"), {"boxes"}, None, "no boxes"),
    "boxes without points": (fill("box_points", 0), {"boxes"}, None, "no boxes with points"),
    "map": (fill("bev_map", 0), {"bev_map"}, None, "bev_map"),
    "pairs": (no_row("pixel/A", "point/A"), {"cameras", "pairs"}, None, "calibration"),
    "regions": (fill("region/dbscan", -1), set(), "dbscan", "--add-regions"),
    "poses": (no_pose, {"neighbour/1"}, None, "poses"),
    "neighbours": (lambda *_: None, {"neighbour/3"}, None, "3 keyframes later"),
}


@pytest.mark.parametrize(("change", "reads", "region", "expected"), NOTHING.values(), ids=NOTHING)
def test_a_split_without_training_signal_is_a_one_line_error(
    make: Callable[[Change], Cache], change: Change, reads: set[str], region: str | None, expected: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_content(make(change), range(3), reads, "split val", region)
    message = str(caught.value)
    assert "split val, 3 frames" in message
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(("change", "reads", "region"), [line[:3] for line in NOTHING.values()][:-1])
def test_one_frame_with_content_is_enough(
    make: Callable[[Change], Cache], change: Change, reads: set[str], region: str | None
) -> None:
    cache = make(lambda number, tensors: change(number, tensors) if number != 2 else None)
    check_content(cache, range(3), reads, "split train", region)


def test_frames_that_failed_count_to_their_split_or_to_none(make: Callable[[Change], Cache]) -> None:
    cache = make(lambda *_: None)
    assert cache.num_failed("train") == 0
    failed = [{"token": name, "scene": name, "reason": "cut off"} for name in ("drive", "lost")]
    write_json(cache.path / FAILED, failed)
    assert cache.num_failed("train") == 2
    assert cache.num_failed("val") == 1  # "lost" may have been one of it; "drive" is of train

from pathlib import Path

import numpy as np
import pytest

from pc_ssl.data.cache import ALL_FRAMES, Cache, Manifest, encode_frame, write_frame, write_manifest
from pc_ssl.data.requirements import check_frames
from pc_ssl.errors import UserError


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Five rooms without splits; the third and the fifth have no region/segment, the fifth has no label either."""
    entries = []
    for number in range(5):
        tensors = {
            "points": np.zeros((4, 4), np.float32),
            "ground": np.zeros(4, bool),
            "ego_pose": np.eye(4),
            "global_from_lidar": np.eye(4),
            "region/graph": np.zeros(4, np.int32),
        }
        if number not in (2, 4):
            tensors["region/segment"] = np.zeros(4, np.int32)
        if number != 4:
            tensors["label"] = np.zeros(4, np.uint8)
        entries.append(write_frame(tmp_path, "rooms", f"room-{number}", number, encode_frame(tensors)))
    write_manifest(tmp_path, Manifest("rooms", "v1", {}, {"label": ["ignore"], "box": []}, {}, entries))
    return Cache(tmp_path)


def test_all_frames_are_checked_and_the_first_incomplete_one_is_reported(cache: Cache) -> None:
    with pytest.raises(UserError) as caught:
        check_frames(cache, range(5), lambda _: ["region/segment", "label"])
    message = str(caught.value)
    assert "room-2.safetensors" in message
    assert "'region/segment'" in message
    assert "2 of 5 frames" in message
    assert "1 have no 'label'" in message
    assert "--add-regions" in message
    assert "\n" not in message


def test_frames_that_have_what_is_needed_pass(cache: Cache) -> None:
    check_frames(cache, [0, 1, 3], lambda _: ["region/segment", "label", "points"])


def test_label_maps_of_several_cameras_count_once_per_frame(cache: Cache) -> None:
    with pytest.raises(UserError, match=r"'superpixel/slic'.* 3 of 3 frames"):
        check_frames(cache, [0, 1, 2], lambda _: ["superpixel/slic/A", "superpixel/slic/B"])


def test_all_denotes_every_frame_of_a_cache_without_such_a_split(cache: Cache) -> None:
    assert cache.indices(ALL_FRAMES) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="no split 'train'"):
        cache.indices("train")

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import view_points

from data_prep.nuscenes import NuScenesReader
from data_prep.projection import PinholeCamera

INTRINSIC = np.array([[100.0, 0.0, 80.0], [0.0, 120.0, 45.0], [0.0, 0.0, 1.0]])
CAMERA_FROM_LIDAR = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # looks along the LiDAR's y


def test_a_point_by_hand() -> None:
    camera = PinholeCamera(160, 90, INTRINSIC, CAMERA_FROM_LIDAR)
    pixel, point = camera.pairs(np.array([[0, 10, 0], [1, 10, 0.5], [0, -10, 0]], np.float32))
    np.testing.assert_allclose(pixel, [[80, 45], [90, 39]])  # 100 * 1 / 10 to the right, 120 * 0.5 / 10 up
    assert point.tolist() == [0, 1]


def test_what_is_too_near_or_beside_the_image_is_left_out() -> None:
    camera = PinholeCamera(160, 90, INTRINSIC, CAMERA_FROM_LIDAR)
    near = [[0, 1.0, 0], [0, 1.001, 0]]
    beside = [[-7.9, 10, 0], [-7.89, 10, 0], [7.9, 10, 0], [7.89, 10, 0], [0, 10, 3.7], [0, 10, -3.7]]
    _, point = camera.pairs(np.array(near + beside, np.float32))
    assert point.tolist() == [1, 3, 5]  # u must lie between 1 and 159, v between 1 and 89


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_pairs_equal_the_devkits_view_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    pose[:3, 3] = rng.normal(size=3)
    xyz = rng.uniform(-30, 30, (2000, 3)).astype(np.float32)
    pixel, point = PinholeCamera(160, 90, INTRINSIC, pose).pairs(xyz)
    seen = pose[:3, :3] @ xyz.T.astype(np.float64) + pose[:3, 3:]
    u, v, _ = view_points(seen, INTRINSIC, normalize=True)
    inside = (seen[2] > 1) & (u > 1) & (u < 159) & (v > 1) & (v < 89)
    assert point.tolist() == np.flatnonzero(inside).tolist()
    np.testing.assert_allclose(pixel, np.column_stack([u, v])[inside], atol=1e-4)


def test_real_pairs_equal_the_devkits_routine(real_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devkit = NuScenes("v1.0-mini", str(real_root), verbose=False)
    reader = NuScenesReader(real_root, "v1.0-mini")
    raw = reader.source(reader.frames(None)[0]).read()

    def our_points(_: str) -> LidarPointCloud:  # in float64: in float32 the devkit loses 0.1 mm in the global frame
        return LidarPointCloud(raw.points.T.astype(np.float64))

    monkeypatch.setattr(LidarPointCloud, "from_file", our_points)
    sample = devkit.sample[0]
    total = 0
    for channel, camera in raw.cameras.items():
        expected, depth, image = devkit.explorer.map_pointcloud_to_image(
            sample["data"]["LIDAR_TOP"], sample["data"][channel]
        )
        pixel, point = camera.pairs(np.ascontiguousarray(raw.points[:, :3]))
        assert (camera.width, camera.height) == image.size
        np.testing.assert_allclose(pixel, expected[:2].T, atol=1e-3)
        seen = camera.camera_from_lidar[:3] @ np.column_stack([raw.points[point, :3], np.ones(len(point))]).T
        np.testing.assert_allclose(seen[2], depth, atol=1e-6)
        total += len(point)
    assert total > 20_000

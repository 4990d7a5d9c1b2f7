"""The rig is nuScenes': compared with a real keyframe, if available, and with the sensor's geometry."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from data_prep.simulate.rig import CAMERAS, COLUMNS, HIGHEST, LIDAR_CHANNEL, LOWEST, LidarPattern, ego_from_lidar
from pc_ssl.geometry import transform_from

REAL = os.environ.get("PC_SSL_REAL_DATA")
real = pytest.mark.skipif(REAL is None, reason="PC_SSL_REAL_DATA is not set")
HALF_TURN = np.pi


def table(name: str) -> list[dict]:
    return json.loads((Path(str(REAL)) / "nuscenes-real" / "v1.0-mini" / f"{name}.json").read_text())


@real
def test_calibration_is_close_to_that_of_a_real_vehicle() -> None:
    """Vehicles differ by a few centimetres and degrees."""
    channel = {sensor["token"]: sensor["channel"] for sensor in table("sensor")}
    found = {channel[row["sensor_token"]]: row for row in table("calibrated_sensor")}
    ours = {camera.channel: camera.ego_from_camera for camera in CAMERAS} | {LIDAR_CHANNEL: ego_from_lidar()}
    for name, pose in ours.items():
        theirs = transform_from(found[name]["rotation"], found[name]["translation"])
        assert np.linalg.norm(pose[:3, 3] - theirs[:3, 3]) < 0.75, name
        turned = pose[:3, :3].T @ theirs[:3, :3]
        assert np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1))) < 4.0, name
    for camera in CAMERAS:
        theirs = np.array(found[camera.channel]["camera_intrinsic"])
        np.testing.assert_allclose(camera.intrinsic((1600, 900)), theirs, atol=45.0)


@real
def test_rays_have_a_real_sweeps_order_and_angles() -> None:
    path = next((Path(str(REAL)) / "nuscenes-real" / "samples" / "LIDAR_TOP").iterdir())
    points = np.fromfile(path, np.float32).reshape(-1, 5)
    pattern = LidarPattern.of(32)
    np.testing.assert_array_equal(pattern.ring, points[:, 4])
    away = np.linalg.norm(points[:, :3], axis=1)
    far = away > 3.0
    measured = points[far, :3] / away[far, None]
    off = np.degrees(np.arccos(np.clip((measured * pattern.direction[far]).sum(1), -1, 1)))
    assert np.median(off) < 3.0  # a real rotation is distorted by the vehicle's motion


@pytest.mark.parametrize("beams", [8, 32, 64])
def test_beams_span_the_same_elevations(beams: int) -> None:
    pattern = LidarPattern.of(beams)
    assert len(pattern.direction) == COLUMNS * beams
    np.testing.assert_allclose(np.linalg.norm(pattern.direction, axis=1), 1.0)
    elevation = np.arcsin(pattern.direction[:, 2])
    for ring, angle in ((0, LOWEST), (beams - 1, HIGHEST)):
        np.testing.assert_allclose(elevation[pattern.ring == ring], angle, atol=1e-9)


def test_lidar_looks_along_each_camera_when_it_exposes() -> None:
    """The centre of a camera's sector is in its view, and its delay is the lag of the ray along its axis."""
    pattern = LidarPattern.of(2)
    ego_direction = pattern.direction @ ego_from_lidar()[:3, :3].T
    azimuth = np.arctan2(ego_direction[:, 1], ego_direction[:, 0])
    for camera in CAMERAS:
        off = (azimuth - camera.heading + HALF_TURN) % (2 * HALF_TURN) - HALF_TURN
        nearest = np.argmin(np.abs(off))
        assert abs(pattern.lag[nearest] - camera.delay) < 0.006, camera.channel


def test_every_ray_of_a_sector_is_near_its_cameras_view() -> None:
    """Objects left out of a moment must not be hit by the LiDAR: see geometry.VIEW_MARGIN."""
    pattern = LidarPattern.of(2)
    ego_direction = pattern.direction @ ego_from_lidar()[:3, :3].T
    azimuth = np.arctan2(ego_direction[:, 1], ego_direction[:, 0])
    assert set(pattern.sector) == set(range(len(CAMERAS)))
    for k, camera in enumerate(CAMERAS):
        off = (azimuth[pattern.sector == k] - camera.heading + HALF_TURN) % (2 * HALF_TURN) - HALF_TURN
        assert np.degrees(np.abs(off).max() - camera.half_view) < 20.0, camera.channel


def test_intrinsics_scale_with_the_image() -> None:
    full, half = CAMERAS[1].intrinsic((1600, 900)), CAMERAS[1].intrinsic((800, 450))
    np.testing.assert_allclose(half[:2], 0.5 * full[:2])
    np.testing.assert_allclose(half[2], [0, 0, 1])

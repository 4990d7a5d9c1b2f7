from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.simulate.street.things import STEP, Track, standing
from pc_ssl.geometry import rotation_about_z


def circling(steps: int, radius: float, speed: float) -> Track:
    """Counter-clockwise round the origin, looking ahead."""
    way = speed * STEP * np.arange(steps)
    pose = np.tile(np.eye(4), (steps, 1, 1))
    for k, angle in enumerate(way / radius):
        pose[k, :3, :3] = rotation_about_z(angle + 0.5 * np.pi)[:3, :3]
        pose[k, :2, 3] = radius * np.cos(angle), radius * np.sin(angle)
    return Track(0.0, pose, np.full(steps, speed), way, np.ones(steps, bool))


@settings(deadline=None, max_examples=30)
@given(time=st.floats(0.0, 4.9))
def test_pose_between_samples_is_on_the_way_and_rigid(time: float) -> None:
    track = circling(100, radius=12.0, speed=9.0)
    pose, angle = track.pose(time), 9.0 * time / 12.0
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(pose[:2, 3], [12 * np.cos(angle), 12 * np.sin(angle)], atol=0.003)
    np.testing.assert_allclose(pose[:2, 0], [-np.sin(angle), np.cos(angle)], atol=0.003)
    assert track.way_at(time) == pytest.approx(9.0 * time)


def test_track_holds_its_ends() -> None:
    track = circling(10, radius=12.0, speed=9.0)
    np.testing.assert_allclose(track.pose(-5.0), track.scene_from_thing[0], atol=1e-12)
    np.testing.assert_allclose(track.pose(99.0), track.scene_from_thing[-1], atol=1e-12)


def test_standing_thing_never_moves() -> None:
    track = standing(np.eye(4))
    assert not track.moves
    np.testing.assert_array_equal(track.pose(3.0), np.eye(4))
    assert (track.speed_at(3.0), track.way_at(3.0), track.present_at(3.0)) == (0.0, 0.0, True)

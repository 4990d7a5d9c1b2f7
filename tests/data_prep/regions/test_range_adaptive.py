import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score

from data_prep.nuscenes import NuScenesReader
from data_prep.regions import GENERATORS, GROUNDS, height_above_ground
from data_prep.regions.range_adaptive import RangeAdaptiveRegions, angular_steps, cluster_by_range
from pc_ssl.evaluation.regions import object_recall, region_purity
from pc_ssl.geometry import points_in_boxes

AZIMUTH, BEAM = math.radians(360 / 1084), math.radians(41.33 / 31)
SETTING = {
    "azimuth_reach": 3 * AZIMUTH,
    "height_reach": 1.25 * BEAM,
    "min_range": 10.0,
    "fragment_points": 10,
    "fragment_reach": 2.0,
    "min_points": 5,
}


def written_out(xyz: np.ndarray, setting: dict) -> np.ndarray:
    """Reference: the clusters from all pairs of points; [N] label by component, -1 for small ones."""
    reach = np.hypot(xyz[:, 0], xyz[:, 1])
    scale = np.maximum(np.minimum(reach[:, None], reach), setting["min_range"])
    step = xyz[:, None] - xyz
    d = np.sqrt(
        (np.hypot(step[..., 0], step[..., 1]) / (setting["azimuth_reach"] * scale)) ** 2
        + (step[..., 2] / (setting["height_reach"] * scale)) ** 2
    )
    label = connected_components(coo_matrix(d <= 1), directed=False)[1]
    size = np.bincount(label)
    small = size[label] < setting["fragment_points"]
    first, second = np.nonzero(np.triu((d <= setting["fragment_reach"]) & (small[:, None] | small), 1))
    for link in np.argsort(d[first, second]):
        a, b = label[first[link]], label[second[link]]
        sizes = [(label == a).sum(), (label == b).sum()]
        if a != b and min(sizes) < setting["fragment_points"]:
            label[label == b] = a
    return np.where(np.bincount(label)[label] >= setting["min_points"], label, -1)


def scene(rng: np.random.Generator, points: int) -> np.ndarray:
    """Blobs of a few points at any range, some close to each other."""
    centre = rng.uniform(-1, 1, (6, 3)) * [40, 40, 1]
    centre[3:] = centre[:3] + rng.normal(0, 1, (3, 3))
    spread = 0.02 * np.linalg.norm(centre, axis=1)
    which = rng.integers(0, 6, points)
    return centre[which] + rng.normal(size=(points, 3)) * spread[which, None]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 120))
def test_clusters_equal_those_of_all_pairs(seed: int, points: int) -> None:
    xyz = scene(np.random.default_rng(seed), points)
    label, expected = cluster_by_range(xyz, **SETTING), written_out(xyz, SETTING)
    assert np.array_equal(label < 0, expected < 0)
    assert points == 0 or adjusted_rand_score(label, expected) == 1
    assert np.unique(label[label >= 0]).tolist() == list(range(label.max(initial=-1) + 1))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(-math.pi, math.pi))
def test_turning_the_sensor_changes_nothing(seed: int, angle: float) -> None:
    xyz = scene(np.random.default_rng(seed), 100)
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    assert np.array_equal(cluster_by_range(xyz, **SETTING), cluster_by_range(xyz @ turn.T, **SETTING))


def scan_of_wall(reach: float, width: float, height: float, at: float = 0.0) -> np.ndarray:
    """Points on a wall across the x axis at x = reach metres: one shot per azimuth step, one beam per beam step."""
    azimuth = np.arange(-400, 401) * AZIMUTH
    elevation = np.arange(-30, 31) * BEAM
    azimuth, elevation = (angle.ravel() for angle in np.meshgrid(azimuth, elevation))
    y, z = reach * np.tan(azimuth), reach / np.cos(azimuth) * np.tan(elevation)
    hit = (np.abs(y - at) < width / 2) & (np.abs(z) < height / 2)
    return np.column_stack([np.full(hit.sum(), reach), y[hit], z[hit]]).astype(np.float32)


@pytest.mark.parametrize("reach", [12.0, 25.0, 50.0])
def test_an_object_is_one_region_at_any_range_and_two_side_by_side_are_two(reach: float) -> None:
    gap = 4.5 * AZIMUTH * reach  # more than the reach of three shots
    left, right = (scan_of_wall(reach, 4.0, 3.0, at=side * (2.0 + gap / 2)) for side in (-1, 1))
    region = RangeAdaptiveRegions()(np.concatenate([left, right]), np.zeros(len(left) + len(right), bool), np.zeros(0))
    assert np.array_equal(region, np.arange(len(left) + len(right)) >= len(left))


def test_one_radius_in_metres_fails_at_one_of_the_ranges() -> None:
    far = scan_of_wall(50.0, 4.0, 3.0)
    region = GENERATORS["dbscan3d"](far, np.zeros(len(far), bool), far[:, 2])
    assert np.bincount(region + 1)[1:].max(initial=0) < len(far)  # beams at 50 m are 1.2 m apart


@pytest.mark.parametrize(("shots", "beams", "height"), [(1084, 32, 41.33), (2083, 64, 26.8), (1800, 16, 30.0)])
def test_the_sensors_angular_steps_are_estimated_from_the_cloud(shots: int, beams: int, height: float) -> None:
    rng = np.random.default_rng(0)
    azimuth, elevation = np.meshgrid(
        np.arange(shots) * 2 * math.pi / shots, np.radians(np.linspace(-25, height - 25, beams))
    )
    azimuth, elevation = azimuth.ravel() + rng.uniform(0, 1), elevation.ravel()
    floor, wall = 1.8 / np.maximum(-np.tan(elevation), 1e-3), 8 + 7 * np.sin(3 * azimuth)
    reach = np.minimum(floor, wall)
    reach += rng.normal(0, 0.02, len(reach))
    xyz = np.column_stack([reach * np.cos(azimuth), reach * np.sin(azimuth), reach * np.tan(elevation)])
    xyz = xyz[rng.random(len(xyz)) > 0.2].astype(np.float32)  # a fifth of the shots is missing
    steps = angular_steps(xyz)
    assert steps is not None
    assert steps[0] == pytest.approx(2 * math.pi / shots, rel=0.02)
    assert steps[1] == pytest.approx(math.radians(height) / (beams - 1), rel=0.02)


def test_a_cloud_without_steps_has_no_regions() -> None:
    for xyz in (np.zeros((0, 3)), np.zeros((50, 3)), np.array([[1.0, 2.0, 0.0]] * 9)):
        assert angular_steps(xyz) is None
        assert (RangeAdaptiveRegions()(xyz.astype(np.float32), np.zeros(len(xyz), bool), xyz[:, 2]) == -1).all()


def raised(xyz: np.ndarray, height: float) -> np.ndarray:
    return xyz + np.array([0, 0, height])


def test_a_fragment_is_merged_across_a_missing_beam_and_two_objects_are_not() -> None:
    body = scan_of_wall(20.0, 3.0, 1.4)
    roof = raised(body[:6], body[:, 2].max() - body[0, 2] + 20.0 * 2 * BEAM)
    label = cluster_by_range(np.concatenate([body, roof]), **SETTING)
    assert (label == 0).all()
    other = raised(body, np.ptp(body[:, 2]) + 20.0 * 2 * BEAM)
    label = cluster_by_range(np.concatenate([body, other]), **SETTING)
    assert label.tolist() == [0] * len(body) + [1] * len(body)


def test_ground_is_left_out_and_parameters_are_checked() -> None:
    wall = scan_of_wall(20.0, 3.0, 3.0)
    assert (RangeAdaptiveRegions()(wall, np.ones(len(wall), bool), wall[:, 2]) == -1).all()
    assert cluster_by_range(np.zeros((7, 3)), **SETTING).tolist() == [0] * 7  # at the sensor itself
    with pytest.raises(ValueError, match="must be positive"):
        cluster_by_range(wall, **SETTING | {"min_range": 0.0})
    with pytest.raises(ValueError, match=r"must be \[N, 3\]"):
        cluster_by_range(wall[:, :2], **SETTING)


def test_on_a_real_street_it_finds_more_objects_than_dbscan_and_mixes_them_less(real_root: Path) -> None:
    reader = NuScenesReader(real_root, "v1.0-mini", 1)
    frame = reader.source(reader.frames(None)[0]).read()
    xyz = np.ascontiguousarray(frame.points[:, :3])
    ground = GROUNDS["strips"](xyz, frame.mount)
    height = height_above_ground(xyz, ground)
    assert frame.box is not None
    ours, calico = (GENERATORS[name](xyz, ground, height) for name in ("range_adaptive", "dbscan"))
    inside = points_in_boxes(xyz, frame.box)
    assert object_recall(inside, ours).recall >= 0.7
    unfiltered = dataclasses.replace(GENERATORS["dbscan"], keep=None)(xyz, ground, height)  # type: ignore[type-var]
    for other in (calico, unfiltered):
        assert object_recall(inside, ours).recall > object_recall(inside, other).recall
        assert region_purity(inside, ours).purity >= region_purity(inside, other).purity


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_dense_clusters_take_n_log_n(spread: float) -> None:
    """Four times the points of one place take about four times as long; all pairs would take sixteen times."""
    rng = np.random.default_rng(0)

    def seconds(points: int) -> float:
        xyz = rng.normal(0, spread, (points, 3)) + np.array([8, 0, 0])
        times = []
        for _ in range(3):
            start = time.process_time()
            label = cluster_by_range(xyz, **SETTING)
            times.append(time.process_time() - start)
        assert (label == 0).mean() > 0.9
        return min(times)

    seconds(100)  # compiles
    assert seconds(20_000) < 9 * seconds(5_000)

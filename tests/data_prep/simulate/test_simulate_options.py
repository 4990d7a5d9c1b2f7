"""Options of the simulated nuScenes: cameras, LiDAR columns, named splits, time between keyframes, rare objects."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from typer.testing import CliRunner

from data_prep.cache_folder import CacheFolder
from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.simulate.maps import _short_lines, _Writer
from data_prep.simulate.nuscenes import SimulateOptions, estimate, simulate_nuscenes
from data_prep.simulate.rig import CAMERAS, COLUMNS, LidarPattern, front_cameras
from data_prep.simulate.root_state import STATE
from data_prep.simulate.street.content import StreetContent
from data_prep.simulate.street.world import build_world
from data_prep.simulate.tokens import Tokens
from pc_ssl.cli import app
from pc_ssl.data.cache import Cache
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import read_json

VERSION = "v1.0-mini"
LIDAR_ONLY = SimulateOptions(
    scenes=4, keyframes=2, seed=3, beams=8, cameras=0, columns=60, period=1.5, reach=45.0, rare_objects=3.0,
    image_size=(48, 27), split_sizes=(("train", 2), ("val", 1), ("test", 1)),
)  # fmt: skip
RARE = (
    "vehicle.trailer", "vehicle.bus", "vehicle.construction", "vehicle.motorcycle", "vehicle.bicycle",
    "movable_object.barrier", "movable_object.trafficcone",
)  # fmt: skip


@pytest.fixture(scope="module")
def lidar_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lidar") / "root"
    simulate_nuscenes(root, LIDAR_ONLY)
    return root


def test_devkit_loads_a_root_without_cameras(lidar_root: Path) -> None:
    kit = NuScenes(VERSION, str(lidar_root), verbose=False)
    assert [sensor["channel"] for sensor in kit.sensor] == ["LIDAR_TOP"]
    assert len(kit.calibrated_sensor) == 1
    assert len(kit.sample) == 8
    for sample in kit.sample:
        assert set(sample["data"]) == {"LIDAR_TOP"}
        assert sample["anns"]
        path, boxes, _ = kit.get_sample_data(sample["data"]["LIDAR_TOP"])
        assert Path(path).stat().st_size == 8 * 60 * 5 * 4
        assert len(boxes) == len(sample["anns"])
        labels = kit.get("lidarseg", sample["data"]["LIDAR_TOP"])["filename"]
        assert (Path(kit.dataroot) / labels).stat().st_size == 8 * 60
    assert not list(lidar_root.rglob("*.jpg"))


def test_keyframes_are_as_far_apart_as_asked_and_boxes_have_velocities(lidar_root: Path) -> None:
    kit = NuScenes(VERSION, str(lidar_root), verbose=False)
    for scene in kit.scene:
        first, last = (kit.get("sample", scene[f"{end}_sample_token"]) for end in ("first", "last"))
        assert last["timestamp"] - first["timestamp"] == 1_500_000
    twice = [record["token"] for record in kit.sample_annotation if record["prev"]]
    assert twice
    assert np.isfinite([kit.box_velocity(token) for token in twice]).all()


def test_cache_has_the_named_splits_and_nothing_is_reported_as_missing(lidar_root: Path, tmp_path: Path) -> None:
    reader = NuScenesReader(lidar_root, VERSION)
    assert [part.partition(" ")[0] for part in reader.absent()] == ["sweeps", "panoptic"]
    prepare(reader, choose_stages(regions=("dbscan",)), CacheFolder(tmp_path / "cache"))
    cache = Cache(tmp_path / "cache")
    assert cache.manifest.splits == {
        "train": ["sim-0000", "sim-0001"], "val": ["sim-0002"], "test": ["sim-0003"]
    }  # fmt: skip
    assert [len(cache.indices(split)) for split in ("train", "val", "test")] == [4, 2, 2]
    assert not any(cache[row].cameras for row in range(len(cache)))


def test_points_labels_and_boxes_do_not_depend_on_cameras(lidar_root: Path, tmp_path: Path) -> None:
    options = replace(LIDAR_ONLY, scenes=1, split_sizes=(), cameras=2)
    simulate_nuscenes(tmp_path / "root", options)
    found = {path.relative_to(tmp_path / "root") for path in (tmp_path / "root").rglob("*") if path.is_file()}
    points = [path for path in found if path.suffix == ".bin"]
    assert len(points) == 4
    for path in points:
        assert (tmp_path / "root" / path).read_bytes() == (lidar_root / path).read_bytes()
    boxes = read_json(tmp_path / "root" / VERSION / "sample_annotation.json")
    assert boxes == read_json(lidar_root / VERSION / "sample_annotation.json")[: len(boxes)]
    assert {path.parts[1] for path in found if path.suffix == ".jpg"} == {"CAM_FRONT", "CAM_FRONT_LEFT"}
    channels = {record["channel"] for record in read_json(tmp_path / "root" / VERSION / "sensor.json")}
    assert channels == {"LIDAR_TOP", "CAM_FRONT", "CAM_FRONT_LEFT"}


def test_cameras_are_those_nearest_to_the_front() -> None:
    names = [{camera.channel for camera in front_cameras(count)} for count in range(7)]
    assert names[:4] == [
        set(), {"CAM_FRONT"}, {"CAM_FRONT", "CAM_FRONT_LEFT"}, {"CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT"},
    ]  # fmt: skip
    assert names[5] == {camera.channel for camera in CAMERAS} - {"CAM_BACK"}
    assert front_cameras(6) == CAMERAS


def test_columns_are_spread_over_the_same_rotation() -> None:
    few, many = LidarPattern.of(4, COLUMNS // 4), LidarPattern.of(4)
    np.testing.assert_allclose(few.direction.reshape(-1, 4, 3), many.direction.reshape(-1, 4, 3)[::4], atol=1e-12)
    assert few.lag.min() == 0.0


def test_rare_objects_are_more_by_about_the_factor() -> None:
    def shares(factor: float) -> tuple[int, int]:
        worlds = [
            build_world(np.random.default_rng(seed), 1.0, 1, StreetContent(45.0, factor)) for seed in range(6)
        ]  # fmt: skip
        things = [thing.category for world in worlds for thing in world.things]
        return sum(name.startswith(RARE) for name in things), sum(name == "vehicle.car" for name in things)

    (rare, cars), (more_rare, fewer_cars) = shares(1.0), shares(5.0)
    assert more_rare > 2 * rare
    assert fewer_cars > 0.4 * cars


def test_default_content_is_that_of_streets_without_options() -> None:
    first, second = (build_world(np.random.default_rng(4), 1.0, 1, *content) for content in ((), (StreetContent(),)))
    assert [thing.category for thing in first.things] == [thing.category for thing in second.things]
    np.testing.assert_array_equal(first.ground_mesh.vertex, second.ground_mesh.vertex)


def test_probabilities_of_rare_kinds() -> None:
    content = StreetContent(rare_objects=4.0)
    np.testing.assert_allclose(content.shares([0.8, 0.2], [False, True]), [0.5, 0.5])
    assert (content.often(0.2), content.often(0.3, limit=0.8), StreetContent().often(0.99)) == (0.8, 0.8, 0.99)


def test_a_marking_shorter_than_its_points_are_apart_is_a_line_of_the_map() -> None:
    writer = _Writer(Tokens("test"), np.zeros(2))
    (line,) = _short_lines(writer, np.array([[0.0, 0.0], [1.5, 0.0]]))
    nodes = {node["token"]: (node["x"], node["y"]) for node in writer.layers["node"]}
    assert [nodes[token] for token in line[1]] == [(0.0, 0.0), (1.5, 0.0)]


def test_state_lists_only_options_that_differ_from_their_defaults(lidar_root: Path, tmp_path: Path) -> None:
    assert set(SimulateOptions(2, 3, 0).recorded) == {"scenes", "keyframes", "seed", "image_size", "beams", "sweeps"}
    recorded = read_json(lidar_root / STATE)["options"]
    assert recorded["split_sizes"] == [["train", 2], ["val", 1], ["test", 1]]
    assert recorded["cameras"] == 0
    for other, found in (
        (SimulateOptions(4, 2, 3, (48, 27), 8), r"options\.cameras is 0, but the default was requested"),
        (SimulateOptions(4, 2, 3, (48, 27), 8, cameras=1), r"options\.cameras is 0, but 1 was requested"),
    ):
        with pytest.raises(UserError, match=found):
            estimate(lidar_root, other)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cameras": 7}, "--cameras: 7"),
        ({"columns": 3}, "--columns: 3"),
        ({"period": 0.1}, "--keyframe-period: 0.1"),
        ({"period": float("nan")}, "--keyframe-period: nan"),
        ({"reach": 200.0}, "--reach: 200"),
        ({"rare_objects": 0.5}, "--rare-objects: 0.5"),
        ({"split_sizes": (("train", 1), ("train", 1)), "scenes": 2}, "--split: expected distinct names"),
        ({"split_sizes": (("train", 0), ("val", 1))}, "--split train: 0"),
        ({"split_sizes": (("train", 5),)}, "--scenes: 1 is not the sum"),
    ],
)
def test_option_out_of_range_is_reported(changed: dict, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        SimulateOptions(**{"scenes": 1, "keyframes": 1, "seed": 0, **changed})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "train"], "--split: expected NAME=SCENES, such as train=160, got 'train'"),
        (["--split", "train=many"], "--split: expected NAME=SCENES"),
        (["--split", "train=2", "--scenes", "2"], "--scenes: cannot be combined with --split"),
        (["--cameras", "all"], "--cameras: expected none or a number of cameras, got 'all'"),
    ],
)
def test_command_line_errors(options: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        CliRunner().invoke(
            app, ["simulate", "nuscenes", "--out", str(tmp_path / "root"), *options], catch_exceptions=False,
            standalone_mode=False,
        )  # fmt: skip
    assert not (tmp_path / "root").exists()


def test_named_splits_from_the_command_line(tmp_path: Path) -> None:
    options = ["--split", "train=3", "--split", "test=2", "--cameras", "none", "--dry-run"]
    outcome = CliRunner().invoke(app, ["simulate", "nuscenes", "--out", str(tmp_path / "root"), *options])
    assert "would simulate 5 of 5 scenes" in outcome.output

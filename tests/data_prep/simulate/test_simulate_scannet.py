"""The simulated root: reproducibility, resuming, rejected input, and the frames read from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from data_prep.cache_folder import CacheFolder
from data_prep.jobs import Executor
from data_prep.journal import Shard
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.reader import RawFrame
from data_prep.scannet import ScanNetReader
from data_prep.scannet_names import BENCHMARK_IDS, LABEL_CLASSES, NYU40
from data_prep.scannet_source import ScenePaths
from data_prep.simulate.indoor.categories import NYU40_OF_CATEGORY
from data_prep.simulate.root_state import STATE
from data_prep.simulate.scannet import SimulateOptions, estimate, simulate_room, simulate_scannet
from pc_ssl.cli import app
from pc_ssl.data.verify import verify
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import write_json

TINY = SimulateOptions(rooms=2, seed=5, frames=3, image_size=(64, 48))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny") / "root"
    simulate_scannet(root, TINY, workers=2)
    return root


@pytest.fixture(scope="module")
def room(tiny_root: Path) -> RawFrame:
    reader = ScanNetReader(tiny_root)
    return reader.source(reader.frames("train")[0]).read()


def test_a_room_made_alone_or_again_has_the_same_bytes(tiny_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scans/scene0001_00"
    folder.mkdir(parents=True)
    (folder / "scene0001_00_vh_clean_2.ply").write_bytes(b"of an interrupted run")
    simulate_room(ScenePaths(tmp_path, folder), TINY, 1)
    assert digests(folder) == digests(tiny_root / "scans/scene0001_00")


def test_only_missing_rooms_are_made(tiny_root: Path) -> None:
    before = digests(tiny_root)
    report = simulate_scannet(tiny_root, TINY)
    assert report.simulated == 0
    assert "nothing was left to do" in report.summary()
    write_json(tiny_root / STATE, {"options": asdict(TINY), "complete": False})  # killed at the very end
    assert simulate_scannet(tiny_root, TINY).simulated == 0
    assert digests(tiny_root) == before


def test_a_root_of_other_options_is_rejected(tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"options\.rooms is 2, but 3"):
        simulate_scannet(tiny_root, SimulateOptions(3, 5, 3, (64, 48)))
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=f"{STATE}; expected"):
        estimate(tmp_path, TINY)


@pytest.mark.parametrize("arguments", [(0, 0), (1, -1), (1, 0, 501), (1, 0, 1, (8, 48)), (10_000, 0)])
def test_options_out_of_range_are_reported(arguments: tuple) -> None:
    with pytest.raises(UsageError, match="out of range, expected"):
        SimulateOptions(*arguments)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "root"
    result = CliRunner().invoke(app, ["simulate", "scannet", "--out", str(out), "--rooms", "7", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "would simulate 7 of 7 rooms" in result.output
    assert not out.exists()


def test_every_file_of_a_scannet_scene_is_written(tiny_root: Path) -> None:
    reader = ScanNetReader(tiny_root)
    assert reader.absent() == []
    assert reader.splits() == {"train": ["scene0000_00"], "val": ["scene0001_00"]}
    rows = (tiny_root / "scannetv2-labels.combined.tsv").read_text().splitlines()
    columns = rows[0].split("\t")
    for row in rows[1:]:
        entry = dict(zip(columns, row.split("\t"), strict=True))
        assert NYU40[int(entry["nyu40id"])] == entry["nyu40class"]


ROOM_OPTIONS = choose_stages(regions=("graph", "slic"), ground="floor")


@pytest.fixture(scope="module")
def room_cache(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the rooms' cache as one process writes it."""
    out = tmp_path_factory.mktemp("rooms") / "cache"
    prepare(ScanNetReader(tiny_root), ROOM_OPTIONS, CacheFolder(out))
    assert not verify(out).problems
    return digests(out)


@pytest.mark.parametrize("shards", [2, 4])
def test_rooms_give_the_same_cache_in_any_shards(
    tiny_root: Path, tmp_path: Path, room_cache: dict[str, str], shards: int
) -> None:
    for index in range(shards, 0, -1):
        prepare(ScanNetReader(tiny_root), ROOM_OPTIONS, CacheFolder(tmp_path / "cache", Shard(index, shards)))
    assert digests(tmp_path / "cache") == room_cache


@pytest.mark.slow
def test_rooms_give_the_same_cache_by_many_workers_and_on_a_cluster(
    tiny_root: Path, tmp_path: Path, room_cache: dict[str, str]
) -> None:
    distributed = pytest.importorskip("distributed")
    prepare(ScanNetReader(tiny_root), ROOM_OPTIONS, CacheFolder(tmp_path / "workers"), Executor(workers=4))
    assert digests(tmp_path / "workers") == room_cache
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        prepare(
            ScanNetReader(tiny_root),
            ROOM_OPTIONS,
            CacheFolder(tmp_path / "dask"),
            Executor(scheduler=cluster.scheduler_address),
        )
    assert digests(tmp_path / "dask") == room_cache


def test_the_alignment_turns_the_walls_along_the_axes(room: RawFrame) -> None:
    wall = room.label == LABEL_CLASSES.index("wall")
    normal = np.abs(room.points[wall, 6:])
    assert np.median(normal.max(axis=1)) > 0.98
    assert abs(np.percentile(room.points[room.label == LABEL_CLASSES.index("floor"), 2], 50)) < 0.02
    assert not np.allclose(room.global_from_lidar, np.eye(4))


def test_every_object_has_the_label_of_its_name(tiny_root: Path, room: RawFrame) -> None:
    groups = json.loads((tiny_root / "scans/scene0000_00/scene0000_00.aggregation.json").read_text())["segGroups"]
    assert len(groups) > 15
    for group in groups:
        label = room.label[room.instance == group["objectId"] + 1]
        nyu40 = NYU40_OF_CATEGORY[group["label"]]
        assert set(label) == {BENCHMARK_IDS.index(nyu40) + 1 if nyu40 in BENCHMARK_IDS else 0}


def test_boxes_contain_their_objects_and_each_segment_has_one_object(room: RawFrame) -> None:
    segment = room.region["segment"]
    for number in np.unique(room.instance[room.instance > 0]):
        own = room.instance == number
        assert set(segment[own]).isdisjoint(segment[~own])
    assert len(room.box) >= 5
    assert 50 < segment.max() < 10_000


def test_images_have_the_colours_of_the_mesh_at_its_projected_points(room: RawFrame) -> None:
    """Pose, intrinsics, depth, mesh and light are consistent."""
    import io

    from PIL import Image

    assert len(room.cameras) == TINY.frames
    for name, camera in room.cameras.items():
        pixel, point = camera.pairs(room.points[:, :3])
        assert len(point) > 500
        pixels = np.asarray(Image.open(io.BytesIO(room.images[name])).convert("RGB")) / 255
        column, row = np.rint(pixel).astype(int).T
        error = np.abs(pixels[row, column] - room.points[point, 3:6]).mean(axis=1)
        shuffled = np.abs(pixels[row, column] - np.random.default_rng(0).permutation(room.points[point, 3:6])).mean(
            axis=1
        )
        assert np.median(error) < 0.05
        assert np.median(error) < 0.6 * np.median(shuffled)

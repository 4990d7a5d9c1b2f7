from pathlib import Path

import numpy as np
import pytest
import torch

from pc_ssl.data.cache import Cache, Manifest, encode_frame, write_frame, write_manifest
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.geometry import BevGrid, rotation_about_z
from pc_ssl.structures import ScanPairBatch
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.scan_pairs import ScanPairViews

STILL = Augmentation(rotation=0.0, scale=(1.0, 1.0), flip=0.0, shift=0.0)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """A vehicle that turns and drives on past standing points; one scene of three keyframes, one of a single one."""
    folder: Path = tmp_path_factory.mktemp("drive")
    world = np.random.default_rng(0).uniform([-20, -20, -2], [20, 20, 2], (600, 3))
    entries = []
    for number, scene in enumerate(["one", "one", "one", "alone"]):
        global_from_lidar = np.eye(4)
        global_from_lidar[:3, :3] = rotation_about_z(0.3 * number)
        global_from_lidar[:3, 3] = [1.0 * number, 0.5, 0]
        seen = (world - global_from_lidar[:3, 3]) @ global_from_lidar[:3, :3]
        points = np.column_stack([seen, np.arange(600)]).astype(np.float32)
        frame = {"points": points, "ground": np.zeros(600, bool), "ego_pose": np.eye(4)}
        content = encode_frame(frame | {"global_from_lidar": global_from_lidar})
        entries.append(write_frame(folder, scene, f"{scene}-{number}", number, content))
    classes = {"label": ["ignore"], "box": []}
    write_manifest(folder, Manifest("drive", "test", {}, classes, {"train": ["one", "alone"]}, entries))
    return Cache(folder)


def test_equal_cells_are_the_same_place(drive: Cache) -> None:
    dataset = CacheScenes(drive, range(4), None, ScanPairViews(STILL, keyframes_apart=1, cell_size=1.0, cells=10_000))
    sample = dataset[Draw(0, 0, 0)]
    assert sample.num_cells > 100
    assert not torch.equal(sample.first[:, :3], sample.second[:, :3])
    first, second = sample.first_cell, sample.second_cell  # point i of both scans is the same point of the world
    agree = (first == second) & (first >= 0)
    assert int(agree.sum()) >= 0.97 * int((first >= 0).sum())  # but for points on the edge of a cell
    cells = [set(cell[cell >= 0].tolist()) for cell in (first, second)]
    assert cells[0] == cells[1] == set(range(sample.num_cells))


def test_points_of_a_cell_lie_within_it(drive: Cache) -> None:
    sample = CacheScenes(drive, range(3), None, ScanPairViews(STILL, keyframes_apart=1, cell_size=2.0))[Draw(1, 0, 0)]
    for cell in range(sample.num_cells):
        place = (sample.first[sample.first_cell == cell, :2] / 2.0).floor()
        assert len(place.unique(dim=0)) == 1


@pytest.mark.parametrize(
    ("apart", "neighbours"), [(1, {0: 1, 1: 2, 2: 1, 3: None}), (2, {0: 2, 1: None, 2: 0, 3: None})]
)
def test_the_neighbour_is_this_many_keyframes_later_or_earlier(
    drive: Cache, apart: int, neighbours: dict[int, int | None]
) -> None:
    dataset = CacheScenes(drive, range(4), None, ScanPairViews(STILL, keyframes_apart=apart))
    assert dataset.neighbours == neighbours


def test_frames_that_are_not_trained_on_are_not_neighbours(drive: Cache) -> None:
    assert CacheScenes(drive, [0, 2], None, ScanPairViews(STILL, keyframes_apart=1)).neighbours == {0: 2, 2: 0}


def test_a_single_keyframe_draws_no_cell(drive: Cache) -> None:
    sample = CacheScenes(drive, range(4), None, ScanPairViews(STILL, keyframes_apart=1))[Draw(3, 0, 0)]
    assert sample.num_cells == 0
    assert bool((sample.first_cell == -1).all())


def test_cells_are_drawn_in_the_box_and_no_more_than_asked_for(drive: Cache) -> None:
    grid = BevGrid((0.0, 0.0, -5.0), (10.0, 10.0, 5.0), (0.5, 0.5, 1.0))
    sample = CacheScenes(drive, range(4), None, ScanPairViews(STILL, keyframes_apart=1, cells=7), grids=[grid])[
        Draw(0, 0, 0)
    ]
    assert sample.num_cells == 7
    assert bool((sample.first[sample.first_cell >= 0, :2] >= 0).all())


def test_draws_repeat_and_the_batch_keeps_places_apart(drive: Cache) -> None:
    dataset = CacheScenes(drive, range(4), None, ScanPairViews(Augmentation(), cell_size=1.0, keyframes_apart=1))
    samples = [dataset[Draw(row, 0, 0)] for row in (0, 3, 1)]
    again = dataset[Draw(0, 0, 0)]
    assert torch.equal(again.second, samples[0].second)
    assert torch.equal(again.second_cell, samples[0].second_cell)
    batch = ScanPairBatch.pack(samples)
    assert batch.num_cells == samples[0].num_cells + samples[2].num_cells
    last = batch.first_cell[1200:]
    assert torch.equal(last >= 0, samples[2].first_cell >= 0)
    assert int(last[last >= 0].min()) == samples[0].num_cells


@pytest.mark.parametrize("wrong", [{"cell_size": 0.0}, {"cells": 0}, {"keyframes_apart": 0}])
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        ScanPairViews(STILL, **wrong)

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pc_ssl.data.cache import Cache, Frame, Manifest, encode_frame, write_frame, write_manifest
from pc_ssl.data.dataset import CacheScenes, check_point_features
from pc_ssl.data.sampler import Draw, StepBatches, TooSmall
from pc_ssl.errors import UserError
from pc_ssl.geometry import BevGrid
from pc_ssl.protocols import SceneTransform
from pc_ssl.structures import Scene
from pc_ssl.views.lidar import Augmentation, SingleView


def frame_tensors(index: int, *, label: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(index)
    tensors = {
        "points": rng.normal(size=(6 + index, 4)).astype(np.float32),
        "ground": np.zeros(6 + index, bool),
        "region/dbscan": np.arange(6 + index, dtype=np.int32) % 4 - 1,
        "ego_pose": np.eye(4),
        "global_from_lidar": np.eye(4),
    }
    return tensors | ({"label": np.arange(6 + index).astype(np.uint8)} if label else {})


def make_cache(folder: Path, *, label: bool = False, frames: int = 8) -> Cache:
    entries = [
        write_frame(folder, "scene", f"frame{index}", index, encode_frame(frame_tensors(index, label=label)))
        for index in range(frames)
    ]
    classes = {"label": ["ignore", "car"], "box": []}
    write_manifest(folder, Manifest("toy", "v1", {}, classes, {"train": ["scene"]}, entries))
    return Cache(folder)


@dataclass(frozen=True)
class Jitter:
    """Tokens and one noisy coordinate of each point."""

    scale: float = 1.0
    reads: frozenset[str] = frozenset()

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: object = ()) -> tuple[str, Tensor]:
        noise = torch.from_numpy(rng.normal(size=len(scene.points)))
        return scene.token, scene.points[:, 0] + self.scale * noise


def as_lists(samples: Sequence[tuple[str, Tensor]]) -> list[tuple[str, list[float]]]:
    return [(token, value.tolist()) for token, value in samples]


def test_a_scene_has_the_tensors_of_the_cache(tmp_path: Path) -> None:
    dataset = CacheScenes(make_cache(tmp_path, label=True), [2, 5], "dbscan", Jitter(reads=frozenset({"label"})))
    scene, expected = dataset.scene(1), frame_tensors(5, label=True)
    assert (len(dataset), scene.token, scene.num_regions) == (2, "frame5", 3)
    np.testing.assert_array_equal(scene.points.numpy(), expected["points"])
    np.testing.assert_array_equal(scene.region.numpy(), expected["region/dbscan"])
    np.testing.assert_array_equal(scene.label.numpy(), expected["label"])


def test_without_regions_every_point_is_outside(tmp_path: Path) -> None:
    scene = CacheScenes(make_cache(tmp_path), [0], None, Jitter()).scene(0)
    assert scene.num_regions == 0
    assert (scene.region == -1).all()
    assert scene.label is None


def test_only_the_needed_tensors_are_read(tmp_path: Path) -> None:
    dataset = CacheScenes(make_cache(tmp_path, label=True), [0], "dbscan", Jitter())
    read: list[str] = []
    original = Frame.__getitem__

    def recording(self: Frame, key: str) -> Tensor:
        read.append(key)
        return original(self, key)

    with patch.object(Frame, "__getitem__", recording):
        dataset.scene(0)
    assert set(read) == {"points", "region/dbscan"}


def test_a_sample_depends_on_its_draw_alone(tmp_path: Path) -> None:
    dataset = CacheScenes(make_cache(tmp_path), range(8), "dbscan", Jitter())
    again = CacheScenes(make_cache(tmp_path), range(8), "dbscan", Jitter())
    again[Draw(0, 0, 0)]
    torch.testing.assert_close(dataset[Draw(3, 1, 2)][1], again[Draw(3, 1, 2)][1], rtol=0, atol=0)
    assert not torch.equal(dataset[Draw(3, 1, 2)][1], dataset[Draw(3, 1, 3)][1])


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_batches_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    dataset = CacheScenes(make_cache(tmp_path), range(8), "dbscan", Jitter())
    seen = [
        list(DataLoader(dataset, batch_sampler=StepBatches(8, 3, 0, 0, 6), num_workers=workers, collate_fn=as_lists))
        for workers in (0, 1, 2, 4)
    ]
    assert all(batches == seen[0] for batches in seen)


def test_regions_that_the_cache_lacks_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"frame0\.safetensors: the frame has no 'region/hdbscan'; .*region/dbscan"):
        CacheScenes(make_cache(tmp_path), [0], "hdbscan", Jitter())


def test_labels_that_the_cache_lacks_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no 'label'"):
        CacheScenes(make_cache(tmp_path), [0], "dbscan", Jitter(reads=frozenset({"label"})))


def test_no_frames_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no frames to train on"):
        CacheScenes(make_cache(tmp_path), [], "dbscan", Jitter())


def test_points_with_other_features_than_the_backbone_expects_are_rejected(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    check_point_features(cache, 1)
    with pytest.raises(UserError, match=r"manifest\.json: .* 1 features .*point_features is 2.*: x, y, z, intensity"):
        check_point_features(cache, 2)


@dataclass(frozen=True)
class AskBoxes:
    """Views that read boxes."""

    reads: frozenset[str] = frozenset({"boxes"})

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: object = ()) -> Scene:
        return scene


@pytest.mark.parametrize("counted", [True, False])
def test_boxes_without_returns_are_left_out_where_they_are_counted(tmp_path: Path, counted: bool) -> None:
    box = np.ones((3, 9), np.float32) * [[1], [2], [3]]
    tensors = frame_tensors(0, label=False) | {
        "box": box.astype(np.float32),
        "box_class": np.array([0, 1, 2], np.uint8),
        "box_attribute": np.array([5, 6, 7], np.uint8),
    }
    if counted:
        tensors["box_points"] = np.array([4, 0, 1], np.int32)
    entry = write_frame(tmp_path, "scene", "frame", 0, encode_frame(tensors))
    classes = {"label": ["ignore"], "box": ["car", "bus", "truck"]}
    write_manifest(tmp_path, Manifest("toy", "v1", {}, classes, {"train": ["scene"]}, [entry]))
    boxes = CacheScenes(Cache(tmp_path), [0], None, AskBoxes()).scene(0).boxes
    assert boxes is not None
    assert boxes.box[:, 0].tolist() == ([1, 3] if counted else [1, 2, 3])
    assert boxes.label.tolist() == ([0, 2] if counted else [0, 1, 2])
    assert boxes.attribute is not None
    assert boxes.attribute.tolist() == ([5, 7] if counted else [5, 6, 7])


@dataclass(frozen=True)
class Shift(SceneTransform):
    """Moves the points along x by a random number of metres and a fixed one."""

    metres: float

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Scene:
        points = scene.points.clone()
        points[:, 0] += self.metres + float(rng.integers(2))
        return replace(scene, points=points)


@dataclass(frozen=True)
class Whole:
    """Returns the unchanged scene and its boxes."""

    reads: frozenset[str] = frozenset()

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> tuple:
        return scene, tuple(grids)


def test_transforms_change_the_scene_in_their_order_before_the_views(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Double(SceneTransform):
        def __call__(self, scene: Scene, rng: np.random.Generator) -> Scene:
            return replace(scene, points=scene.points * 2)

    cache = make_cache(tmp_path)
    dataset = CacheScenes(cache, range(8), None, Whole(), (Shift(10.0), Double()))
    scene, _ = dataset[Draw(3, 1, 2)]
    moved = scene.points[:, 0] / 2 - cache[3]["points"][:, 0]
    assert float(moved[0]) == pytest.approx(10.0, abs=1e-5) or float(moved[0]) == pytest.approx(11.0, abs=1e-5)
    assert torch.equal(dataset[Draw(3, 1, 2)][0].points, scene.points)
    assert torch.equal(dataset.scene(3).points, cache[3]["points"])


def test_tensors_that_transforms_read_are_loaded(tmp_path: Path) -> None:
    class Labels(Shift):
        reads = frozenset({"label"})

    with_labels = CacheScenes(make_cache(tmp_path, label=True), [0], None, Whole(), (Labels(0.0),))
    assert with_labels[Draw(0, 0, 0)][0].label is not None
    with pytest.raises(UserError, match="no 'label'"):
        CacheScenes(make_cache(tmp_path / "none"), [0], None, Whole(), (Labels(0.0),))


def test_views_get_the_grids_of_the_networks(tmp_path: Path) -> None:
    grid = BevGrid((-8, -8, -3), (8, 8, 3), (1, 1, 1))
    assert CacheScenes(make_cache(tmp_path), [0], None, Whole(), grids=[grid])[Draw(0, 0, 0)][1] == (grid,)


def test_the_neighbour_is_the_next_of_the_given_frames_and_goes_through_the_transforms(tmp_path: Path) -> None:
    cache = make_cache(tmp_path)
    dataset = CacheScenes(cache, [5, 0, 2, 3], None, Whole(frozenset({"neighbour/1"})), (Shift(100.0),))
    seen = {}
    for row, token in enumerate(["frame5", "frame0", "frame2", "frame3"]):
        scenes = [dataset[Draw(row, seed, 0)][0] for seed in range(12)]
        seen[token] = {scene.neighbour.token for scene in scenes}
        assert all(float(scene.neighbour.points[:, 0].min()) > 90 for scene in scenes)
    assert seen == {"frame0": {"frame2"}, "frame2": {"frame3"}, "frame3": {"frame5"}, "frame5": {"frame3"}}


def test_points_of_earlier_sweeps_are_not_of_the_keyframe(tmp_path: Path) -> None:
    tensors = frame_tensors(0, label=False)
    lag = np.array([0, 0, 0, 0.05, 0.05, 0.1], np.float32)
    tensors["points"] = np.column_stack([tensors["points"], lag])
    entry = write_frame(tmp_path, "scene", "frame", 0, encode_frame(tensors))
    classes = {"label": ["ignore"], "box": []}
    write_manifest(tmp_path, Manifest("toy", "v1", {"sweeps": 3}, classes, {"train": ["scene"]}, [entry]))
    scene = CacheScenes(Cache(tmp_path), [0], None, Whole()).scene(0)
    assert scene.keyframe.tolist() == [True, True, True, False, False, False]
    assert scene.columns == ("x", "y", "z", "intensity", "time")


def test_a_frame_with_too_few_points_in_the_grid_is_too_small(street_cache: Cache) -> None:
    """Counted by hand: the points in the box."""
    xyz = street_cache[0]["points"][:, :3]
    grid = BevGrid((-8.0, -8.0, -5.0), (8.0, 8.0, 3.0), (1.0, 1.0, 1.0))
    lower, upper = torch.tensor(grid.lower), torch.tensor(grid.upper)
    inside = int(((xyz >= lower) & (xyz < upper)).all(dim=1).sum())
    assert 0 < inside < len(xyz)
    views = SingleView(Augmentation())
    CacheScenes(street_cache, [0], None, views, (), (grid,), inside)[Draw(0, 0, 0)]
    CacheScenes(street_cache, [0], None, views, (), (), len(xyz))[Draw(0, 0, 0)]
    message = rf"has {len(xyz)} points, {inside} of them inside the grid .*; {inside + 1} or more are needed"
    with pytest.raises(TooSmall, match=message):
        CacheScenes(street_cache, [0], None, views, (), (grid,), inside + 1)[Draw(0, 0, 0)]
    with pytest.raises(TooSmall, match=rf"has {len(xyz)} points; "):
        CacheScenes(street_cache, [0], None, views, (), (), len(xyz) + 1)[Draw(0, 0, 0)]

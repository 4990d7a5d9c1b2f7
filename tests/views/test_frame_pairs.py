import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache, Manifest, encode_frame, write_frame, write_manifest
from pc_ssl.data.content import with_images
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw, TooSmall
from pc_ssl.engine.pretrain import pretrain
from pc_ssl.errors import UserError
from pc_ssl.geometry import BevGrid
from pc_ssl.structures import Scene
from pc_ssl.views.foreground import ForegroundViews
from pc_ssl.views.frame_pairs import FramePairs
from pc_ssl.views.lidar import Augmentation, PairViews

STILL = Augmentation(rotation=0.0, scale=(1.0, 1.0), flip=0.0, shift=0.0)
CONFIG = Path(__file__).parents[2] / "configs" / "pretrain" / "fac_scannet_frames_unet.py"


def scene_of(*visible: range, points: int = 100) -> Scene:
    """Points at x = 0, 1, 2, ...; the first half is ground, the rest two segments of no plane."""
    xyz = torch.rand(points, 3, generator=torch.Generator().manual_seed(0))
    xyz[:, 0] = torch.arange(points)
    region = torch.full((points,), -1, dtype=torch.int32)
    region[points // 2 :] = 0
    region[3 * points // 4 :] = 1
    return Scene(
        "room", xyz, region, 2, ground=region < 0, visible=tuple(torch.tensor(list(rows)) for rows in visible)
    )  # fmt: skip


def rows_of(view: Tensor) -> set[int]:
    return {round(float(x)) for x in view[:, 0]}


def drawn(pairs: FramePairs, scene: Scene) -> set[tuple[int, int]]:
    """The pairs of frames that 60 draws give, each frame by its first point."""
    found = [pairs.draw(scene, np.random.default_rng(seed)) for seed in range(60)]
    return {tuple(int(seen.nonzero()[0, 0]) for seen in pair) for pair in found}  # type: ignore[misc]


def test_overlap_is_the_intersection_over_the_smaller_of_the_two_sets() -> None:
    scene = scene_of(range(40), range(37, 47), range(50, 90), range(90, 100))  # 3 of 10 shared; 0; 0
    assert drawn(FramePairs(0.3, 1), scene) == {(0, 37), (37, 0)}
    with pytest.raises(TooSmall, match=r"room has 4 images, of which 4 see 1 points or more and no two overlap by 31%"):
        FramePairs(0.31, 1).draw(scene, np.random.default_rng(0))


def test_all_pairs_that_overlap_are_drawn_and_frames_of_few_points_are_not() -> None:
    scene = scene_of(range(0, 40), range(20, 60), range(30, 70), range(65, 69))
    both = {(0, 20), (20, 30)}
    assert drawn(FramePairs(0.5, 10), scene) == both | {(b, a) for a, b in both}
    assert (30, 65) in drawn(FramePairs(0.5, 4), scene)


def test_a_point_that_a_frame_sees_twice_counts_once() -> None:
    scene = scene_of(range(10), range(8, 20))
    twice = dataclasses.replace(scene, visible=tuple(rows.repeat(3) for rows in scene.visible or ()))
    for pairs in (FramePairs(0.21, 1), FramePairs(0.1, 11)):
        with pytest.raises(TooSmall):
            pairs.draw(twice, np.random.default_rng(0))
    assert FramePairs(0.2, 10).draw(twice, np.random.default_rng(0))[0].sum() in (10, 12)


def test_each_view_holds_what_its_frame_sees_and_drawn_points_are_seen_by_both() -> None:
    scene = scene_of(range(0, 70), range(40, 100))
    views = ForegroundViews(STILL, 15, 8, frames=FramePairs())
    sample = views(scene, np.random.default_rng(0))
    pairs = sample.pairs
    assert {frozenset(rows_of(pairs.first)), frozenset(rows_of(pairs.second))} == {
        frozenset(range(70)), frozenset(range(40, 100))
    }  # fmt: skip
    first, second = pairs.first[pairs.first_row], pairs.second[pairs.second_row]
    assert torch.equal(first, second)
    assert torch.equal(pairs.region, scene.region[first[:, 0].long()].long())
    assert rows_of(first[sample.foreground]) <= set(range(50, 70))
    assert rows_of(first[~sample.foreground]) <= set(range(40, 50))
    assert sample.foreground.tolist() == [True] * 15 + [False] * 8


def test_each_view_is_augmented_on_its_own_and_keeps_its_share() -> None:
    scene = scene_of(range(0, 70), range(40, 100))
    sample = PairViews(Augmentation(shift=0.0, flip=0.0), 10, 10, keep=0.5, frames=FramePairs())(
        scene, np.random.default_rng(0)
    )
    assert len(sample.first) < 50
    assert len(sample.second) < 50
    first, second = (
        view[rows].double()
        for view, rows in ((sample.first, sample.first_row), (sample.second, sample.second_row))
    )  # fmt: skip
    assert not torch.allclose(first, second, atol=0.1)
    ratio = first.norm(dim=1) / second.norm(dim=1)  # a rotation and a scale for each view
    assert float(ratio.max() - ratio.min()) < 1e-5


def test_points_outside_the_grid_are_not_drawn() -> None:
    grid = BevGrid((0.0, 0.0, -1.0), (60.0, 4.0, 3.0), (1.0, 1.0, 1.0))
    sample = PairViews(STILL, 50, 50, frames=FramePairs())(
        scene_of(range(0, 70), range(40, 100)), np.random.default_rng(0), [grid]
    )
    assert rows_of(sample.first[sample.first_row]) == set(range(40, 60))


def test_a_large_plane_that_a_frame_sees_in_part_is_background() -> None:
    """What is visible of the wall is small; all of it is large."""
    rng = np.random.default_rng(0)
    wall = np.column_stack([rng.uniform(0, 4, 400), rng.normal(0, 0.01, 400), rng.uniform(0, 3, 400)])
    visible = torch.from_numpy(np.flatnonzero(wall[:, 0] < 0.8))
    scene = Scene(
        "wall", torch.from_numpy(wall).float(), torch.zeros(400, dtype=torch.int32), 1,
        ground=torch.zeros(400, dtype=torch.bool), visible=(visible, visible),
    )  # fmt: skip
    sample = ForegroundViews(STILL, 20, 20, frames=FramePairs())(scene, rng)
    assert sample.foreground.tolist() == [False] * 20


def test_visible_points_follow_the_points_that_are_kept() -> None:
    kept = torch.arange(100) % 2 == 0
    scene = scene_of(range(0, 10), range(95, 100)).keep(kept)
    assert scene.visible is not None
    assert [rows.tolist() for rows in scene.visible] == [[0, 1, 2, 3, 4], [48, 49]]
    assert scene_of().keep(kept).visible == ()


@pytest.mark.parametrize("wrong", [{"overlap": 0.0}, {"overlap": 1.1}, {"min_points": 0}])
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FramePairs(**wrong)


def test_a_scene_that_was_read_without_visible_points_is_refused() -> None:
    scene = dataclasses.replace(scene_of(range(100)), visible=None)
    with pytest.raises(ValueError, match="visible"):
        FramePairs().draw(scene, np.random.default_rng(0))


def write_rooms(folder: Path, rooms: Cache, images: list[int]) -> Cache:
    """The first of `rooms` with the given numbers of images; image k sees points with x in 0.7 k .. 0.7 k + 1.8.

    The image files hold three zero bytes, which cannot be decoded.
    """
    entries = []
    for number, count in enumerate(images):
        tensors = {name: value.numpy() for name, value in rooms[number].items()}
        x = tensors["points"][:, 0]
        for k in range(count):
            rows = np.flatnonzero((x >= 0.7 * k) & (x < 0.7 * k + 1.8)).astype(np.int32)
            tensors |= {
                f"image/{k:06d}": np.zeros(3, np.uint8),
                f"intrinsic/{k:06d}": np.eye(3, dtype=np.float32),
                f"camera_from_lidar/{k:06d}": np.eye(4, dtype=np.float32),
                f"pixel/{k:06d}": np.zeros((len(rows), 2), np.float32),
                f"point/{k:06d}": rows,
            }
        entries.append(write_frame(folder, f"room-{number}", f"room-{number}", 0, encode_frame(tensors)))
    splits = {"train": [f"room-{number}" for number in range(len(images))]}
    classes = {"label": rooms.manifest.classes["label"], "box": rooms.manifest.classes["box"]}
    write_manifest(folder, Manifest("rooms", "test", {"regions": "graph"}, classes, splits, entries, rooms.columns))
    return Cache(folder)


def test_visible_points_are_read_without_decoding_an_image(tmp_path: Path, room_cache: Cache) -> None:
    cache = write_rooms(tmp_path, room_cache, [3, 2])
    scenes = CacheScenes(cache, [0, 1], "graph", ForegroundViews(STILL, 64, 64, frames=FramePairs()))
    visible = scenes.scene(0).visible
    assert visible is not None
    assert [torch.equal(rows, cache[0][f"point/{k:06d}"].long()) for k, rows in enumerate(visible)] == [True] * 3
    sample = scenes[Draw(1, 0, 0)]
    assert len(sample.pairs.first) < len(cache[1]["points"])
    assert CacheScenes(cache, [0], "graph", ForegroundViews(STILL)).scene(0).visible is None


def test_rooms_without_two_images_are_left_out_before_the_first_step(
    tmp_path: Path, room_cache: Cache, capsys: pytest.CaptureFixture
) -> None:
    reads = PairViews(STILL, frames=FramePairs()).reads
    some = write_rooms(tmp_path / "some", room_cache, [2, 1, 0, 4])
    assert with_images(some, range(4), reads, "split train") == [0, 3]
    assert "split train: 2 of 4 frames are left out, without two images; the first is room-1" in capsys.readouterr().err
    none = write_rooms(tmp_path / "none", room_cache, [1, 0])
    with pytest.raises(UserError, match="none of the 2 frames of split train has two images") as caught:
        with_images(none, range(2), reads, "split train")
    assert "\n" not in str(caught.value)


def test_the_full_size_config_trains_on_pairs_of_frames(
    tmp_path: Path, room_cache: Cache, capsys: pytest.CaptureFixture
) -> None:
    """Its network and its numbers made small; rooms without a pair that overlaps are left out with a count."""
    cache = write_rooms(tmp_path / "cache", room_cache, [4, 3, 1, 3])
    apart = {name: value.numpy() for name, value in cache[3].items() if not name.endswith("/000001")}
    write_frame(cache.path, "room-3", "room-3", 0, encode_frame(apart))  # images 0 and 2 overlap by less than 30 %
    method = load_config(CONFIG).flat()
    assert (method["method.correlation"], method["method.views.frames.overlap"]) == ("learned", 0.3)
    small = {
        "backbone.voxel_size": "(0.1,0.1,0.1)", "backbone.stem_channels": 8, "backbone.encoder_channels": "(8,16)",
        "backbone.encoder_blocks": "(1,1)", "backbone.decoder_channels": "(16,8)", "backbone.decoder_blocks": "(1,1)",
        "views.frames.min_points": 64, "views.foreground": 64, "views.background": 64,
        "hidden_channels": 16, "embedding_channels": 16, "correlation_channels": 8,
    }  # fmt: skip
    overrides = [f"method.{key}={value}" for key, value in small.items()]
    overrides += ["region=graph", "train.steps=2", "train.batch_size=3", "train.num_workers=0", "train.log_every=1"]
    pretrain(CONFIG, tmp_path / "cache", tmp_path / "run", overrides=overrides, device="cpu")
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    out, err = capsys.readouterr()
    assert "1 of 4 frames are left out, without two images; the first is room-2" in err
    assert "frame room-3 has 2 images, of which 2 see 64 points or more and no two overlap by 30%" in out

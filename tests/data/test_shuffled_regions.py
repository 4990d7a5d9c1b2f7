"""Shuffled regions keep their sizes and lose their place."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.data.shuffled_regions import ShuffledRegions
from pc_ssl.engine.pretrain import build
from pc_ssl.errors import UserError
from pc_ssl.structures import Camera, Scene

ROOT = Path(__file__).parents[2]


def scene(token: str = "frame") -> Scene:
    """Forty points in a row: regions of 4, 8 and 16 points, and 12 outside; the last 6 are of an earlier sweep."""
    region = torch.tensor([0] * 4 + [1] * 8 + [2] * 16 + [-1] * 12, dtype=torch.int32)
    points = torch.arange(40.0)[:, None].expand(40, 4)
    return Scene(token, points, region, 3, keyframe=torch.arange(40) < 34)


def test_sizes_are_kept_and_members_are_random() -> None:
    before, after = scene(), ShuffledRegions(seed=1)(scene(), np.random.default_rng())
    assert torch.equal(before.region.sort().values, after.region.sort().values)
    assert torch.equal(before.points, after.points)
    assert after.num_regions == 3
    spread = [float(after.points[after.region == k, 0].std()) for k in range(3)]
    assert min(spread) > 5  # the regions were runs of neighbours, of deviations 1.3, 2.4 and 4.8
    assert not torch.equal(before.region >= 0, after.region >= 0)


def test_earlier_sweeps_stay_outside() -> None:
    after = ShuffledRegions()(scene(), np.random.default_rng())
    assert (after.region[34:] == -1).all()


def test_seed_and_frame_alone_decide() -> None:
    def shuffled(token: str, seed: int, rng: int) -> list[int]:
        return ShuffledRegions(seed)(scene(token), np.random.default_rng(rng)).region.tolist()

    assert shuffled("a", 1, 0) == shuffled("a", 1, 5)
    assert shuffled("a", 1, 0) != shuffled("b", 1, 0)
    assert shuffled("a", 1, 0) != shuffled("a", 2, 0)


def test_superpixels_of_images_are_shuffled_too() -> None:
    superpixel = torch.arange(6, dtype=torch.int32).repeat_interleave(10).view(6, 10)
    image = torch.zeros(3, 6, 10, dtype=torch.uint8)
    camera = Camera("front", image, torch.eye(3), torch.eye(4), torch.zeros(0, 2), torch.zeros(0).long(), superpixel)
    (after,) = ShuffledRegions()(replace(scene(), cameras=(camera,)), np.random.default_rng()).cameras
    assert after.superpixel is not None
    assert torch.equal(after.superpixel.flatten().sort().values, superpixel.flatten())
    assert not torch.equal(after.superpixel, superpixel)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UserError, match="seed is -1"):
        ShuffledRegions(-1)


def test_a_config_uses_it_for_pretraining(street_cache: Cache, tmp_path: Path) -> None:
    """Both views see the shuffled regions; the frame in the cache does not change."""
    shutil.copytree(ROOT / "configs" / "_base_", tmp_path / "_base_")
    (tmp_path / "smoke").mkdir()
    path = tmp_path / "smoke" / "control.py"
    path.write_text(
        (ROOT / "configs/smoke/prc_second.py").read_text()
        + "\nfrom pc_ssl.data.shuffled_regions import ShuffledRegions\n"
        + "transforms = [dict(type=ShuffledRegions, seed=3)]\n"
    )
    plain = build(load_config(ROOT / "configs/smoke/prc_second.py"), street_cache, "train").scenes
    control = build(load_config(path), street_cache, "train").scenes
    before, after = (scenes.changed(0, np.random.default_rng(0)).region for scenes in (plain, control))
    assert torch.equal(before.sort().values, after.sort().values)
    assert not torch.equal(before, after)

"""Detectors that learned one frame by heart find its boxes, by the devkit's evaluation; simulated and real."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from data_prep.cache_folder import CacheFolder
from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.simulate.nuscenes import SimulateOptions, simulate_nuscenes
from pc_ssl.data.cache import Cache

ROOT = Path(__file__).parents[2]
VERSION = "v1.0-mini"


@pytest.fixture(scope="module")
def overfit() -> ModuleType:
    """`benchmarks/overfit_detection.py` as a module."""
    spec = importlib.util.spec_from_file_location("overfit_detection", ROOT / "benchmarks" / "overfit_detection.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["overfit_detection"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """One simulated keyframe with six images."""
    folder = tmp_path_factory.mktemp("streets")
    simulate_nuscenes(folder / "root", SimulateOptions(scenes=1, keyframes=2, seed=3, image_size=(320, 180), beams=32))
    prepare(NuScenesReader(folder / "root", VERSION), choose_stages(regions=()), CacheFolder(folder / "cache"))
    return Cache(folder / "cache")


@pytest.fixture(scope="module")
def keyframe(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """The real one."""
    if "PC_SSL_REAL_DATA" not in os.environ:
        pytest.skip("PC_SSL_REAL_DATA is not set to a folder with nuscenes-real/")
    folder = tmp_path_factory.mktemp("keyframe") / "cache"
    prepare(
        NuScenesReader(Path(os.environ["PC_SSL_REAL_DATA"]) / "nuscenes-real", VERSION),
        choose_stages(regions=()),
        CacheFolder(folder),
    )
    return Cache(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sensors", "head"), [("lidar", "transfusion"), ("camera", "center_point"), ("fused", "center_point")]
)
def test_a_simulated_frame_is_found_again(overfit: ModuleType, streets: Cache, sensors: str, head: str) -> None:
    outcome = overfit.overfit(streets, sensors, head)
    assert outcome.boxes > 30
    assert outcome.reached, outcome
    assert outcome.nds > 0.8, outcome  # sizes, headings and velocities too


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sensors", "head"), [("lidar", "center_point"), ("camera", "transfusion"), ("fused", "transfusion")]
)
def test_a_real_frame_is_found_again(overfit: ModuleType, keyframe: Cache, sensors: str, head: str) -> None:
    outcome = overfit.overfit(keyframe, sensors, head)
    assert outcome.boxes > 20
    assert outcome.reached, outcome
    assert outcome.nds > 0.8, outcome  # sizes, headings and velocities too


def test_the_frame_keeps_the_boxes_that_can_be_seen(overfit: ModuleType, streets: Cache, tmp_path: Path) -> None:
    seen, frame = overfit.seen(streets, tmp_path), streets[0]
    kept = frame["box_points"] >= 5
    assert 0 < kept.sum() < len(kept)
    assert seen.indices("train") == [0]
    for key in ("box", "box_class", "box_attribute", "box_points"):
        torch.testing.assert_close(seen[0][key], frame[key][kept], rtol=0, atol=0, equal_nan=True)
    assert seen[0]["points"].equal(frame["points"])


def test_an_untrained_network_scores_lower_than_a_trained_one(
    overfit: ModuleType, streets: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(overfit.STEPS, "center_point", 2)
    assert not overfit.overfit(streets, "lidar", "center_point").reached

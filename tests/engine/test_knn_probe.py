"""The k-nearest-neighbour probe, and what the neighbours are."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import build_task, probe
from pc_ssl.engine.knn_probe import KnnProbe, neighbour_shares
from pc_ssl.engine.probe_features import LabelledFeatures
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.heads.nearest_neighbours import NearestNeighbours


def test_the_probe_classifies_and_names_its_settings(street_cache: Cache, tmp_path: Path) -> None:
    config = load_config(Path("smoke/segmentation"))
    run = probe(config, street_cache, tmp_path / "run", seed=1, device="cpu", protocol="knn")
    assert run.settings["protocol"] == "knn"
    assert (run.fit["k"], run.fit["temperature"]) == (20, 0.07)
    assert sum(run.fit["classes"].values()) == run.fit["points"]
    assert run.result.miou > 0.5 / 5  # five classes; intensity distinguishes them
    assert {"same_class", "same_frame", "same_region/dbscan"} <= set(run.fit["neighbours"])
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    assert RunResult.read(tmp_path / "run" / "result.json") == run
    again = probe(config, street_cache, tmp_path / "again", seed=1, device="cpu", protocol="knn")
    assert (again.result, again.fit) == (run.result, run.fit)


def test_the_backbone_and_the_head_stay_as_they_are(street_cache: Cache) -> None:
    task = build_task(load_config(Path("smoke/segmentation")), street_cache, seed=1)
    before = {name: value.clone() for name, value in task.named_parameters()}
    nearest = KnnProbe(task, street_cache, 0, torch.device("cpu"))
    nearest.fit(street_cache.indices("train"))
    nearest.evaluate(street_cache.indices("val"))
    assert all(torch.equal(value, before[name]) for name, value in task.named_parameters())


def test_shares_of_the_neighbours_by_hand(street_cache: Cache) -> None:
    """Two pairs of points: a pair in frame 0 with one class, a pair across scenes with two classes; k is 1."""
    scenes = {frame.scene: frame for frame in street_cache}
    first, other = list(scenes.values())[:2]
    feature = normalize(torch.tensor([[1.0, 0.01], [1.0, 0.0], [0.0, 1.0], [0.01, 1.0]]), dim=1)
    in_region = (first["region/dbscan"] >= 0).nonzero()[:, 0]
    one = int(first["region/dbscan"][in_region[0]])
    twin = (first["region/dbscan"] == one).nonzero()[:2, 0]
    outside = int((first["region/dbscan"] < 0).nonzero()[0])
    elsewhere = int((other["region/dbscan"] < 0).nonzero()[0])
    points = LabelledFeatures(
        feature,
        torch.tensor([1, 1, 1, 2]),
        torch.tensor([0, 0, 0, 1]),
        torch.tensor([int(twin[0]), int(twin[1]), outside, elsewhere]),
        (first, other),
    )
    shares = neighbour_shares(points, NearestNeighbours(feature, points.label, 3, k=1))
    assert shares["same_class"] == 0.5
    assert shares["same_class_by_chance"] == pytest.approx(0.75**2 + 0.25**2)
    assert shares["same_frame"] == shares["same_scene"] == 0.5
    assert shares["same_class_of_other_scenes"] == 0.0
    assert shares["same_region/dbscan"] == 1.0  # only the first pair is in a region

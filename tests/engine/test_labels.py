from pathlib import Path

import numpy as np
import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.data.fractions import FractionRule
from pc_ssl.data.label_counts import label_counts
from pc_ssl.engine.downstream import finetune, probe
from pc_ssl.engine.labels import Labels
from pc_ssl.errors import UsageError, UserError
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.structures import Scene

CONFIG = Path(__file__).parents[2] / "configs" / "smoke" / "segmentation.py"


def test_a_list_names_the_labelled_scenes(street_cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "25.txt"
    path.write_text("street-02\n")
    labels = Labels(scene_list=path)
    assert labels.scenes(street_cache) == ("street-02",)
    assert [street_cache.frames[row].scene for row in labels.rows(street_cache)] == ["street-02"] * 2
    with pytest.raises(UsageError, match="--labels or --label-offset"):
        Labels(0.5, scene_list=path)


def test_only_the_named_points_are_labelled(tmp_path: Path) -> None:
    torch.save({"a": [1, 4]}, tmp_path / "points")
    (few,) = Labels(points=tmp_path / "points").transforms(seed=0)
    scene = Scene("a", torch.rand(6, 4), torch.full((6,), -1), 0, torch.full((6,), 3, dtype=torch.uint8))
    assert few(scene, np.random.default_rng(0)).label.tolist() == [0, 3, 0, 0, 3, 0]
    assert Labels().transforms(seed=0) == ()


def test_settings_tell_other_labels_apart(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("street-02")
    all_of_them = [Labels(), Labels(points=20), Labels(points=50), Labels(points=path), Labels(scene_list=path)]
    settings = [labels.settings() for labels in all_of_them]
    assert all(one != other for k, one in enumerate(settings) for other in settings[:k])
    path.write_text("street-03")
    assert Labels(scene_list=path).settings() != settings[-1]


def test_finetuning_with_few_points_is_a_run_of_its_own(street_cache: Cache, tmp_path: Path) -> None:
    config = load_config(CONFIG)
    run = finetune(config, street_cache, tmp_path / "run", labels=Labels(points=3), device="cpu")
    assert run.settings["label_points"] == 3
    assert run.result.num_frames == 4
    with pytest.raises(UserError, match="label_points was 3, now 4"):
        finetune(config, street_cache, tmp_path / "run", labels=Labels(points=4), device="cpu")


def test_a_probe_with_few_points_sees_no_others(street_cache: Cache, tmp_path: Path) -> None:
    run = probe(load_config(CONFIG), street_cache, tmp_path / "run", labels=Labels(points=3), device="cpu")
    assert run.fit["points"] == 3 * run.num_train_frames


def test_label_counts_are_those_of_the_frames(street_cache: Cache) -> None:
    counts = label_counts(street_cache, [3, 0])
    for row, count in zip([3, 0], counts, strict=True):
        label = street_cache[row]["label"]
        assert count.tolist() == [int((label == k).sum()) for k in range(1, len(street_cache.class_names))]


def test_single_frames_of_different_scenes_are_labelled(street_cache: Cache) -> None:
    labels = Labels(0.5, FractionRule.FRAMES, label_seed=3)
    rows = labels.rows(street_cache)
    assert len(rows) == 4
    assert labels.scenes(street_cache) == tuple(street_cache.manifest.splits["train"])
    assert set(Labels(0.25, FractionRule.FRAMES, label_seed=3).rows(street_cache)) < set(rows)
    drawn = {tuple(Labels(0.25, FractionRule.FRAMES, label_seed=seed).rows(street_cache)) for seed in range(9)}
    assert len(drawn) > 1
    assert set(Labels(1.0, FractionRule.FRAMES).rows(street_cache)) == set(street_cache.indices("train"))


def test_all_frames_of_a_cache_are_a_training_split(street_cache: Cache) -> None:
    assert len(Labels(train_split="all").scenes(street_cache)) == 6
    assert len(Labels(1 / 6, FractionRule.FRAMES, train_split="all").scenes(street_cache)) == 2


def test_options_of_other_rules_are_refused() -> None:
    with pytest.raises(UsageError, match=r"label-seed.*--label-rule frames"):
        Labels(label_seed=1)
    with pytest.raises(UsageError, match=r"label-offset.*--label-seed"):
        Labels(0.5, FractionRule.FRAMES, offset=1)
    with pytest.raises(UsageError, match="label-seed: expected a number from 0, got -1"):
        Labels(0.5, FractionRule.FRAMES, label_seed=-1)


def test_the_result_names_the_labelled_frames(street_cache: Cache, tmp_path: Path) -> None:
    labels = Labels(0.25, FractionRule.FRAMES, label_seed=2)
    finetune(load_config(CONFIG, ["train.steps=1"]), street_cache, tmp_path / "run", labels=labels, device="cpu")
    run = RunResult.read(tmp_path / "run" / "result.json")
    assert run.frames == tuple(street_cache.frames[row].token for row in labels.rows(street_cache))
    assert (run.settings["label_rule"], run.settings["label_seed"]) == ("frames", 2)
    assert run.num_train_frames == 2

from pathlib import Path

import numpy as np
import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import finetune, probe
from pc_ssl.engine.labels import Labels
from pc_ssl.errors import UsageError, UserError
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

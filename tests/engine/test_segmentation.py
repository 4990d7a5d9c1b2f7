"""Probe, fine-tuning and evaluation on a tiny street, with a backbone of a few lines."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import build_task, evaluate, evaluate_task, finetune, load_task, probe
from pc_ssl.engine.initial import InitialWeights
from pc_ssl.engine.labels import Labels
from pc_ssl.engine.weights import read_tensors, save_weights
from pc_ssl.errors import UserError
from pc_ssl.structures import PointBatch

CONFIG = """
from pc_ssl.engine.options import TrainOptions
from pc_ssl.geometry import BevGrid
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation, SingleView

task = dict(
    type=SegmentationTask,
    backbone=dict(
        type=SparseUNet,
        voxel_size=(0.5, 0.5, 0.5),
        stem_channels=8,
        encoder_channels=(8, 16),
        encoder_blocks=(1, 1),
        decoder_channels=(16, 8),
        decoder_blocks=(1, 1),
    ),
    view=dict(type=SingleView, augmentation=dict(type=Augmentation, rotation=0.3, shift=0.0)),
)
train = dict(type=TrainOptions, steps=6, batch_size=2, learning_rate=1e-2, num_workers=0, log_every=2)
"""


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    path = tmp_path / "segmentation.py"
    path.write_text(CONFIG)
    return load_config(path)


def test_probe_learns_from_the_labelled_scenes_and_is_evaluated_on_the_others(
    config: RunConfig, street_cache: Cache, tmp_path: Path
) -> None:
    run = probe(config, street_cache, tmp_path / "probe", labels=Labels(0.5), device="cpu")
    assert run.scenes == ("street-01", "street-03")  # every second training scene, as SLidR counts
    assert run.num_train_frames == 4
    assert run.result.num_frames == 4  # two validation scenes of two keyframes
    assert sum(run.result.labelled) == sum(
        int((street_cache[row]["label"] != 0).sum()) for row in street_cache.indices("val")
    )
    assert run.result.miou > 0.5 / 5  # five classes; intensity tells them apart


def test_the_probed_backbone_keeps_its_weights(config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    probe(config, street_cache, tmp_path / "probe", seed=3, device="cpu")
    tensors, _ = read_tensors(tmp_path / "probe" / "weights.safetensors")
    initial = build_task(config, street_cache, seed=3)
    for name, value in initial.backbone.named_parameters():
        assert torch.equal(tensors[f"backbone.{name}"], value), name
    assert not torch.equal(tensors["head.weight"], initial.head.weight)


def test_finetuning_changes_backbone_and_head(config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    finetune(config, street_cache, tmp_path / "finetune", seed=3, device="cpu")
    tensors, _ = read_tensors(tmp_path / "finetune" / "weights.safetensors")
    initial = build_task(config, street_cache, seed=3)
    same = [name for name, value in initial.named_parameters() if torch.equal(tensors[name], value)]
    assert same == []


@pytest.mark.parametrize("run", [probe, finetune])
def test_init_starts_from_the_pretrained_backbone(run, config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    pretrained = build_task(config, street_cache, seed=7)
    save_weights(tmp_path / "weights.safetensors", pretrained, {})
    scratch = run(config, street_cache, tmp_path / "scratch", seed=0, device="cpu")
    loaded = run(
        config,
        street_cache,
        tmp_path / "loaded",
        init=InitialWeights({"": tmp_path / "weights.safetensors"}),
        device="cpu",
    )
    assert scratch.origin == "scratch"
    assert loaded.origin == str(tmp_path / "weights.safetensors")
    assert scratch.result != loaded.result


@pytest.mark.parametrize("run", [probe, finetune])
def test_the_same_seed_gives_the_same_result(run, config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    first, second = (run(config, street_cache, tmp_path / name, seed=1, device="cpu") for name in "ab")
    assert first.result == second.result
    assert first.fit == second.fit
    assert run(config, street_cache, tmp_path / "c", seed=2, device="cpu").result != first.result


def test_the_global_random_state_is_left_alone(config: RunConfig, street_cache: Cache) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_task(config, street_cache, seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_evaluating_the_finished_weights_gives_the_same_counts(
    config: RunConfig, street_cache: Cache, tmp_path: Path
) -> None:
    run = finetune(config, street_cache, tmp_path / "finetune", device="cpu")
    weights = tmp_path / "finetune" / "weights.safetensors"
    again = evaluate(config, street_cache, weights, tmp_path / "evaluate", device="cpu")
    assert again.result == run.result
    train = evaluate(config, street_cache, weights, tmp_path / "evaluate_train", split="train", device="cpu")
    assert train.result.num_frames == 8


@pytest.mark.parametrize("command", [probe, finetune])
def test_a_frame_without_a_point_in_the_grid_is_named(command: Callable, street_cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "far.py"
    unet = CONFIG[CONFIG.index("        type=SparseUNet") : CONFIG.index("    ),\n    view=")]
    second = """        type=SECOND, grid=dict(type=BevGrid, lower=(948.8, -51.2, -5.0), upper=(1051.2, 51.2, 3.0),
        voxel_size=(0.8, 0.8, 1.0)), stage_channels=(8, 16), stage_blocks=(1, 1), neck_channels=(16, 16),
        neck_layers=(1, 1), upsampled_channels=8,
"""
    path.write_text(CONFIG.replace(unet, second).replace("import SparseUNet", "import SECOND"))
    with pytest.raises(UserError, match=r"frames? street-0\d-\d.*(none of \d+ points is|0 of them) inside .*grid"):
        command(load_config(path), street_cache, tmp_path / "new", device="cpu")


def test_the_written_config_rebuilds_the_network(config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    changed = load_config(config.path, ["task.backbone.stem_channels=4"])
    run = probe(changed, street_cache, tmp_path / "probe", device="cpu")
    written = load_config(tmp_path / "probe" / "config.py")
    assert written.hash == run.settings["config"]
    task = load_task(written, street_cache, tmp_path / "probe" / "weights.safetensors")
    assert evaluate_task(written, task, street_cache, street_cache.indices("val"), torch.device("cpu")) == run.result


def test_a_finished_run_is_read_back_and_not_run_again(
    config: RunConfig, street_cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = probe(config, street_cache, tmp_path / "probe", device="cpu")
    before = (tmp_path / "probe" / "result.json").stat().st_mtime_ns
    capsys.readouterr()
    assert probe(config, street_cache, tmp_path / "probe", device="cpu") == first
    assert "nothing was run" in capsys.readouterr().out
    assert (tmp_path / "probe" / "result.json").stat().st_mtime_ns == before


def test_the_folder_of_another_run_is_refused(config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    probe(config, street_cache, tmp_path / "run", device="cpu")
    with pytest.raises(UserError, match=r"result.json: the result of another run \(seed was 0, now 1\)"):
        probe(config, street_cache, tmp_path / "run", seed=1, device="cpu")
    with pytest.raises(UserError, match=r"command was 'probe', now 'finetune'"):
        finetune(config, street_cache, tmp_path / "run", device="cpu")


def test_a_damaged_result_is_the_users_error(config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    probe(config, street_cache, tmp_path / "run", device="cpu")
    path = tmp_path / "run" / "result.json"
    content = json.loads(path.read_text())
    del content["fit"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"result.json: has no field 'fit' of type dict"):
        probe(config, street_cache, tmp_path / "run", device="cpu")


def test_weights_of_another_backbone_are_refused(config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    save_weights(tmp_path / "weights.safetensors", nn.ModuleDict({"backbone": nn.Linear(2, 2)}), {})
    with pytest.raises(UserError, match="weights of another backbone"):
        probe(
            config,
            street_cache,
            tmp_path / "run",
            init=InitialWeights({"": tmp_path / "weights.safetensors"}),
            device="cpu",
        )


def test_evaluating_pretrained_weights_without_a_head_is_refused(
    config: RunConfig, street_cache: Cache, tmp_path: Path
) -> None:
    backbone = build_task(config, street_cache, seed=0).get_submodule("backbone")
    save_weights(tmp_path / "weights.safetensors", nn.ModuleDict({"backbone": backbone}), {})
    with pytest.raises(UserError, match=r"holds no head; fine-tune or probe first"):
        evaluate(config, street_cache, tmp_path / "weights.safetensors", tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Labels(0.4), "label fraction: expected 1 / n"),
        (Labels(train_split="nowhere"), "no split 'nowhere'; the cache has: train, val"),
        (Labels(val_split="nowhere"), "no split 'nowhere'"),
    ],
)
def test_wrong_splits_and_fractions_are_refused_before_anything_runs(
    labels: Labels, message: str, config: RunConfig, street_cache: Cache, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        finetune(config, street_cache, tmp_path / "run", labels=labels, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_config_of_another_kind_or_number_of_classes_is_refused(config: RunConfig, street_cache: Cache) -> None:
    method = dataclasses.replace(config, values={"method": config.values["task"], "train": config.values["train"]})
    with pytest.raises(UserError, match="holds a pretraining method, expected a `task`"):
        build_task(method, street_cache, seed=0)
    narrow = load_config(config.path, ["task.num_classes=5"])
    with pytest.raises(UserError, match=r"task\.num_classes is 5, but .*manifest\.json is 17"):
        build_task(narrow, street_cache, seed=0)


def test_a_killed_finetuning_goes_on_from_its_checkpoint(
    config: RunConfig, street_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finetune(config, street_cache, tmp_path / "whole", device="cpu")

    class Killed(Exception):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("pc_ssl.engine.downstream.evaluate_task", killed)  # after training, before the result
        with pytest.raises(Killed):
            finetune(config, street_cache, tmp_path / "killed", device="cpu")
    assert not (tmp_path / "killed" / "result.json").exists()
    with pytest.raises(UserError, match="the run has other settings: label_offset was 0, is 1"):
        finetune(config, street_cache, tmp_path / "killed", labels=Labels(offset=1), device="cpu")
    assert finetune(config, street_cache, tmp_path / "killed", device="cpu").result == whole.result


def test_summary_says_what_was_run(config: RunConfig, street_cache: Cache, tmp_path: Path) -> None:
    run = probe(config, street_cache, tmp_path / "run", device="cpu")
    text = run.summary()
    assert text.startswith("probe, split val: 4 frames")
    assert f"{100 * run.result.miou:.1f}" in text.splitlines()[-1]
    assert all(math.isfinite(value) for value in run.seconds.values())


def test_without_annotation_points_get_the_class_of_the_nearest_text(
    config: RunConfig, street_cache: Cache, tmp_path: Path
) -> None:
    task = build_task(config, street_cache, seed=3)
    teacher = nn.Module()
    teacher.backbone, teacher.semantic_layer = task.backbone, nn.Linear(8, 12)
    teacher.register_buffer("text", nn.functional.normalize(torch.randn(16, 12), dim=1))
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, teacher, {})
    result = evaluate(config, street_cache, weights, tmp_path / "free", annotation_free=True, device="cpu").result
    confusion = torch.zeros(17, 17, dtype=torch.long)
    teacher.eval()
    for row in street_cache.indices("val"):
        cloud = PointBatch.pack([street_cache[row]["points"]])
        embedding = nn.functional.normalize(teacher.semantic_layer(teacher.backbone(cloud).at_points(cloud)), dim=1)
        nearest = (embedding @ teacher.text.T).argmax(dim=1) + 1
        for label, found in zip(street_cache[row]["label"].tolist(), nearest.tolist(), strict=True):
            confusion[label, found] += 1
    assert result.confusion == tuple(map(tuple, confusion[1:, 1:].tolist()))


def test_weights_without_texts_cannot_do_without_annotation(
    config: RunConfig, street_cache: Cache, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, build_task(config, street_cache, seed=0), {})
    with pytest.raises(UserError, match=r"holds no text, .*CLIP2Scene"):
        evaluate(config, street_cache, weights, tmp_path / "free", annotation_free=True, device="cpu")
    assert not (tmp_path / "free").exists()

"""Permuted weights, and where a run's initial weights come from."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import build_task, finetune
from pc_ssl.engine.initial import InitialWeights
from pc_ssl.engine.permuted import permute_weights
from pc_ssl.engine.weights import read_tensors, save_weights
from pc_ssl.evaluation.run_result import RunResult

STEPS = ["train.steps=1", "train.num_workers=0"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Linear(16, 8))
    with torch.no_grad():
        for value in layers[1].state_dict().values():
            value.copy_(torch.rand(16) if value.ndim else torch.tensor(7))
    return layers


def test_each_tensor_keeps_its_entries_and_no_place() -> None:
    before, after = network(), network()
    permute_weights(after, seed=3)
    for (name, old), new in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values), name
        if old.ndim:
            assert not torch.equal(old, new), name
    moved = (before[0].weight != after[0].weight).float().mean()
    assert moved > 0.95


def test_a_normalised_channel_keeps_its_four_numbers() -> None:
    before, after = network(), network()
    permute_weights(after, seed=3)
    names = ("weight", "bias", "running_mean", "running_var")
    rows = [
        sorted(zip(*(net[1].state_dict()[name].tolist() for name in names), strict=True)) for net in (before, after)
    ]
    assert rows[0] == rows[1]
    assert int(after[1].num_batches_tracked) == 7


def test_the_seed_decides() -> None:
    first, same, other = network(), network(), network()
    for net, seed in ((first, 1), (same, 1), (other, 2)):
        permute_weights(net, seed)
    assert torch.equal(first[0].weight, same[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


@pytest.mark.parametrize(("text", "name"), [("permuted:w.st", ""), ("lidar=permuted:w.st", "lidar")])
def test_a_permuted_file_is_parsed_and_shown(text: str, name: str) -> None:
    init = InitialWeights.parse([text])
    assert init == InitialWeights({name: Path("w.st")}, frozenset({name}))
    assert str(init) == text


def test_a_finetuning_from_permuted_weights_says_so(street_cache: Cache, tmp_path: Path) -> None:
    config, file = load_config(Path("smoke/segmentation"), STEPS), tmp_path / "weights.safetensors"
    save_weights(file, build_task(config, street_cache, seed=5), {"method": "PRC"})
    runs = [
        finetune(
            config, street_cache, tmp_path / name, init=InitialWeights.parse([f"{prefix}{file}"]), seed=1, device="cpu"
        )
        for name, prefix in (("plain", ""), ("permuted", "permuted:"))
    ]  # fmt: skip
    (plain,), (permuted,) = (run.initial for run in runs)
    assert (plain["permuted"], permuted["permuted"]) == (False, True)
    assert permuted["from"]["method"] == "PRC"
    assert permuted["file"] == str(file)
    assert runs[1].settings["init"] == f"permuted:{runs[0].settings['init']}"
    assert runs[1].origin == f"permuted:{file}"
    assert runs[0].result != runs[1].result
    assert RunResult.read(tmp_path / "permuted" / "result.json").initial == (permuted,)


def test_a_finetuned_network_starts_another_with_a_head_of_its_own(street_cache: Cache, tmp_path: Path) -> None:
    """The positive control: weights that were trained with labels; only the backbone's are taken."""
    config = load_config(Path("smoke/segmentation"), STEPS)
    taught = finetune(config, street_cache, tmp_path / "taught", seed=1, device="cpu")
    init = InitialWeights({"": tmp_path / "taught" / "weights.safetensors"})
    task = build_task(config, street_cache, seed=2)
    head = task.head.weight.clone()
    (loaded,) = init.load(task.backbone, task.backbone)
    tensors, _ = read_tensors(tmp_path / "taught" / "weights.safetensors")
    for name, value in task.backbone.state_dict().items():
        assert torch.equal(value, tensors[f"backbone.{name}"]), name
    assert torch.equal(task.head.weight, head)
    assert loaded.report.is_complete
    again = finetune(config, street_cache, tmp_path / "again", init=init, seed=2, device="cpu")
    (source,) = again.initial
    assert source["from"]["command"] == "finetune"
    assert float(source["from"]["labels"]) == taught.settings["labels"] == 1.0
    assert source["tensors"] == len(task.backbone.state_dict())

"""Validation during training, and layer-wise learning rates."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import torch
from torch import nn

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import evaluate, finetune
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.pretrain import pretrain
from pc_ssl.engine.train import layer_factors, make_optimizer, train
from pc_ssl.engine.validation import Validated, read_validated, validation_rows
from pc_ssl.engine.weights import read_tensors
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.geometry import BevGrid
from pc_ssl.models import SECOND, BevEncoder, PointPillars, SparseUNet

OPTIONS = {"steps": 11, "batch_size": 4, "learning_rate": 1e-2, "num_workers": 0, "log_every": 1, "checkpoint_every": 3}


@dataclass
class Scored:
    """A result with a score alone."""

    score: float
    score_name: ClassVar[str] = "miou"


class Scores:
    """Gives scores from a list; sets the module to eval mode, and keeps the weights that it saw."""

    def __init__(self, module: nn.Module, scores: list[float]) -> None:
        self.module, self.scores, self.seen = module, iter(scores), []

    def __call__(self) -> Scored:
        self.module.eval()
        torch.rand(3)  # an evaluation may use the global generator
        self.seen.append({name: value.clone() for name, value in self.module.state_dict().items()})
        return Scored(next(self.scores))


def run(toy: ModuleType, folder: Path, scores: list[float], **changes: object) -> tuple[Scores, Validated | None]:
    module = toy.ToyMethod()
    validate = Scores(module, scores)
    options = TrainOptions(**OPTIONS | {"validate_every": 4} | changes)
    found = train(module, toy.ToyFrames(), options, folder, device="cpu", resume=True, validate=validate)
    return validate, found


def test_the_weights_of_the_first_best_score_are_kept(toy: ModuleType, tmp_path: Path) -> None:
    validate, found = run(toy, tmp_path, [0.2, 0.5, 0.5])
    assert found is not None
    assert found.as_dict() == {
        "score": "miou",
        "curve": [[4, 0.2], [8, 0.5], [11, 0.5]],
        "best_step": 8,
        "best_score": 0.5,
    }
    for name, value in validate.module.state_dict().items():
        assert torch.equal(value, validate.seen[1][name]), name
    assert not torch.equal(validate.seen[1]["head.weight"], validate.seen[2]["head.weight"])


def test_validation_changes_no_loss(toy: ModuleType, tmp_path: Path) -> None:
    run(toy, tmp_path / "with", [0.1, 0.2, 0.3])
    train(toy.ToyMethod(), toy.ToyFrames(), TrainOptions(**OPTIONS), tmp_path / "without", device="cpu")
    last = [read_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in ("with", "without")]
    for name, value in last[1].items():
        assert torch.equal(last[0][name], value), name


def test_a_run_stopped_after_its_best_step_resumes_with_it(toy: ModuleType, tmp_path: Path) -> None:
    """Stopped by the validation of step 8; the checkpoint of step 6 holds the weights of step 4."""
    whole, _ = run(toy, tmp_path / "whole", [0.9, 0.5, 0.3])
    with pytest.raises(StopIteration):
        run(toy, tmp_path / "stopped", [0.9])
    before = read_validated(tmp_path / "stopped" / "checkpoint.safetensors")
    assert before is not None
    assert before.curve == ((4, 0.9),)
    again, found = run(toy, tmp_path / "stopped", [0.5, 0.3])
    assert found is not None
    assert (found.best_step, found.curve) == (4, ((4, 0.9), (8, 0.5), (11, 0.3)))
    for name, value in again.module.state_dict().items():
        assert torch.equal(value, whole.seen[0][name]), name
    finished, same = run(toy, tmp_path / "stopped", [])  # all steps are done: the checkpoint has everything
    assert same is not None
    assert same.as_dict() == found.as_dict()
    assert torch.equal(finished.module.state_dict()["head.weight"], whole.seen[0]["head.weight"])


def test_frames_are_spread_over_the_split() -> None:
    some = TrainOptions(1, 1, 1.0, validate_every=1, validate_frames=4)
    assert validation_rows(range(10), some) == [0, 2, 5, 7]
    assert validation_rows(range(3), some) == [0, 1, 2]
    assert validation_rows(range(3), TrainOptions(1, 1, 1.0)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"validate_every": 0}, "validate_every"),
        ({"validate_every": 1, "validate_frames": 0}, "validate_frames"),
        ({"validate_frames": 2}, "validate_every"),
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"layer_decay": 1.1}, "layer_decay"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, float], name: str) -> None:
    with pytest.raises(UserError, match=name):
        TrainOptions(**OPTIONS | changes)


def test_a_pretraining_cannot_validate(street_cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="validate_every"):
        pretrain(
            Path("smoke/prc_second"), street_cache.path, tmp_path / "run", device="cpu",
            overrides=["train.validate_every=1"],
        )  # fmt: skip


def test_finetuning_keeps_and_reports_the_best_weights(street_cache: Cache, tmp_path: Path) -> None:
    config = load_config(Path("smoke/segmentation"), ["train.steps=5", "train.validate_every=2", "train.num_workers=0"])
    result = finetune(config, street_cache, tmp_path / "run", seed=1, device="cpu")
    found = result.fit["validation"]
    assert [step for step, _ in found["curve"]] == [2, 4, 5]
    assert found["score"] == "miou"
    assert found["best_score"] == max(score for _, score in found["curve"]) == pytest.approx(result.result.score)
    assert RunResult.read(tmp_path / "run" / "result.json").fit["validation"] == found
    again = evaluate(config, street_cache, tmp_path / "run" / "weights.safetensors", tmp_path / "again", device="cpu")
    assert again.result == result.result


GRID = BevGrid((-8.0, -8.0, -2.0), (8.0, 8.0, 2.0), (1.0, 1.0, 1.0))


def test_blocks_run_from_the_stem_to_the_output() -> None:
    unet = SparseUNet((1, 1, 1), 1, 4, (4, 8), (1, 1), (8, 4), (1, 1))
    assert unet.blocks == (
        ("stem",), ("down.0", "encoder.0"), ("down.1", "encoder.1"), ("up.0", "decoder.0"), ("up.1", "decoder.1")
    )  # fmt: skip
    pillars = PointPillars(GRID, 1, 4, (4, 8), (1, 1), 4)
    assert pillars.blocks == (("linear", "norm"), ("neck.down.0", "neck.up.0"), ("neck.down.1", "neck.up.1"))
    assert BevEncoder(pillars).blocks[0] == ("lidar.linear", "lidar.norm")


@pytest.mark.parametrize(
    "backbone",
    [
        SparseUNet((1, 1, 1), 1, 4, (4, 8), (1, 1), (8, 4), (1, 1)),
        SECOND(GRID, 1, (4, 8), (1, 1), (8, 8), (1, 1), 4),
        PointPillars(GRID, 1, 4, (4, 8), (1, 1), 4),
        PointPillars(GRID, 1, 4, (4, 8), (1, 1), 4, point_layers=2),
        BevEncoder(SECOND(GRID, 1, (4, 8), (1, 1), (8, 8), (1, 1), 4)),
    ],
    ids=["unet", "second", "pillars", "deep pillars", "encoder"],
)
def test_each_parameter_is_in_one_block(backbone: nn.Module) -> None:
    module = nn.Module()
    module.backbone = backbone
    factors = layer_factors(module, 0.5)
    assert set(factors) == {f"backbone.{name}" for name, _ in backbone.named_parameters()}
    blocks = len(backbone.blocks)
    assert set(factors.values()) == {0.5**depth for depth in range(1, blocks + 1)}


def test_the_rate_decays_from_the_head_to_the_stem() -> None:
    """L = 5 blocks: the last at 0.5 of the rate, the stem at 0.5^5; the head at 3 times the rate."""
    module = nn.Module()
    module.backbone = SparseUNet((1, 1, 1), 1, 4, (4, 8), (1, 1), (8, 4), (1, 1))
    module.head = nn.Linear(4, 2)
    options = TrainOptions(1, 1, 0.1, layer_decay=0.5, learning_rate_multipliers={"head": 3.0})
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    rates = {
        names[id(parameter)]: group["peak_lr"]
        for group in make_optimizer(module, options).param_groups
        for parameter in group["params"]
    }
    assert rates["head.weight"] == pytest.approx(0.3)
    assert rates[_first(rates, "backbone.decoder.1")] == (pytest.approx(0.05))
    assert rates[_first(rates, "backbone.stem")] == pytest.approx(0.1 * 0.5**5)
    assert len(rates) == len(names)


def test_blocks_that_leave_a_parameter_out_are_an_error() -> None:
    module = nn.Module()
    module.backbone = nn.Linear(2, 2)
    module.backbone.blocks = (("weight",),)
    with pytest.raises(ValueError, match="bias is in 0 blocks"):
        layer_factors(module, 0.5)


def _first(rates: dict[str, float], prefix: str) -> str:
    return next(name for name in rates if name.startswith(prefix))

"""Settings chosen for each start and fraction; runs of the tiny street with commands that train nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pc_ssl.data.cache import Cache
from pc_ssl.engine.initial import WHOLE
from pc_ssl.errors import UserError
from pc_ssl.experiments import (
    Evaluation,
    Experiment,
    Method,
    Permuted,
    Plan,
    Pretraining,
    Role,
    Selection,
    Setting,
)
from pc_ssl.experiments.outcomes import read_outcomes
from pc_ssl.experiments.selection import Choice, read_choices, write_choices

GRID = (
    Setting("slow", ("train.learning_rate=1e-3",)),
    Setting("fast", ("train.learning_rate=1e-2",)),
    Setting("long", ("train.learning_rate=1e-2", "train.steps=7")),
)


def test_the_highest_mean_is_chosen_and_of_equal_ones_the_first() -> None:
    scores = {"slow": (0.2, 0.4), "fast": (0.5, 0.3), "long": (0.4, 0.4)}
    assert Choice("prc", "finetune", 0.05, "val", scores).setting == "fast"
    assert Choice("prc", "finetune", 0.05, "val", {"a": (0.3,), "b": (0.3,)}).setting == "a"


def test_choices_are_read_as_they_were_written(tmp_path: Path) -> None:
    choices = [Choice("prc", "finetune", 0.05, "val", {"slow": (0.2, 0.4), "fast": (0.5, 0.3)})]
    write_choices(tmp_path / "choices.jsonl", choices)
    assert read_choices(tmp_path / "choices.jsonl") == choices


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"chosen": "slow"}, "'fast' has the highest mean"),
        ({"scores": {}}, "is not the choice"),
        ({"method": None}, ""),
    ],
)
def test_a_damaged_choice_is_refused(tmp_path: Path, change: dict[str, Any], shown: str) -> None:
    path = tmp_path / "choices.jsonl"
    write_choices(path, [Choice("prc", "finetune", 0.05, "val", {"slow": (0.2,), "fast": (0.5,)})])
    content = {**json.loads(path.read_text()), **change}
    content = {name: value for name, value in content.items() if value is not None}
    path.write_text(json.dumps(content) + "\n")
    with pytest.raises(UserError, match=rf"choices\.jsonl: line 1.*{shown}"):
        read_choices(path)


@pytest.fixture
def experiment(configs: Any, street_cache: Cache, tmp_path: Path) -> Experiment:
    """Scratch, PRC and its permuted weights; settings are chosen on the split `train`, scores are of `val`."""
    prc = Pretraining("prc", configs.prc, runs=1)
    permuted = Method("permuted", {WHOLE: Permuted(prc)}, role=Role.NEGATIVE_CONTROL)
    finetune = Evaluation(
        "finetune", configs.segmentation, fractions=(0.5,), selection=Selection(GRID, "train", (100,))
    )
    plan = Plan((Method("scratch"), Method("prc", {WHOLE: prc}), permuted), (finetune,), (0, 1), val_split="val")
    return Experiment(plan, street_cache.path, tmp_path / "work", jobs=1, device="cpu")


def arguments_of(folder: Path) -> list[str]:
    return json.loads((folder / "job.json").read_text())["identity"]


def test_each_start_trains_with_the_setting_that_was_best_for_it(experiment: Experiment, fake_commands: Any) -> None:
    best = {"scratch": "fast", "prc": "slow", "permuted": "long"}
    fake_commands.better = lambda folder: folder.parent.name == best.get(folder.parents[3].name)
    experiment.run()
    assert fake_commands.started == ["pretrain", *["finetune"] * (3 * 3 + 3 * 2)]
    assert {choice.method: choice.setting for choice in experiment.choices()} == best
    outcomes = read_outcomes(experiment.work_dir / "results.jsonl")
    assert [(one.method, one.seed, one.setting) for one in outcomes] == [
        (method, seed, setting) for method, setting in best.items() for seed in (0, 1)
    ]
    folder = experiment.work_dir / "finetune" / "permuted" / "labels-0.5"
    final, candidate = arguments_of(folder / "seed-1"), arguments_of(folder / "choice" / "long" / "seed-100")
    for name, expected in (("--val-split", "val"), ("--seed", "1")):
        assert final[final.index(name) + 1] == expected
    for name, expected in (("--val-split", "train"), ("--seed", "100")):
        assert candidate[candidate.index(name) + 1] == expected
    weights = experiment.work_dir / "pretrain" / "prc" / "seed-0" / "weights.safetensors"
    for arguments in (final, candidate):  # one pretraining serves both seeds and the choice
        assert arguments[arguments.index("--init") + 1] == f"permuted:{weights}"
        assert "train.steps=7" in arguments


def test_an_unfinished_choice_has_no_final_runs(experiment: Experiment, fake_commands: Any) -> None:
    fake_commands.fail_at = 3
    with pytest.raises(KeyboardInterrupt):
        experiment.run()
    assert experiment.choices() == []
    assert "finetune         6 runs of scratch, prc, permuted, 0 finished" in experiment.describe()
    fake_commands.fail_at = None
    experiment.run()
    assert len(experiment.choices()) == 3
    assert len(experiment.outcomes()) == 6


def test_a_task_as_pretraining_trains_with_all_labels(experiment: Experiment, configs: Any, fake_commands: Any) -> None:
    labels = Method("labels", {WHOLE: Pretraining("labels", configs.segmentation)}, role=Role.POSITIVE_CONTROL)
    evaluation = replace(experiment.plan.evaluations[0], selection=None, draw_labels=True)
    plan = replace(experiment.plan, methods=(Method("scratch"), labels), evaluations=(evaluation,), train_split="train")
    replace(experiment, plan=plan).run()
    assert fake_commands.started == ["finetune"] * (2 + 4)
    arguments = arguments_of(experiment.work_dir / "pretrain" / "labels" / "seed-1")
    for name, expected in (("--labels", "1"), ("--seed", "1"), ("--train-split", "train")):
        assert arguments[arguments.index(name) + 1] == expected
    drawn = arguments_of(experiment.work_dir / "finetune" / "labels" / "labels-0.5" / "seed-1")
    assert drawn[drawn.index("--label-seed") + 1] == "1"

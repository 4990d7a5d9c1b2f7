"""Stages of a plan whose records are committed; runs of the tiny street with commands that train nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pc_ssl.data.cache import Cache
from pc_ssl.engine.initial import WHOLE
from pc_ssl.engine.weights import read_tensors
from pc_ssl.errors import UserError
from pc_ssl.experiments import Evaluation, Experiment, Kind, Method, Plan, PlanStage, Pretraining, Role
from pc_ssl.experiments.plan_stage import check_stages
from pc_ssl.experiments.staged import StagedExperiment

STAGES = (
    PlanStage("1-pretraining", "Both pretrainings", 5, ("scratch", "prc", "labels")),
    PlanStage("2-half", "Half of the labels", 5, ("scratch", "prc", "labels"), ("finetune",), (0.5,)),
    PlanStage("3-probe", "Probes", 5, ("scratch", "prc", "labels"), ("probe",)),
)


@pytest.fixture
def plan(configs: Any) -> Plan:
    labels = Method("labels", {WHOLE: Pretraining("labels", configs.segmentation)}, role=Role.POSITIVE_CONTROL)
    return Plan(
        methods=(Method("scratch"), Method("prc", {WHOLE: Pretraining("prc", configs.prc)}), labels),
        evaluations=(
            Evaluation("finetune", configs.segmentation, fractions=(0.5,)),
            Evaluation("probe", configs.segmentation, Kind.PROBE),
        ),
        seeds=(0, 1),
        requires_controls=True,
    )


def staged(plan: Plan, cache: Cache, work: Path, results: Path) -> StagedExperiment:
    return StagedExperiment(Experiment(plan, cache.path, work, jobs=1, device="cpu"), STAGES, results)


def test_each_stage_runs_its_own_part_and_records_where_it_ran(
    plan: Plan, street_cache: Cache, tmp_path: Path, fake_commands: Any
) -> None:
    proof = staged(plan, street_cache, tmp_path / "work", tmp_path / "results")
    assert "3 of 3 stages left, about 0.2 hours" in proof.describe()
    expected = [["pretrain", "pretrain", "finetune", "finetune"], ["finetune"] * 6, ["probe"] * 6]
    for stage, commands in zip(STAGES, expected, strict=True):
        fake_commands.started = []
        proof.run(stage, f"proof {stage.name}", "abc")
        assert fake_commands.started == commands
    assert proof.left == ()
    facts = json.loads((tmp_path / "results" / "2-half" / "stage.json").read_text())
    assert facts["command"] == "proof 2-half"
    assert (facts["commit"], facts["seeds"], facts["jobs"]) == ("abc", [0, 1], 1)
    assert set(facts["configs"]) == {"prc", "labels", "finetune"}
    assert facts["machine"]["torch"] == torch.__version__
    proof = staged(plan, street_cache, tmp_path / "work", tmp_path / "results")
    assert [(one.method, one.evaluation, one.seed) for one in proof.outcomes] == [
        (method, evaluation, seed)
        for evaluation in ("finetune", "probe")
        for method in ("scratch", "prc", "labels")
        for seed in (0, 1)
    ]


def test_another_machine_goes_on_from_the_committed_records_and_weights(
    plan: Plan, street_cache: Cache, tmp_path: Path, fake_commands: Any
) -> None:
    results = tmp_path / "results"
    staged(plan, street_cache, tmp_path / "first", results).run(STAGES[0], "proof", None)
    stored = sorted(path.name for path in (results / "weights").iterdir())
    assert stored == [f"{name}-seed-{seed}.safetensors" for name in ("labels", "prc") for seed in (0, 1)]
    half = read_tensors(results / "weights" / "prc-seed-0.safetensors")[0]
    assert {value.dtype for value in half.values()} == {torch.float16}
    fake_commands.started = []
    other = staged(plan, street_cache, tmp_path / "second", results)
    assert [stage.name for stage in other.left] == ["2-half", "3-probe"]
    other.run(other.left[0], "proof", None)
    assert fake_commands.started == ["finetune"] * 6
    product = tmp_path / "second" / "pretrain" / "prc" / "seed-0" / "weights.safetensors"
    tensors = read_tensors(product)[0]
    assert set(tensors) == {"backbone.weight"}
    assert {value.dtype for value in tensors.values()} == {torch.float32}


def test_without_stored_weights_a_pretraining_is_made_again(
    plan: Plan, street_cache: Cache, tmp_path: Path, fake_commands: Any
) -> None:
    results = tmp_path / "results"
    staged(plan, street_cache, tmp_path / "first", results).run(STAGES[0], "proof", None)
    (results / "weights" / "prc-seed-1.safetensors").unlink()
    fake_commands.started = []
    staged(plan, street_cache, tmp_path / "second", results).run(STAGES[1], "proof", None)
    assert fake_commands.started == ["pretrain", *["finetune"] * 6]


def test_a_stopped_stage_goes_on_where_it_was(
    plan: Plan, street_cache: Cache, tmp_path: Path, fake_commands: Any
) -> None:
    proof = staged(plan, street_cache, tmp_path / "work", tmp_path / "results")
    fake_commands.fail_at = 3
    with pytest.raises(KeyboardInterrupt):
        proof.run(STAGES[0], "proof", None)
    assert proof.left == STAGES
    fake_commands.started, fake_commands.fail_at = [], None
    proof.run(STAGES[0], "proof", None)
    assert fake_commands.started == ["finetune"]


def test_a_config_that_changed_since_is_named(
    plan: Plan, street_cache: Cache, tmp_path: Path, fake_commands: Any
) -> None:
    proof = staged(plan, street_cache, tmp_path / "work", tmp_path / "results")
    proof.run(STAGES[0], "proof", None)
    path = tmp_path / "results" / "1-pretraining" / "stage.json"
    facts = json.loads(path.read_text())
    assert "since then" not in proof.describe()
    facts["configs"]["prc"] = "other"
    path.write_text(json.dumps(facts))
    assert "since then other: prc" in proof.describe()


@pytest.mark.parametrize(
    ("stages", "shown"),
    [
        ((*STAGES, PlanStage("again", "", 1, ("prc",), ("probe",))), "probe of prc at 1 is in 3-probe and again"),
        ((*STAGES, STAGES[0]), "'1-pretraining' appears twice"),
        ((*STAGES, PlanStage("x", "", 1, ("fac",))), "stage 'x': methods 'fac', expected some of labels, prc, scratch"),
    ],
)
def test_no_evaluation_is_in_two_stages(plan: Plan, stages: tuple[PlanStage, ...], shown: str) -> None:
    with pytest.raises(UserError, match=shown):
        check_stages(plan, stages)

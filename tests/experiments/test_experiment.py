"""Plans that run on the tiny street, their commands in this process."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pc_ssl.cli import app
from pc_ssl.data.cache import Cache
from pc_ssl.engine.initial import WHOLE
from pc_ssl.engine.work_folder import work_folder
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.experiments import Evaluation, Experiment, Kind, Method, Plan, Pretraining, Variant, read_records
from pc_ssl.experiments.runs import EvaluationRun, PretrainingRun


@pytest.fixture
def plan(configs: Any) -> Plan:
    """One method and scratch, one seed; fine-tuning is evaluated on a second split too."""
    return Plan(
        methods=(Method("scratch"), Method("prc", {WHOLE: Pretraining("prc", configs.prc)})),
        evaluations=(
            Evaluation("probe", configs.segmentation, Kind.PROBE),
            Evaluation("finetune", configs.segmentation, fractions=(0.5,), variants=(Variant("seen", split="train"),)),
        ),
        seeds=(3,),
    )


@pytest.fixture
def experiment(plan: Plan, street_cache: Cache, tmp_path: Path) -> Experiment:
    return Experiment(plan, street_cache.path, tmp_path / "work", jobs=1, device="cpu")


@pytest.mark.usefixtures("commands_in_process")
def test_compare_of_two_methods_with_an_override(
    configs: Any, street_cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    work = tmp_path / "work"
    arguments = [
        "compare", f"base={configs.prc}", f"alpha01={configs.prc},method.alpha=0.1", "--task", configs.segmentation,
        "--cache", street_cache.path, "--work-dir", work, "--seeds", "1", "--labels", "0.5", "--jobs", "1",
        "--device", "cpu",
    ]  # fmt: skip
    assert not app([str(argument) for argument in arguments], standalone_mode=False)
    table = capsys.readouterr().out.splitlines()[-5:-1]
    assert table[0].split() == ["mIoU", "%", "linear", "probe", "50", "%", "pretraining", "s", "peak", "MiB"]
    assert [line.split()[0] for line in table[1:]] == ["scratch", "base", "alpha01"]
    records = read_records(work / "records.jsonl")
    scores = [record for record in records if record.metric == "miou"]
    assert {record.scene for record in scores} == {"all", *street_cache.manifest.splits["val"]}
    assert len(scores) == 3 * 2 * 3  # methods, evaluations, scenes and the whole split
    for record in scores:
        run = work / record.evaluation / record.method / f"labels-{record.fraction:g}" / f"seed-{record.seed}"
        result = RunResult.read(run / "result.json")
        assert result.settings["seed"] == record.seed
        if record.scene == "all":
            assert result.segmentation.miou == record.value
        weights = work / "pretrain" / record.method / f"seed-{record.seed}" / "weights.safetensors"
        assert result.paths["init"] == (None if record.method == "scratch" else str(weights))
    for name, alpha in (("base", 0.9), ("alpha01", 0.1)):
        settings = json.loads((work / "pretrain" / name / "seed-0" / "run.json").read_text())["settings"]
        assert settings["method.alpha"] == alpha
    assert "| alpha01 |" in (work / "compare.md").read_text()
    assert (work / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_experiment_goes_on_where_it_was(experiment: Experiment, fake_commands: Any) -> None:
    fake_commands.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        experiment.run()
    assert fake_commands.started == ["pretrain", "probe", "probe"]
    assert "1 runs of prc, 1 finished" in experiment.describe()
    fake_commands.started, fake_commands.fail_at = [], None
    comparison = experiment.run()
    assert fake_commands.started == ["probe", "finetune", "finetune", "evaluate", "evaluate"]
    assert [(column.evaluation.name, column.variant) for column in comparison.columns] == [
        ("probe", ""), ("finetune", ""), ("finetune", "seen"),
    ]  # fmt: skip
    assert "runs             7, 0 left" in experiment.describe()
    assert experiment.run().records == comparison.records
    assert len(fake_commands.started) == 5


def test_a_folder_where_another_process_compares_is_refused(experiment: Experiment, fake_commands: Any) -> None:
    with work_folder(experiment.work_dir, "compare"), pytest.raises(UserError, match=f"process {os.getpid()} on"):
        experiment.run()


def test_records_name_seed_fraction_variant_and_cost(experiment: Experiment, fake_commands: Any) -> None:
    records = experiment.run().records
    whole = [record for record in records if record.metric == "miou" and record.scene == "all"]
    assert [(record.evaluation, record.method, record.variant, record.fraction) for record in whole] == [
        ("probe", "scratch", "", 1.0), ("probe", "prc", "", 1.0), ("finetune", "scratch", "", 0.5),
        ("finetune", "prc", "", 0.5), ("finetune", "scratch", "seen", 0.5), ("finetune", "prc", "seen", 0.5),
    ]  # fmt: skip
    assert {record.value for record in whole} == {(2 / 3 + 1 / 2) / 2}
    assert {record.seed for record in records} == {3}
    costs = {record.metric: record for record in records if record.evaluation == "pretrain"}
    assert costs["peak_memory_mib"].value == 100.0
    assert costs["seconds"].method == "prc"
    assert read_records(experiment.work_dir / "records.jsonl") == records


def test_a_changed_override_runs_the_pretraining_and_what_starts_from_it_again(
    experiment: Experiment, plan: Plan, configs: Any, fake_commands: Any
) -> None:
    experiment.run()
    fake_commands.started = []
    changed = Method("prc", {WHOLE: Pretraining("prc", configs.prc, ("method.alpha=0.1",))})
    replace(experiment, plan=replace(plan, methods=(plan.methods[0], changed))).run()
    assert fake_commands.started == ["pretrain"]  # its weights came out the same, so that nothing else changed


def test_only_weights_with_texts_are_evaluated_without_annotations(
    experiment: Experiment, plan: Plan, configs: Any, fake_commands: Any
) -> None:
    fake_commands.texts = ("clip",)
    clip = Method("clip", {WHOLE: Pretraining("clip", configs.prc)})
    free = Evaluation("annotation-free", configs.segmentation, Kind.ANNOTATION_FREE)
    comparison = replace(experiment, plan=replace(plan, methods=(*plan.methods, clip), evaluations=(free,))).run()
    assert fake_commands.started == ["pretrain", "pretrain", "evaluate"]
    assert [row[1] for row in comparison.by_method().rows] == ["-", "-", "58.3"]


@pytest.mark.usefixtures("commands_in_process")
def test_each_part_of_a_network_starts_from_its_own_link_of_a_chain(street_cache: Cache, tmp_path: Path) -> None:
    """PRC -> RAD, taught by PRC's network -> map segmentation from both."""
    small = {
        "grid.voxel_size": ("(1.6, 1.6, 4.0)", "(6.4, 6.4, 8.0)"),
        "depths.step": (None, "8.0"),
    }

    def of(part: str, camera: bool) -> list[str]:
        values = {key: pair[camera] for key, pair in small.items()}
        return [f"{part}.{key}={value}" for key, value in values.items() if value is not None]

    train = ["train.steps=1", "train.batch_size=1"]
    prc = Pretraining("prc", "demo/bev_prc", (*of("method.backbone", False), *train))
    overrides = (*of("method.backbone", True), *of("method.teacher", False), *train)
    rad = Pretraining("rad", "demo/bev_rad", overrides, init={"teacher": prc})
    task = (*of("task.backbone.lidar", False), *of("task.backbone.camera", True), *train)
    plan = Plan(
        methods=(Method("scratch"), Method("calico", {"lidar": prc, "camera": rad})),
        evaluations=(Evaluation("map", "demo/bev_map", fractions=(0.25,), overrides=task),),
        seeds=(0,),
    )
    experiment = Experiment(plan, street_cache.path, tmp_path / "work", jobs=1, device="cpu")
    comparison = experiment.run()
    folder = tmp_path / "work"
    weights = {name: folder / "pretrain" / name / "seed-0" / "weights.safetensors" for name in ("prc", "rad")}
    run = RunResult.read(folder / "map" / "calico" / "labels-0.25" / "seed-0" / "result.json")
    assert run.paths["init"] == f"lidar={weights['prc']} camera={weights['rad']}"
    settings = json.loads((folder / "pretrain" / "rad" / "seed-0" / "run.json").read_text())["settings"]
    assert list(settings["init"]) == ["teacher"]
    scenes = {record.scene for record in comparison.records if record.metric == "miou"}
    assert scenes == {"all", *street_cache.manifest.splits["val"]}


@pytest.mark.usefixtures("commands_in_process")
def test_a_variant_changes_the_scenes_that_are_evaluated_on_alone(
    configs: Any, street_cache: Cache, tmp_path: Path
) -> None:
    few = {"type": "pc_ssl.data.transforms.FewLabels", "annotations": {
        "type": "pc_ssl.data.annotations.DrawnAnnotations", "count": 2, "seed": 0}}  # fmt: skip
    task = Evaluation(
        "finetune", configs.segmentation, fractions=(0.5,),
        variants=(Variant("same"), Variant("few", transforms=(few,))),
    )  # fmt: skip
    plan = Plan((Method("scratch"),), (task,), seeds=(0,))
    Experiment(plan, street_cache.path, tmp_path, jobs=1, device="cpu").run()
    folder = tmp_path / "finetune" / "scratch" / "labels-0.5" / "seed-0"
    whole, same, changed = (
        RunResult.read(folder / name / "result.json").segmentation for name in (".", "on-same", "on-few")
    )
    assert same == whole
    assert sum(changed.labelled) == 2 * changed.num_frames == 8
    assert sum(whole.labelled) > 8
    assert "FewLabels" not in (folder / "config.py").read_text()


def test_nothing_is_run_before_networks_are_checked(
    experiment: Experiment, plan: Plan, write_method: Callable[..., Path], network: str, tmp_path: Path
) -> None:
    other = write_method(tmp_path / "other.py", network.replace("stem_channels=4", "stem_channels=8"))
    methods = (*plan.methods, Method("other", {WHOLE: Pretraining("other", other)}))
    with pytest.raises(UserError, match=r"other\.py: method\.backbone is .*task\.backbone in .*segmentation\.py"):
        replace(experiment, plan=replace(plan, methods=methods)).run()
    assert not experiment.work_dir.exists()


def test_other_steps_are_refused_unless_the_plan_gives_them_or_allows_it(
    experiment: Experiment, plan: Plan, write_method: Callable[..., Path], tmp_path: Path
) -> None:
    other = Pretraining("other", write_method(tmp_path / "other.py", steps=3))
    plan = replace(plan, methods=(*plan.methods, Method("other", {WHOLE: other})))
    with pytest.raises(UserError, match=r"other\.py: train\.steps is 3, in the other configs 2; .*--steps"):
        replace(experiment, plan=plan).describe()
    assert "steps 5, batch_size 1" in replace(experiment, plan=replace(plan, steps=5)).describe()
    assert "budget           batch_size 1" in replace(experiment, plan=replace(plan, equal_budget=False)).describe()


def test_a_fraction_of_less_than_a_batch_is_refused_before_anything_runs(experiment: Experiment, plan: Plan) -> None:
    large = replace(plan.evaluations[1], overrides=("train.batch_size=50",))
    experiment = replace(experiment, plan=replace(plan, evaluations=(large,)))
    for run in (experiment.describe, experiment.run):
        with pytest.raises(UserError, match=r"finetune: label fraction 0\.5 holds 4 of the 8 frames .*batch_size 50"):
            run()
    assert not experiment.work_dir.exists()


def test_an_override_of_one_method_reaches_its_evaluation_alone(experiment: Experiment, plan: Plan) -> None:
    scratch = replace(plan.methods[0], overrides={"finetune": ("train.batch_size=50",)})
    with pytest.raises(UserError, match="batch_size 50"):
        replace(experiment, plan=replace(plan, methods=(scratch, plan.methods[1]))).describe()
    probe = replace(plan.methods[0], overrides={"probe": ("train.batch_size=50",)})
    assert "0 finished" in replace(experiment, plan=replace(plan, methods=(probe, plan.methods[1]))).describe()


def test_a_pretraining_has_its_own_split_and_a_probe_its_protocol(configs: Any, street_cache: Cache) -> None:
    prc = Pretraining("prc", configs.prc, split="parametrizing")
    probe = Evaluation("probe", configs.segmentation, Kind.PROBE, protocol="slidr")
    plan = Plan((Method("scratch"), Method("prc", {WHOLE: prc})), (probe,), (3,), train_split="train")
    experiment = Experiment(plan, street_cache.path, Path("work"), jobs=1, device="cpu")
    pretrain = experiment.commands.job(PretrainingRun(prc, 3)).command
    evaluate = experiment.commands.job(EvaluationRun(probe, plan.methods[0], 1.0, 3)).command
    assert "--split parametrizing" in pretrain
    assert "--train-split train" in evaluate
    assert "--protocol slidr" in evaluate


def test_weights_from_elsewhere_must_exist(experiment: Experiment, plan: Plan, tmp_path: Path) -> None:
    elsewhere = Method("elsewhere", {WHOLE: tmp_path / "absent.safetensors"})
    with pytest.raises(UserError, match=r"absent\.safetensors: no such file"):
        replace(experiment, plan=replace(plan, methods=(elsewhere,))).describe()


def test_a_dry_run_counts_the_runs_and_writes_nothing(experiment: Experiment) -> None:
    lines = experiment.describe().splitlines()
    assert lines[0].split() == ["methods", "scratch,", "prc"]
    assert "runs             7, 7 left" in lines[-1]
    assert not experiment.work_dir.exists()


def test_a_pretraining_config_is_not_an_evaluation(experiment: Experiment, plan: Plan, configs: Any) -> None:
    with pytest.raises(UserError, match=r"prc\.py: .*expected a `task`"):
        replace(experiment, plan=replace(plan, evaluations=(Evaluation("f", configs.prc),))).describe()


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["{prc}", "{prc}", "--task", "{task}"], "'prc'"),
        (["scratch={prc}", "--task", "{task}"], "'scratch'"),
        (["{prc}"], "--task"),
        (["{prc}", "--plan", "parts"], "--plan"),
        (["{prc}", "--task", "{prc}"], "expected a `task`"),
        (["{prc}", "--task", "{task}", "--labels", "few"], "'few'"),
    ],
)
def test_wrong_arguments_of_compare_are_refused(
    configs: Any, street_cache: Cache, tmp_path: Path, arguments: list[str], shown: str
) -> None:
    given = [text.format(prc=configs.prc, task=configs.segmentation) for text in arguments]
    where = ["--cache", str(street_cache.path), "--work-dir", str(tmp_path / "work")]
    with pytest.raises(UserError) as error:
        app(["compare", *given, *where], standalone_mode=False)
    assert shown in str(error.value)
    assert not (tmp_path / "work").exists()

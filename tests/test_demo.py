"""The demo in miniature: its commands are called in this process."""

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.batches import evaluation_batches
from pc_ssl.engine.downstream import load_task
from pc_ssl.engine.initial import WHOLE
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.experiments import Record, read_records
from pc_ssl.experiments.jobs import Job

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """`benchmarks/demo.py` as a module."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "benchmarks" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small_demo(demo: ModuleType) -> object:
    """The demo with a tiny network on four scenes of one keyframe; two seeds, two steps of training."""
    network = {
        "voxel_size": "(0.5, 0.5, 0.5)", "stem_channels": "4", "encoder_channels": "(4,)", "encoder_blocks": "(1,)",
        "decoder_channels": "(4,)", "decoder_blocks": "(1,)",
    }  # fmt: skip
    train = ("train.steps=2", "train.batch_size=1", "train.log_every=1")

    def small(kind: str) -> tuple[str, ...]:
        return (*(f"{kind}.backbone.{name}={value}" for name, value in network.items()), *train)

    scratch, prc, labels = demo.DEMO.plan.methods
    sizes = (*small("method"), "method.views.inside=16", "method.views.outside=16")
    plan = replace(
        demo.DEMO.plan,
        methods=(
            scratch,
            replace(prc, init={WHOLE: replace(prc.init[WHOLE], overrides=sizes)}),
            replace(labels, init={WHOLE: replace(labels.init[WHOLE], overrides=small("task"))}),
        ),
        evaluations=tuple(replace(one, overrides=small("task")) for one in demo.DEMO.plan.evaluations),
        seeds=(0, 1),
    )
    streets = ("--split", "train=3", "--split", "test=1", "--keyframes", "1", "--cameras", "none", "--columns", "300")
    return replace(demo.DEMO, streets=demo.Streets(streets), plan=plan)


@pytest.fixture(scope="module")
def finished(
    small_demo: object, tmp_path_factory: pytest.TempPathFactory, commands_in_process: None
) -> tuple[Path, str]:
    """The folder and the table of a demo that ran through."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, small_demo.run(folder)


def run_folder(folder: Path, record: Record) -> Path:
    return folder / record.evaluation / record.method / f"labels-{record.fraction:g}" / f"seed-{record.seed}"


def whole_split(folder: Path) -> list[Record]:
    records = read_records(folder / "records.jsonl")
    return [record for record in records if record.metric == "miou" and record.scene == "all"]


def test_the_demo_measures_what_its_readme_says(demo: ModuleType) -> None:
    """130 and 30 scenes, three seeds, 5 % of the labels."""
    assert demo.DEMO.streets.simulate[:4] == ("--split", "train=130", "--split", "test=30")
    assert demo.DEMO.plan.seeds == (0, 1, 2)
    assert [evaluation.fractions for evaluation in demo.DEMO.plan.evaluations] == [(1.0,), (0.05,)]
    assert (demo.DEMO.plan.steps, demo.DEMO.plan.batch_size) == (None, None)


def test_seconds_of_each_stage_are_kept(finished: tuple[Path, str]) -> None:
    seconds = json.loads((finished[0] / "seconds.json").read_text())
    assert list(seconds) == ["simulate", "prepare", "pretrain", "probe", "finetune", "report"]


def test_records_hold_what_the_runs_measured(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    records = whole_split(folder)
    assert len(records) == 3 * 2 * 2
    for record in records:
        run = json.loads((run_folder(folder, record) / "result.json").read_text())
        assert run["result"]["miou"] == record.value
        assert run["settings"]["seed"] == record.seed
        weights = folder / "pretrain" / record.method / "seed-0" / "weights.safetensors"  # one run for all seeds
        assert run["paths"]["init"] == (None if record.method == "scratch" else str(weights))
        assert run["settings"]["labels"] == record.fraction == (0.05 if record.evaluation == "finetune" else 1.0)


def test_scenes_that_are_evaluated_are_never_trained_on(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    splits = json.loads((folder / "cache" / "manifest.json").read_text())["splits"]
    assert set(splits["train"]).isdisjoint(splits["test"])
    results = list(folder.rglob("result.json"))
    assert len(results) == 3 * 2 * 2 + 1
    for result in results:
        run = json.loads(result.read_text())
        assert run["settings"]["val_split"] == "test"
        assert set(run["scenes"]) <= set(splits["train"])
    for settings in folder.glob("pretrain/*/*/run.json"):
        assert json.loads(settings.read_text())["settings"]["split"] == "train"


def test_tables_show_means_deviations_and_paired_differences(finished: tuple[Path, str]) -> None:
    folder, text = finished
    records = whole_split(folder)
    for evaluation in ("probe", "finetune"):
        scratch, prc = (
            [r.value for r in records if (r.evaluation, r.method) == (evaluation, m)] for m in ("scratch", "prc")
        )
        for values in (scratch, prc):
            assert f"{100 * np.mean(values):.1f} +- {100 * np.std(values, ddof=1):.1f}" in text
        assert f"{100 * (np.mean(prc) - np.mean(scratch)):+.1f}" in text
    assert "95 % interval" in text


def test_report_shows_every_promised_picture(finished: tuple[Path, str]) -> None:
    text = (finished[0] / "report.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text, flags=re.DOTALL)
    for expected in (
        "Regions of dbscan",
        "Each term",
        "Features of the backbone",
        "Labels and predictions",
    ):
        assert any(caption.startswith(expected) for caption in captions), expected
    assert text.count("data:image/png;base64,") == len(captions) >= 5


def test_a_finished_demo_runs_nothing_again(
    small_demo: object, finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, table = finished
    records = (folder / "records.jsonl").read_bytes()

    def refuse(job: Job, threads: int) -> None:
        raise AssertionError(job.command)

    monkeypatch.setattr(Job, "run", refuse)
    assert small_demo.run(folder) == table
    assert (folder / "records.jsonl").read_bytes() == records


def test_results_equal_those_of_the_devkit(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nuscenes.eval.lidarseg import utils
    from nuscenes.eval.lidarseg.evaluate import LidarSegEval
    from nuscenes.nuscenes import NuScenes

    folder, _ = finished
    cache, run = Cache(folder / "cache"), folder / "probe" / "prc" / "labels-1" / "seed-0"
    task = load_task(load_config(run / "config.py"), cache, run / "weights.safetensors").eval()
    official = NuScenes("v1.0-mini", str(folder / "nuscenes"), verbose=False)
    predictions = tmp_path / "lidarseg" / "val"
    predictions.mkdir(parents=True)
    for frame, batch in evaluation_batches(task, cache, cache.indices("test"), torch.device("cpu")):
        key = official.get("sample", frame.token)["data"]["LIDAR_TOP"]
        sweep = np.fromfile(official.get_sample_data_path(key), np.float32).reshape(-1, 5)
        kept = (np.abs(sweep[:, :2]) >= 1).any(axis=1)  # preparation leaves out returns from the recording vehicle
        predicted = np.ones(len(sweep), np.uint8)
        predicted[kept] = task.predict(batch)[0].numpy()
        predicted.tofile(predictions / f"{key}_lidarseg.bin")
    scenes = cache.manifest.splits["test"]
    monkeypatch.setattr(utils, "create_splits_scenes", lambda verbose: {"val": scenes})
    expected = LidarSegEval(official, str(tmp_path), "val").evaluate()
    result = RunResult.read(run / "result.json").result
    assert result.miou == pytest.approx(expected["miou"], rel=1e-6)
    for name, iou in zip(result.class_names, result.iou, strict=True):
        assert expected["iou_per_class"][name] == pytest.approx(np.nan if iou is None else iou, rel=1e-6, nan_ok=True)

"""The demo in miniature: its commands are called in this process."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.batches import evaluation_batches
from pc_ssl.engine.downstream import load_task
from pc_ssl.engine.jobs import Job
from pc_ssl.evaluation.run_result import RunResult

ROOT = Path(__file__).parents[1]
OPTIONS = "dict(type=TrainOptions, steps=2, batch_size=1, learning_rate=1e-3, num_workers=0, log_every=1)"


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
def small_plan(demo: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> object:
    """Three scenes of one keyframe, two seeds; two steps of training."""
    folder = tmp_path_factory.mktemp("configs")
    network = (
        "dict(type=SparseUNet, voxel_size=(0.5, 0.5, 0.5), stem_channels=4, encoder_channels=(4,), encoder_blocks=(1,),"
        " decoder_channels=(4,), decoder_blocks=(1,))"
    )
    imports = (
        "from pc_ssl.engine.options import TrainOptions\nfrom pc_ssl.heads.segmentation import SegmentationTask\n"
        "from pc_ssl.methods.prc import PRC\nfrom pc_ssl.models.lidar import SparseUNet\n"
        "from pc_ssl.views.lidar import Augmentation, PairViews, SingleView\n"
    )
    views = "dict(type=PairViews, augmentation=dict(type=Augmentation), inside=16, outside=16)"
    method = f'method = dict(type=PRC, backbone={network}, views={views})\nregion = "dbscan"\n'
    view = "dict(type=SingleView, augmentation=dict(type=Augmentation))"
    task = f"task = dict(type=SegmentationTask, backbone={network}, view={view})\n"
    for name, text in (("prc", method), ("segmentation", task)):
        (folder / f"{name}.py").write_text(f"{imports}{text}train = {OPTIONS}\n")
    return demo.Plan(
        scenes=3,
        keyframes=1,
        image_size="64x36",
        runs=2,
        pretrain=folder / "prc.py",
        downstream=folder / "segmentation.py",
    )


@pytest.fixture(scope="module")
def finished(demo: ModuleType, small_plan: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the table of a demo that ran through."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "run", call_here)
        patch.setattr("os.cpu_count", lambda: 1)  # one command after the other
        return folder, demo.Demo(folder, small_plan).run()


def call_here(job: Job, threads: int) -> None:
    """Run a command's function in this process."""
    from pc_ssl.cli import app

    assert not app([str(argument) for argument in job.arguments], standalone_mode=False)


def test_summary_has_exactly_the_promised_form(finished: tuple[Path, str]) -> None:
    summary = json.loads((finished[0] / "summary.json").read_text())
    assert list(summary) == ["probe", "finetune", "seconds"]
    for command in ("probe", "finetune"):
        assert list(summary[command]) == ["scratch", "prc"]
        for of in summary[command].values():
            assert list(of) == ["mean", "std", "runs"]
            assert len(of["runs"]) == 2
            assert of["mean"] == pytest.approx(np.mean(of["runs"]))
            assert of["std"] == pytest.approx(np.std(of["runs"], ddof=1))
    stages = ["simulate", "prepare", "pretrain", "probe", "finetune", "report"]
    assert list(summary["seconds"]) == [*stages, "total"]
    assert summary["seconds"]["total"] == pytest.approx(sum(summary["seconds"][stage] for stage in stages))


def test_summary_holds_what_the_runs_measured(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    summary = json.loads((folder / "summary.json").read_text())
    for command in ("probe", "finetune"):
        for init in ("scratch", "prc"):
            for seed, miou in enumerate(summary[command][init]["runs"]):
                run = json.loads((folder / command / f"{init}-{seed}" / "result.json").read_text())
                assert run["result"]["miou"] == miou
                assert run["settings"]["seed"] == seed
                weights = folder / "pretrain" / f"prc-{seed}" / "weights.safetensors"
                assert run["paths"]["init"] == (str(weights) if init == "prc" else None)
                assert run["settings"]["labels"] == (0.05 if command == "finetune" else 1.0)


def test_scenes_that_are_evaluated_are_never_trained_on(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    splits = json.loads((folder / "cache" / "manifest.json").read_text())["splits"]
    assert set(splits["sim_train"]).isdisjoint(splits["sim_val"])
    for result in folder.glob("*/*/result.json"):
        run = json.loads(result.read_text())
        assert run["settings"]["val_split"] == "sim_val"
        assert set(run["scenes"]) <= set(splits["sim_train"])
    for settings in folder.glob("pretrain/*/run.json"):
        assert json.loads(settings.read_text())["settings"]["split"] == "sim_train"


def test_table_shows_means_deviations_and_gains(finished: tuple[Path, str]) -> None:
    folder, table = finished
    summary = json.loads((folder / "summary.json").read_text())
    lines = table.splitlines()
    for line, command in zip(lines[1:3], ("probe", "finetune"), strict=True):
        scratch, prc = summary[command]["scratch"], summary[command]["prc"]
        expected = [f"{100 * of['mean']:.1f} +- {100 * of['std']:.1f}" for of in (scratch, prc)]
        assert all(cell in line for cell in expected)
        assert line.endswith(f"{100 * (prc['mean'] - scratch['mean']):+.1f}")


def test_report_shows_every_promised_picture(finished: tuple[Path, str]) -> None:
    text = (finished[0] / "report.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text, flags=re.DOTALL)
    for expected in (
        "Regions of dbscan",
        "The points that CAM_",
        "Each term",
        "Features of the backbone",
        "Predictions",
    ):
        assert any(caption.startswith(expected) for caption in captions), expected
    assert text.count("data:image/png;base64,") == len(captions) == 6


def test_a_finished_demo_runs_nothing_again(
    demo: ModuleType, small_plan: object, finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, table = finished
    written = {
        path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors") if "pretrain" not in str(path)
    }
    summary = (folder / "summary.json").read_text()
    monkeypatch.setattr(Job, "run", call_here)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert demo.Demo(folder, small_plan).run() == table
    assert (folder / "summary.json").read_text() == summary
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())


def test_results_equal_those_of_the_devkit(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nuscenes.eval.lidarseg import utils
    from nuscenes.eval.lidarseg.evaluate import LidarSegEval
    from nuscenes.nuscenes import NuScenes

    folder, _ = finished
    cache, run = Cache(folder / "cache"), folder / "probe" / "prc-0"
    task = load_task(load_config(run / "config.py"), cache, run / "weights.safetensors").eval()
    official = NuScenes("v1.0-mini", str(folder / "nuscenes"), verbose=False)
    predictions = tmp_path / "lidarseg" / "val"
    predictions.mkdir(parents=True)
    for frame, batch in evaluation_batches(task, cache, cache.indices("sim_val"), torch.device("cpu")):
        key = official.get("sample", frame.token)["data"]["LIDAR_TOP"]
        sweep = np.fromfile(official.get_sample_data_path(key), np.float32).reshape(-1, 5)
        kept = (np.abs(sweep[:, :2]) >= 1).any(axis=1)  # preparation leaves out returns from the recording vehicle
        predicted = np.ones(len(sweep), np.uint8)
        predicted[kept] = task.predict(batch)[0].numpy()
        predicted.tofile(predictions / f"{key}_lidarseg.bin")
    scenes = cache.manifest.splits["sim_val"]
    monkeypatch.setattr(utils, "create_splits_scenes", lambda verbose: {"val": scenes})
    expected = LidarSegEval(official, str(tmp_path), "val").evaluate()
    result = RunResult.read(run / "result.json").result
    assert result.miou == pytest.approx(expected["miou"], rel=1e-6)
    for name, iou in zip(result.class_names, result.iou, strict=True):
        assert expected["iou_per_class"][name] == pytest.approx(np.nan if iou is None else iou, rel=1e-6, nan_ok=True)
